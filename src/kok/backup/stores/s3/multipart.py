"""Multipart uploads: an object in parts, each of which is tried again by itself."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping

from kok.backup import log
from kok.backup.errors import WorkerError
from kok.backup.stores.s3 import answers
from kok.backup.stores.s3.http import Body, Request, S3Http

PART = 5 * 1024**2
"""Bytes of a part: the least that S3 takes. 10,000 of them are 48 GiB, six times etcd's limit."""
BUFFERS = 2
"""Parts in memory: one fills, or all are being sent."""
_SETTLE = 5.0
"""Seconds that parts under way get to arrive before their upload is aborted."""
_ABORT = 15.0
"""Seconds for taking back what was begun."""


class Uploads:
    """Multipart uploads into one bucket, by whole keys. All methods raise `WorkerError`."""

    def __init__(self, http: S3Http) -> None:
        self._http = http

    async def write(
        self, name: str, data: AsyncIterator[bytes], headers: Mapping[str, str]
    ) -> None:
        """An upload that begins with these headers, completed only when all of `data` came."""
        begun = await self._http.ask(Request("POST", name, {"uploads": ""}, headers))
        upload = answers.text_of(begun.body, "UploadId")
        if not upload:
            raise self._http.strange("it began an upload without giving its ID")
        try:
            etags = await self._parts(name, upload, data)
            await self._complete(name, upload, etags)
            if begun.tries > 1:
                # An answer that was lost may have begun one more.
                await self.discard(name)
        except BaseException:
            await self._take_back(name, upload)
            raise

    async def discard(self, name: str) -> None:
        """Aborts what a killed worker left of an upload to this key. Not everybody may list them."""
        denied = frozenset({"AccessDenied", "NotImplemented", "MethodNotAllowed", "HTTP403"})
        query = {"uploads": "", "prefix": name}
        answer = await self._http.ask(Request("GET", "", query), fine=denied)
        for key, upload in answers.uploads_of(answer.body):
            if key == name:
                await self._abort(name, upload)

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
            raise self._http.strange(f"it confirmed part {number} without an ETag")
        return etag

    async def _complete(self, name: str, upload: str, etags: list[str]) -> None:
        request = Request("POST", name, {"uploadId": upload}, {}, answers.completion(etags))
        answer = await self._http.ask(request, fine=frozenset({"NoSuchUpload"}))
        if answer.refusal is not None and answer.tries == 1:
            raise answers.error_of(answer.refusal, self._http.where)
        # After a lost answer the upload is gone because it is complete. All is read back anyway.

    async def _take_back(self, name: str, upload: str) -> None:
        try:
            async with asyncio.timeout(_ABORT):
                await self._abort(name, upload)
                await self.discard(name)
        except (WorkerError, TimeoutError) as error:
            # What went wrong first is what counts; the next try for this key discards the parts.
            log.warning("unfinished upload stays behind", key=name, error=str(error))

    async def _abort(self, name: str, upload: str) -> None:
        fine = frozenset({"NoSuchUpload", "HTTP404"})
        await self._http.ask(Request("DELETE", name, {"uploadId": upload}), fine=fine)


async def _first(sending: deque[asyncio.Task[str]]) -> str:
    """The ETag of the part that is sent longest. Who waits may be cancelled, the part is not."""
    etag = await asyncio.shield(sending[0])
    sending.popleft()
    return etag
