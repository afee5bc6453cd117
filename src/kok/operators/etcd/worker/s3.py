"""A store in a bucket of S3."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path

from kok.operators.etcd.worker import log, s3answers, sigv4, spec
from kok.operators.etcd.worker.errors import WorkerError
from kok.operators.etcd.worker.reasons import Reason
from kok.operators.etcd.worker.s3http import TRIES, Body, Request, Retry, S3Http, pause
from kok.operators.etcd.worker.store import Entry

PART = 5 * 1024**2
"""Bytes of a part: the least that S3 takes. 10,000 of them are 48 GiB, six times etcd's limit."""
BUFFERS = 2
"""Parts in memory: one fills, or all are being sent."""
_SETTLE = 5.0
"""Seconds that parts under way get to arrive before their upload is aborted."""
_ABORT = 15.0
"""Seconds for taking back what was begun."""
_PIECE = 256 * 1024


class BucketStore:
    """See `store.Store`."""

    def __init__(self, given: spec.S3Store, http: S3Http) -> None:
        self._spec = given
        self._http = http
        self._prefix = f"{given.prefix}/" if given.prefix else ""

    def location(self, key: str) -> str:
        """`s3://bucket/prefix/key`."""
        return f"s3://{self._spec.bucket}/{self._prefix}{key}"

    async def write(self, key: str, data: AsyncIterator[bytes]) -> None:
        """A multipart upload, completed only when all of `data` came."""
        name = self._prefix + key
        await self._discard(name)
        query = {"uploads": ""}
        begun = await self._http.ask(Request("POST", name, query, self._encryption()))
        upload = s3answers.text_of(begun.body, "UploadId")
        if not upload:
            raise self._strange("it began an upload without giving its ID")
        try:
            etags = await self._parts(name, upload, data)
            await self._complete(name, upload, etags)
            if begun.tries > 1:
                # An answer that was lost may have begun one more.
                await self._discard(name)
        except BaseException:
            await self._take_back(name, upload)
            raise

    async def read(self, key: str) -> AsyncIterator[bytes]:
        """See `store.Store`. Goes on where a broken connection left off."""
        at, attempt, etag = 0, 1, ""
        while True:
            # Never a piece of another object that was written there meanwhile.
            headers = {"range": f"bytes={at}-", "if-match": etag} if at else {}
            try:
                async with self._http.opened(
                    Request("GET", self._prefix + key, {}, headers)
                ) as got:
                    if at and got.status != 206:
                        raise self._strange("it sent the whole object when asked for its rest")
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
        """See `store.Store`."""
        headers = {**self._encryption(), "content-type": "application/json"}
        answer = await self._http.ask(Request("PUT", self._prefix + key, {}, headers, data))
        if "ETag" not in answer.headers:
            raise self._strange("it confirmed an object without an ETag")

    async def get(self, key: str, limit: int) -> bytes | None:
        """See `store.Store`."""
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
        """See `store.Store`."""
        name = self._prefix + key
        await self._discard(name)
        missing = frozenset({"NoSuchKey", "HTTP404"})
        head = await self._http.ask(Request("HEAD", name), fine=missing)
        if head.refusal is not None:
            return False
        await self._http.ask(Request("DELETE", name), fine=missing)
        return True

    async def entries(self, under: str) -> AsyncIterator[Entry]:
        """See `store.Store`."""
        query = {"list-type": "2", "prefix": self._prefix + (f"{under}/" if under else "")}
        while True:
            answer = await self._http.ask(Request("GET", "", query))
            page = s3answers.page_of(answer.body)
            if page is None:
                raise self._strange("it answered no list")
            for name, size in page.objects:
                yield Entry(name.removeprefix(self._prefix), size)
            if not page.next:
                return
            query["continuation-token"] = page.next

    async def close(self) -> None:
        """See `store.Store`."""
        await self._http.close()

    async def _parts(self, name: str, upload: str, data: AsyncIterator[bytes]) -> list[str]:
        etags: list[str] = []
        sending: deque[asyncio.Task[str]] = deque()
        # Used in turn, again and again: memory that comes and goes in such pieces adds up.
        buffers = [bytearray(PART) for _ in range(BUFFERS)]
        number, filled = 1, 0
        try:
            async for piece in data:
                rest = memoryview(piece)
                while rest:
                    taken = min(PART - filled, len(rest))
                    buffer = buffers[number % len(buffers)]
                    buffer[filled : filled + taken] = rest[:taken]
                    filled, rest = filled + taken, rest[taken:]
                    if filled == PART:
                        sending.append(
                            asyncio.create_task(self._part(name, upload, number, buffer))
                        )
                        number, filled = number + 1, 0
                        if len(sending) == BUFFERS:
                            etags.append(await _first(sending))
            if filled or number == 1:
                last = memoryview(buffers[number % len(buffers)])[:filled]
                sending.append(asyncio.create_task(self._part(name, upload, number, last)))
            while sending:
                etags.append(await _first(sending))
        finally:
            # On the way out after an error: a part that arrives after the abort may stay for ever,
            # so that what is being sent is let through first.
            if sending:
                await asyncio.wait(sending, timeout=_SETTLE)
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)
        return etags

    async def _part(self, name: str, upload: str, number: int, body: Body) -> str:
        query = {"partNumber": str(number), "uploadId": upload}
        answer = await self._http.ask(Request("PUT", name, query, {}, body))
        etag = answer.headers.get("ETag")
        if not etag:
            raise self._strange(f"it confirmed part {number} without an ETag")
        return etag

    async def _complete(self, name: str, upload: str, etags: list[str]) -> None:
        request = Request("POST", name, {"uploadId": upload}, {}, s3answers.completion(etags))
        answer = await self._http.ask(request, fine=frozenset({"NoSuchUpload"}))
        if answer.refusal is not None and answer.tries == 1:
            raise s3answers.error_of(answer.refusal, self._http.where)
        # After a lost answer the upload is gone because it is complete. All is read back anyway.

    async def _take_back(self, name: str, upload: str) -> None:
        try:
            async with asyncio.timeout(_ABORT):
                await self._abort(name, upload)
                await self._discard(name)
        except (WorkerError, TimeoutError) as error:
            # What went wrong first is what counts; the next try for this key discards the parts.
            log.warning("unfinished upload stays behind", key=name, error=str(error))

    async def _abort(self, name: str, upload: str) -> None:
        fine = frozenset({"NoSuchUpload", "HTTP404"})
        await self._http.ask(Request("DELETE", name, {"uploadId": upload}), fine=fine)

    async def _discard(self, name: str) -> None:
        """Aborts what a killed worker left of an upload to this key. Not everybody may list them."""
        denied = frozenset({"AccessDenied", "NotImplemented", "MethodNotAllowed", "HTTP403"})
        query = {"uploads": "", "prefix": name}
        answer = await self._http.ask(Request("GET", "", query), fine=denied)
        for key, upload in s3answers.uploads_of(answer.body):
            if key == name:
                await self._abort(name, upload)

    def _encryption(self) -> dict[str, str]:
        how = self._spec.server_side_encryption
        if not how:
            return {}
        headers: dict[str, str] = {"x-amz-server-side-encryption": how}
        if self._spec.kms_key_id:
            headers["x-amz-server-side-encryption-aws-kms-key-id"] = self._spec.kms_key_id
        return headers

    def _strange(self, what: str) -> WorkerError:
        return WorkerError(
            Reason.STORE_REFUSED, f"{self._http.where} does not answer as S3 does: {what}"
        )


async def _first(sending: deque[asyncio.Task[str]]) -> str:
    """The ETag of the part that is sent longest. Who waits may be cancelled, the part is not."""
    etag = await asyncio.shield(sending[0])
    sending.popleft()
    return etag


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
