"""One large object in one request, sent by a thread of its own.

By aiohttp, which copies it piece by piece, it costs a core half a second more a GB.
"""

from __future__ import annotations

import asyncio
import queue
import socket
import ssl
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, HTTPSConnection

from kok.kube.http import dial

_AHEAD = 2
"""Pieces that wait to be sent, at most."""
_CONNECT = 10.0
_SETTLE = 10.0
"""Seconds that the thread gets to notice that nobody waits for it any more."""
_SAID = 5.0
"""Seconds for reading what was said before the connection was closed."""
_STRETCH = 5 * 1024**2
_ANSWER = 64 * 1024


class Misannounced(Exception):
    """There is more or less to send than was said before."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes: host and port, and what its first line and its headers say."""

    host: str
    port: int
    method: str
    path: str
    headers: Mapping[str, str]
    closed: Sequence[str] = ()
    """Ranges that its address must not lie in."""


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer. `whole` tells whether all had been sent when it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool


async def upload(
    target: Target, tls: ssl.SSLContext, pieces: AsyncIterator[bytes], size: int, stall: float
) -> Answered:
    """Sends pieces of so many bytes in all.

    The last piece goes only when there are no more: with it the server takes all as complete.
    Raises what `pieces` raises, `Misannounced`, and `OSError` or `HTTPException` for connections
    that fail; `TimeoutError` if the server takes longer than `stall` seconds for 5 MiB or for its
    answer.
    """
    line = _Line(target, tls, stall)
    sender = ThreadPoolExecutor(max_workers=1, thread_name_prefix="upload")
    sending = asyncio.get_running_loop().run_in_executor(sender, line.run)
    try:
        async with aclosing(_checked(pieces, size)) as checked:
            async for piece in checked:
                if not await line.take(piece):
                    break
            else:
                line.end()
        return await sending
    finally:
        line.stop()
        sender.shutdown(wait=False)
        await asyncio.wait([sending], timeout=_SETTLE)
        if sending.done() and not sending.cancelled():
            # Whatever else went wrong came first.
            sending.exception()


async def _checked(pieces: AsyncIterator[bytes], size: int) -> AsyncGenerator[bytes]:
    """The pieces, each when the next one has come."""
    ready, came = b"", 0
    async for piece in pieces:
        came += len(piece)
        if came > size:
            break
        if ready:
            yield ready
        ready = piece
    if came != size:
        raise Misannounced(f"{size} bytes were announced, and others came")
    if ready:
        yield ready


class _Line:
    """The request as the thread sees it, and the hand-over of pieces to it."""

    def __init__(self, target: Target, tls: ssl.SSLContext, stall: float) -> None:
        self._target = target
        self._stall = stall
        self._tls = tls
        self._connection = HTTPSConnection(target.host, target.port, context=tls, timeout=_CONNECT)
        self._pieces = queue.SimpleQueue[bytes | None]()
        self._loop, self._room = asyncio.get_running_loop(), asyncio.Semaphore(_AHEAD)
        self._lock, self._stopped = threading.Lock(), False
        self._socket: socket.socket | None = None
        self._over = False

    async def take(self, piece: bytes) -> bool:
        """Whether it is still sent; not if the request came to its end meanwhile."""
        await self._room.acquire()
        if not self._over:
            self._pieces.put(piece)
        return not self._over

    def end(self) -> None:
        """There are no more pieces."""
        self._pieces.put(None)

    def stop(self) -> None:
        """Ends it at once, if it has not ended."""
        with self._lock:
            self._stopped = True
            if self._socket is not None:
                with suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
        self._pieces.put(None)

    def run(self) -> Answered:
        """The thread's work."""
        try:
            self._begin()
            try:
                self._send()
            except TimeoutError:
                raise
            except OSError:
                # Who refuses at once may close before all is sent, and have said why.
                with suppress(OSError, HTTPException):
                    return self._answer(min(self._stall, _SAID), whole=False)
                raise
            return self._answer(self._stall, whole=True)
        finally:
            with self._lock:
                self._socket = None
            self._connection.close()
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        self._over = True
        self._room.release()

    def _begin(self) -> None:
        connection, target = self._connection, self._target
        plain = dial.connect(target.host, target.port, target.closed, _CONNECT)
        connection.sock = self._tls.wrap_socket(plain, server_hostname=target.host)
        with self._lock:
            self._socket = connection.sock
            if self._stopped:
                raise ConnectionAbortedError
        connection.sock.settimeout(self._stall)
        connection.putrequest(target.method, target.path, skip_host=True, skip_accept_encoding=True)
        for name, value in target.headers.items():
            connection.putheader(name, value)
        connection.endheaders()

    def _send(self) -> None:
        left, sent = self._stall, 0
        while (piece := self._pieces.get()) is not None:
            self._connection.sock.settimeout(max(left, 0.001))
            began = time.monotonic()
            self._connection.send(piece)
            left, sent = left - (time.monotonic() - began), sent + len(piece)
            if sent >= _STRETCH:
                left, sent = self._stall, 0
            self._loop.call_soon_threadsafe(self._room.release)
        if self._stopped:
            raise ConnectionAbortedError

    def _answer(self, within: float, *, whole: bool) -> Answered:
        self._connection.sock.settimeout(within)
        response: HTTPResponse = self._connection.getresponse()
        body = response.read(_ANSWER)
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answered(response.status, headers, body, whole)
