"""A store in a bucket of S3, by obstore."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore  # type: ignore[import-not-found, unused-ignore]
from obstore.exceptions import BaseError  # type: ignore[import-not-found, unused-ignore]
from obstore.store import S3Store  # type: ignore[import-not-found, unused-ignore]

from kok.backup import log, spec
from kok.backup.errors import WorkerError
from kok.backup.reasons import Reason
from kok.backup.stores.objects.gate import Gate
from kok.backup.stores.s3 import answers, http
from kok.backup.stores.s3.sigv4 import Credentials
from kok.backup.stores.store import Entry, Source
from kok.kube.http import dial

PART = 5 * 1024**2
BUFFERS = 2
_PIECE = 256 * 1024
_ABORT = 15.0
_MARK = "kok-write"
_STATUS = re.compile(r"non-2xx status code: (\d+)[^:]*:? ?(.*?)(?:\n\nDebug source:|$)", re.DOTALL)
Failed: tuple[type[BaseException], ...] = (BaseError, OSError, TimeoutError)


class ObjectStore:
    """See `store.Store`."""

    def __init__(
        self,
        given: spec.S3Store,
        credentials: Credentials,
        ca: Path | None,
        *,
        stall: float,
        closed: Sequence[str] = (),
        gate: bool = True,
    ) -> None:
        self._spec = given
        self._stall = stall
        self._where = f"bucket {given.bucket} at {given.endpoint}"
        base = given.endpoint
        if not given.path_style:
            scheme, _, rest = base.partition("://")
            base = f"{scheme}://{given.bucket}.{rest}"
        self._gate = Gate(base, closed) if gate else None
        self._prefix = f"{given.prefix}/" if given.prefix else ""
        config: Any = {
            "endpoint": base,
            "region": given.region,
            "access_key_id": credentials.access_key,
            "secret_access_key": credentials.secret_key,
            "virtual_hosted_style_request": not given.path_style,
            "unsigned_payload": base.startswith("https:"),
            "disable_bulk_delete": True,
        }
        if credentials.session_token:
            config["session_token"] = credentials.session_token
        if given.server_side_encryption:
            config["server_side_encryption"] = given.server_side_encryption
        if given.kms_key_id:
            config["sse_kms_key_id"] = given.kms_key_id
        options: Any = {
            "connect_timeout": timedelta(seconds=10),
            "allow_http": base.startswith("http:"),
        }
        if self._gate:
            options["proxy_url"] = self._gate.url
        if ca is not None:
            http.tls(ca)  # tells of a CA that cannot be read
            options["root_certificate"] = (ca / spec.S3_CA_FILE).read_bytes()
        retries: Any = {
            "max_retries": http.TRIES - 1,
            "backoff": {"init_backoff": timedelta(seconds=max(http._BACKOFF, 0.001))},  # noqa: SLF001
            "retry_timeout": timedelta(minutes=5),
        }
        within = timedelta(seconds=stall)
        # A part has a time in all; an object that is read only one for each piece.
        self._up = S3Store(
            given.bucket,
            config=config,
            client_options={**options, "timeout": within},
            retry_config=retries,
        )
        self._down = S3Store(
            given.bucket,
            config=config,
            client_options={**options, "timeout": "1day", "read_timeout": within},
            retry_config=retries,
        )

    def location(self, key: str) -> str:
        """`s3://bucket/prefix/key`."""
        return f"s3://{self._spec.bucket}/{self._prefix}{key}"

    async def write(self, key: str, source: Source) -> str:
        """In parts, always: in one request obstore takes only what lies in memory."""
        name, mark = self._prefix + key, secrets.token_hex(16)
        async with source() as content:
            writer = obstore.open_writer_async(
                self._up,
                name,
                attributes={_MARK: mark},
                buffer_size=PART,
                max_concurrency=BUFFERS,
            )
            try:
                async for piece in content.pieces:
                    await writer.write(piece)
                await writer.close()
            except BaseException as error:
                # After `close` nothing is left to abort: it has done so itself, or not.
                with suppress(*Failed):
                    async with asyncio.timeout(_ABORT):
                        await writer.__aexit__(type(error), error, None)
                if isinstance(error, Failed):
                    raise self._meaning(error) from error
                raise
        return mark

    async def read(self, key: str) -> AsyncGenerator[bytes, None]:
        """See `store.Store`. Goes on by itself where a broken connection left off."""
        try:
            result: Any = await obstore.get_async(self._down, self._prefix + key)
            async for piece in result.stream(min_chunk_size=_PIECE):
                yield bytes(piece)
        except Failed as error:
            raise self._meaning(error) from error

    async def put(self, key: str, data: bytes) -> None:
        """See `store.Store`."""
        try:
            await obstore.put_async(
                self._up,
                self._prefix + key,
                data,
                attributes={"Content-Type": "application/json"},
                use_multipart=False,
            )
        except Failed as error:
            raise self._meaning(error) from error

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
        """See `store.Store`. What unfinished writes left stays: obstore cannot list it."""
        if await self._head(key) is None:
            return False
        await self._remove(key)
        return True

    async def replaced(self, key: str, mark: str) -> bool:
        """See `store.Store`."""
        head = await self._head(key)
        return head is None or head.get(_MARK, mark) != mark

    async def take_back(self, key: str, mark: str) -> None:
        """See `store.Store`."""
        head = await self._head(key)
        if head is not None and head.get(_MARK) == mark:
            await self._remove(key)

    async def entries(self, under: str) -> AsyncIterator[Entry]:
        """See `store.Store`."""
        try:
            async for page in obstore.list(self._down, f"{self._prefix}{under}".rstrip("/")):
                for found in page:
                    yield Entry(found["path"].removeprefix(self._prefix), found["size"])
        except Failed as error:
            raise self._meaning(error) from error

    async def close(self) -> None:
        """See `store.Store`."""
        if self._gate is not None:
            self._gate.close()

    async def _head(self, key: str) -> dict[str, str] | None:
        try:
            got = await obstore.get_async(self._down, self._prefix + key, options={"head": True})
        except Failed as error:
            meant = self._meaning(error)
            if meant.reason is Reason.OBJECT_MISSING:
                return None
            raise meant from error
        return {str(name): str(value) for name, value in got.attributes.items()}

    async def _remove(self, key: str) -> None:
        try:
            await obstore.delete_async(self._up, self._prefix + key)
        except Failed as error:
            meant = self._meaning(error)
            if meant.reason is not Reason.OBJECT_MISSING:
                raise meant from error

    def _meaning(self, error: BaseException) -> WorkerError:  # noqa: PLR0911
        """What went wrong, from the text of an error: its type says too little."""
        text = str(error)
        log.warning("obstore failed", kind=type(error).__name__, text=text[:1500])
        status = _STATUS.search(text)
        if status is not None:
            refusal = answers.refusal_of(int(status[1]), status[2].encode())
            if refusal is not None and refusal.code not in {"NoSuchKey", "HTTP404"}:
                return answers.error_of(refusal, self._where)
        if isinstance(error, FileNotFoundError):
            return WorkerError(
                Reason.OBJECT_MISSING, f"the backup is not in {self._where} any more"
            )
        base = self._spec.endpoint
        failed = self._gate.failed if self._gate else None
        if failed is not None and dial.was_forbidden(failed):
            return WorkerError(Reason.STORE_FORBIDDEN, f"{base} leads to {failed.strerror}")
        if "invalid peer certificate" in text:
            why = re.search(
                r"invalid peer certificate: ([^\n\",]*)|InvalidCertificate\(\s*(\w+)", text
            )
            return WorkerError(
                Reason.STORE_UNTRUSTED,
                f"the certificate of {base} does not hold: {why and (why[1] or why[2])}; give its "
                "CA with the store",
            )
        if "InvalidCertificate" in text or "UnknownIssuer" in text:
            return WorkerError(
                Reason.STORE_UNTRUSTED,
                f"the certificate of {base} does not hold: give its CA with the store",
            )
        if isinstance(error, TimeoutError) or "TimedOut" in text or "timed out" in text:
            return WorkerError(
                Reason.STORE_SILENT,
                f"{self._where} was silent or too slow for {self._stall:.0f} s",
            )
        if "BareRedirect" in text or (self._gate and self._gate.elsewhere):
            return WorkerError(
                Reason.STORE_REFUSED,
                f"{self._where} is served elsewhere; check the endpoint and the region",
            )
        if "Connect" in text or "error sending request" in text:
            return WorkerError(Reason.STORE_UNREACHABLE, f"{base} cannot be reached")
        first = text.partition("\n")[0][:200]
        return WorkerError(
            Reason.STORE_REFUSED, f"{self._where} does not answer as S3 does: {first}"
        )
