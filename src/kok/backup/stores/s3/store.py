"""A store in a bucket of S3."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from pathlib import Path

from kok.backup import log, spec
from kok.backup.errors import WorkerError
from kok.backup.reasons import Reason
from kok.backup.stores.s3 import answers, sigv4
from kok.backup.stores.s3.http import TRIES, Request, Retry, S3Http, pause
from kok.backup.stores.s3.multipart import Uploads
from kok.backup.stores.store import Entry, Source

_MOST_AT_ONCE = 5 * 1024**3
"""Bytes of the largest object that S3 takes in one request."""
_TOO_LARGE = {"EntityTooLarge", "HTTP413"}
_WORTH_PARTS = {Reason.STORE_REFUSED, Reason.STORE_BUSY}
_LINGER = 3.0
"""Seconds in which a server that keeps what broke off has done so."""
_PIECE = 256 * 1024
_MARK = "x-amz-meta-kok-write"
"""Metadata of an object that tells which write it comes from: those of two tries may overlap."""
_MISSING = frozenset({"NoSuchKey", "HTTP404"})

_PAGES = 1000
"""Pages of a list, each of a thousand objects."""


class BucketStore:
    """A `Store` whose objects are those of a bucket below a prefix; raises as it does."""

    def __init__(self, given: spec.S3Store, http: S3Http) -> None:
        self._spec = given
        self._http = http
        self._uploads = Uploads(http)
        self._prefix = f"{given.prefix}/" if given.prefix else ""

    def location(self, key: str) -> str:
        """`s3://bucket/prefix/key`."""
        return f"s3://{self._spec.bucket}/{self._prefix}{key}"

    async def write(self, key: str, source: Source) -> str:
        """In one request, and if that does not go, once more and in parts.

        One request is a third less time with servers that keep objects as files: they copy all
        parts to make one of them. Parts go where the size is not known or too large, where a proxy
        takes no large requests, and through lines that do not hold for so long.
        """
        name, mark = self._prefix + key, secrets.token_hex(16)
        headers = {**self._encryption(), _MARK: mark}
        await self._uploads.discard(name)
        async with source() as content:
            size = content.size
            # Without TLS the signature covers the data, which would have to be read before.
            if size is None or size > _MOST_AT_ONCE or not self._http.secure:
                await self._uploads.write(name, content.pieces, headers)
                return mark
            refused = await self._at_once(name, content.pieces, size, headers)
        if refused is None:
            return mark
        log.warning("it did not go in one request, and is sent again in parts", error=str(refused))
        try:
            async with source() as content:
                await self._uploads.write(name, content.pieces, headers)
        except BaseException:
            await self._remove_what_broke_off(name, size, mark)
            raise
        return mark

    async def read(self, key: str) -> AsyncGenerator[bytes, None]:
        """The object's bytes in pieces; raises `OBJECT_MISSING` if there is none.

        Goes on where a broken connection left off, with the same object or not at all.
        """
        at, attempt, etag = 0, 1, ""
        while True:
            # Never a piece of another object that was written there meanwhile.
            headers = {"range": f"bytes={at}-", "if-match": etag} if at else {}
            try:
                async with self._http.opened(
                    Request("GET", self._prefix + key, {}, headers)
                ) as got:
                    if at and got.status != 206:
                        raise self._http.strange("it sent the whole object when asked for its rest")
                    etag = got.headers["ETag"]
                    async for piece in got.content.iter_chunked(_PIECE):
                        at, attempt = at + len(piece), 1
                        yield piece
            except Retry as retry:
                if attempt >= TRIES:
                    raise retry.error from retry
                await pause(attempt)
                attempt += 1
            else:
                return

    async def put(self, key: str, data: bytes) -> None:
        """Stores a small object in one request, encrypted by the server where the spec says so."""
        headers = {**self._encryption(), "content-type": "application/json"}
        answer = await self._http.ask(Request("PUT", self._prefix + key, {}, headers, data))
        if "ETag" not in answer.headers:
            raise self._http.strange("it confirmed an object without an ETag")

    async def get(self, key: str, limit: int) -> bytes | None:
        """A small object's bytes; None without one, `OBJECT_ALTERED` if longer than `limit`."""
        data = bytearray()
        try:
            async for piece in self.read(key):
                data += piece
                if len(data) > limit:
                    raise WorkerError(
                        Reason.OBJECT_ALTERED, f"{self.location(key)} is longer than it can be"
                    )
        except WorkerError as error:
            if error.reason is Reason.OBJECT_MISSING:
                return None
            raise
        return bytes(data)

    async def delete(self, key: str) -> bool:
        """Removes the object and its unfinished uploads; whether the object was there."""
        name = self._prefix + key
        await self._uploads.discard(name)
        head = await self._http.ask(Request("HEAD", name), fine=_MISSING)
        if head.refusal is not None:
            return False
        await self._http.ask(Request("DELETE", name), fine=_MISSING)
        return True

    async def replaced(self, key: str, mark: str) -> bool:
        """Whether the object that `write` gave the mark for is gone, or another lies in its place.

        Of servers that keep no metadata nobody can know it: False while there is one.
        """
        head = await self._http.ask(Request("HEAD", self._prefix + key), fine=_MISSING)
        return head.refusal is not None or head.headers.get(_MARK, mark) != mark

    async def take_back(self, key: str, mark: str) -> None:
        """Removes the object if it has that mark; another one, or none, is left as it is."""
        name = self._prefix + key
        head = await self._http.ask(Request("HEAD", name), fine=_MISSING)
        if head.refusal is None and head.headers.get(_MARK) == mark:
            await self._http.ask(Request("DELETE", name), fine=_MISSING)

    async def entries(self, under: str) -> AsyncIterator[Entry]:
        """All objects below a folder, of the whole prefix if that is empty, in the server's order.

        Raises `WorkerError` for a list of more than a million.
        """
        query = {"list-type": "2", "prefix": self._prefix + (f"{under}/" if under else "")}
        for _ in range(_PAGES):
            answer = await self._http.ask(Request("GET", "", query))
            page = answers.page_of(answer.body)
            if page is None:
                raise self._http.strange("it answered no list")
            for name, size in page.objects:
                yield Entry(name.removeprefix(self._prefix), size)
            if not page.next:
                return
            query["continuation-token"] = page.next
        raise self._http.strange("its list does not end")

    async def close(self) -> None:
        """Closes the connections to the server."""
        await self._http.close()

    async def _at_once(
        self, name: str, pieces: AsyncIterator[bytes], size: int, given: dict[str, str]
    ) -> WorkerError | None:
        """Why it did not go, if sending it another way may help.

        A request that nobody waits for any more, of a worker that was killed, may end after those of
        the next one: it must not put what came of it in the place of what they stored.
        """
        headers = {**given, "if-none-match": "*"}
        try:
            refusal = await self._http.send(Request("PUT", name, {}, headers), pieces, size)
        except Retry as retry:
            return retry.error
        except BaseException:
            await self._remove_what_broke_off(name, size, given[_MARK])
            raise
        if refusal is None:
            return None
        error = answers.error_of(refusal, self._http.where)
        if refusal.code in _TOO_LARGE or error.reason in _WORTH_PARTS:
            return error
        raise error

    async def _remove_what_broke_off(self, name: str, size: int, mark: str) -> None:
        """There are servers (versitygw 1.8) that keep what came of a request that broke off.

        They do so when they notice, a moment later. It is shorter than it would be, nothing
        describes it, and nobody restores it; after a worker that is killed it lies there until the
        next try, or until its backup is removed. That of another try, which is marked as such, stays.
        """
        unseen = frozenset({"NoSuchKey", "HTTP404", "HTTP403"})
        with suppress(WorkerError, TimeoutError, ValueError):
            async with asyncio.timeout(_LINGER):
                while True:
                    head = await self._http.ask(Request("HEAD", name), fine=unseen)
                    if head.refusal is None:
                        break
                    await asyncio.sleep(_LINGER / 10)
                others = head.headers.get(_MARK, mark) != mark
                if not others and int(head.headers.get("Content-Length", size)) < size:
                    await self._http.ask(Request("DELETE", name), fine=unseen)

    def _encryption(self) -> dict[str, str]:
        how = self._spec.server_side_encryption
        if not how:
            return {}
        headers: dict[str, str] = {"x-amz-server-side-encryption": how}
        if self._spec.kms_key_id:
            headers["x-amz-server-side-encryption-aws-kms-key-id"] = self._spec.kms_key_id
        return headers


def read_credentials(directory: Path) -> sigv4.Credentials:
    """Those of a mounted Secret. Raises `WorkerError` if one is missing."""
    found = {
        name: (directory / name).read_text().strip()
        for name in (spec.S3_ACCESS_KEY_ID, spec.S3_SECRET_ACCESS_KEY, spec.S3_SESSION_TOKEN)
        if (directory / name).is_file()
    }
    for name in (spec.S3_ACCESS_KEY_ID, spec.S3_SECRET_ACCESS_KEY):
        if not found.get(name):
            raise WorkerError(
                Reason.CREDENTIALS_UNUSABLE, f"the Secret of the store's credentials lacks {name}"
            )
    return sigv4.Credentials(
        found[spec.S3_ACCESS_KEY_ID],
        found[spec.S3_SECRET_ACCESS_KEY],
        found.get(spec.S3_SESSION_TOKEN, ""),
    )
