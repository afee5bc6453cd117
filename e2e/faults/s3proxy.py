"""An S3 server that misbehaves on command: a proxy on the machine, in front of the lab's own.

Requests pass through unchanged, with the `Host` that the client signed, until a fault is set::

    async with faulty(lab, s3) as proxy:
        ...                                            # a store at proxy.endpoint
        with proxy.fault(Refuse(503), method="PUT"):
            ...                                        # a backup that is retried, or fails and says why
        assert proxy.hits
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from e2e.lab import S3, Lab

CHUNK = 64 * 1024
# What belongs to one connection and not to the request; the body's length is the body's own.
_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "expect"})
_CODES = {
    403: "AccessDenied",
    413: "EntityTooLarge",
    500: "InternalError",
    503: "SlowDown",
}


@dataclass(frozen=True)
class Refuse:
    """Answers with an error of S3 and does nothing."""

    status: int


@dataclass(frozen=True)
class ErrorInside:
    """Does nothing and answers 200, with an error as the body: what S3 does when an operation
    fails after its answer has begun."""


@dataclass(frozen=True)
class Truncate:
    """Breaks off in the middle of an answer's body, or (`quietly`) ends it there as if that were
    all."""

    quietly: bool = False


@dataclass(frozen=True)
class SwallowHalf:
    """Stores only the first half of what is uploaded, and says that all went well.

    Only for uploads whose length and hash the server cannot check.
    """


@dataclass(frozen=True)
class Cut:
    """Breaks off in the middle of an upload's body, towards both sides."""


@dataclass(frozen=True)
class Flip:
    """Turns over one bit in the middle of an answer's body."""


@dataclass(frozen=True)
class Slow:
    """Passes bodies on at so many bytes a second, both ways."""

    rate: float


@dataclass(frozen=True)
class Hang:
    """Takes the request and never answers."""


Fault = Refuse | ErrorInside | Truncate | SwallowHalf | Cut | Flip | Slow | Hang


@dataclass
class _Set:
    """A fault, and which requests it befalls: of a method, with a text in path or query and one
    at their end, `left` of them at most."""

    fault: Fault
    method: str | None
    containing: str
    ending: str
    left: int | None

    def takes(self, request: web.BaseRequest) -> bool:
        fits = self.method in {None, request.method} and self.containing in request.path_qs
        if not fits or not request.path_qs.endswith(self.ending) or self.left == 0:
            return False
        if self.left is not None:
            self.left -= 1
        return True


class Proxy:
    """The server; made by `faulty`."""

    def __init__(self, s3: S3, session: aiohttp.ClientSession) -> None:
        self.endpoint = ""
        self.requests = 0
        """How many came in."""
        self.hits = 0
        """How many of them a fault befell."""
        self.under_way = 0
        """How many are not through yet, on this side or towards the server."""
        self._s3 = s3
        self._session = session
        self._set: list[_Set] = []
        self._changed = asyncio.Event()
        self._lines: set[asyncio.Transport] = set()

    def break_off(self) -> None:
        """Ends all that is under way: of a client that is gone for good nobody else hears."""
        for line in tuple(self._lines):
            line.abort()

    async def until(self, true: Callable[[], bool]) -> None:
        """Returns when something is true that changes as requests come and go."""
        while not true():
            await self._changed.wait()

    @contextmanager
    def fault(
        self,
        fault: Fault,
        *,
        method: str | None = None,
        containing: str = "",
        ending: str = "",
        times: int | None = None,
    ) -> Iterator[None]:
        """As long as the block lasts a fault befalls the requests that fit."""
        one = _Set(fault, method, containing, ending, times)
        self._set.append(one)
        try:
            yield
        finally:
            self._set.remove(one)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request."""
        fault = next((each.fault for each in self._set if each.takes(request)), None)
        line = request.transport
        self._count(requests=1, hits=fault is not None, under_way=1)
        try:
            if line is not None:
                self._lines.add(line)
            return await self._handled(request, fault)
        finally:
            if line is not None:
                self._lines.discard(line)
            self._count(under_way=-1)

    def _count(self, *, requests: int = 0, hits: int = 0, under_way: int = 0) -> None:
        self.requests += requests
        self.hits += hits
        self.under_way += under_way
        self._changed.set()
        self._changed = asyncio.Event()

    async def _handled(self, request: web.BaseRequest, fault: Fault | None) -> web.StreamResponse:
        match fault:
            case Refuse(status):
                await _drain(request)
                return _error(status)
            case ErrorInside():
                await _drain(request)
                return web.Response(text=_xml("InternalError"), content_type="application/xml")
            case Hang():
                await asyncio.Event().wait()
        return await self._pass(request, fault)

    async def _pass(self, request: web.BaseRequest, fault: Fault | None) -> web.StreamResponse:
        url = f"{self._s3.endpoint}{request.raw_path}"
        headers = _forwarded(request.headers)
        if isinstance(fault, SwallowHalf):
            headers["Content-Length"] = str((request.content_length or 0) // 2)
        body = _upload(request, fault) if request.body_exists else None
        try:
            async with self._session.request(
                request.method,
                URL(url, encoded=True),
                headers=headers,
                data=body,
                allow_redirects=False,
            ) as answer:
                return await _relay(request, answer, fault)
        except aiohttp.ClientError:
            if isinstance(fault, Cut) and request.transport is not None:
                request.transport.abort()
            return _error(502)


async def _relay(
    request: web.BaseRequest, answer: aiohttp.ClientResponse, fault: Fault | None
) -> web.StreamResponse:
    """Passes an answer on, with what befalls its body."""
    size = answer.content_length
    half = (size or 0) // 2
    response = web.StreamResponse(status=answer.status, headers=_forwarded(answer.headers))
    if request.method == "HEAD":
        await response.prepare(request)
        return response
    truncate = isinstance(fault, Truncate) and half > 0
    if truncate and isinstance(fault, Truncate) and fault.quietly:
        response.headers["Content-Length"] = str(half)
    await response.prepare(request)
    sent = 0
    async for chunk in answer.content.iter_chunked(CHUNK):
        part = chunk[: half - sent] if truncate else _flipped(chunk, sent, half, fault)
        if part:
            await response.write(part)
        sent += len(part)
        if truncate and sent >= half:
            if isinstance(fault, Truncate) and not fault.quietly and request.transport is not None:
                request.transport.abort()
            return response
        await _linger(part, fault)
    return response


async def _upload(request: web.BaseRequest, fault: Fault | None) -> AsyncIterator[bytes]:
    half = (request.content_length or 0) // 2
    if isinstance(fault, SwallowHalf):
        # All of it is taken before anything is confirmed, as of a server that means well.
        taken = bytearray()
        async for chunk in request.content.iter_chunked(CHUNK):
            taken += chunk[: half - len(taken)]
        yield bytes(taken)
        return
    sent = 0
    async for chunk in request.content.iter_chunked(CHUNK):
        if isinstance(fault, Cut) and sent >= half:
            raise ConnectionAbortedError
        sent += len(chunk)
        yield chunk
        await _linger(chunk, fault)


def _flipped(chunk: bytes, before: int, place: int, fault: Fault | None) -> bytes:
    """A chunk that begins at `before`, with the bit turned over if it is in there."""
    inside = place - before
    if not isinstance(fault, Flip) or not 0 <= inside < len(chunk):
        return chunk
    return chunk[:inside] + bytes([chunk[inside] ^ 1]) + chunk[inside + 1 :]


async def _linger(chunk: bytes, fault: Fault | None) -> None:
    if isinstance(fault, Slow):
        await asyncio.sleep(len(chunk) / fault.rate)


async def _drain(request: web.BaseRequest) -> None:
    async for _ in request.content.iter_chunked(CHUNK):
        pass


def _forwarded(headers: CIMultiDict[str] | aiohttp.typedefs.LooseHeaders) -> CIMultiDict[str]:
    given = CIMultiDict(headers)
    return CIMultiDict((name, value) for name, value in given.items() if name.lower() not in _HOP)


def _error(status: int) -> web.Response:
    text = _xml(_CODES.get(status, "InternalError"))
    return web.Response(status=status, text=text, content_type="application/xml")


def _xml(code: str) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>on command</Message>"
        "<RequestId>lab</RequestId></Error>"
    )


@asynccontextmanager
async def faulty(lab: Lab, s3: S3) -> AsyncIterator[Proxy]:
    """A proxy that pods reach, with a certificate of the server's own CA."""
    address = str(lab.state.machine)
    async with served(s3, address) as proxy:
        yield proxy


@asynccontextmanager
async def served(s3: S3, address: str) -> AsyncIterator[Proxy]:
    """A proxy at a free port of an address of this machine."""
    # Bodies pass as they are, whatever they say of their encoding.
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=s3.trust(), limit=0),
        timeout=aiohttp.ClientTimeout(total=None, connect=10),
        auto_decompress=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
    ) as session:
        proxy = Proxy(s3, session)
        runner = web.ServerRunner(web.Server(proxy.handle), shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, address, 0, ssl_context=s3.certificate(address))
            await site.start()
            port = runner.addresses[0][1]
            proxy.endpoint = f"https://{address}:{port}"
            yield proxy
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await runner.cleanup()
