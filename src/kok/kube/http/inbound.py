"""Connections to servers of others: what arrives on them is bounded, and paid for.

aiohttp passes over any number of interim answers, reads what nobody asked for, and leaves it to
OpenSSL how long a server's chain of certificates is; asyncio works all of it off as it comes. None
of that is done by a task of ours, so that no limit of an answer counts it. Here it is counted where
it arrives, before it is taken apart: a connection that sends more than there can be any reason for
ends, and the time that it took goes to the account of the namespace for which it is used.

`Connector` makes such connections; whoever uses it calls `rest` before each request.
"""

from __future__ import annotations

import asyncio
import ssl
from asyncio import sslproto
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from weakref import WeakKeyDictionary

import aiohttp
from aiohttp.client_proto import ResponseHandler

from kok.kube.budget.cpu_shares import NAMESPACE, shares, shares_of
from kok.kube.budget.cpu_time import cpu_seconds

HANDSHAKE: Final = 16 * 1024
"""Bytes that may come before a TLS handshake is through. A chain with some intermediate CAs takes a
few KiB; each certificate of one costs a signature, which whoever made its keys made as dear as
OpenSSL allows: 6 ms."""
WEB: Final = 32 * 1024
"""The same from servers of the world: one certificate may be for hundreds of names there."""
HEAD: Final = 64 * 1024
"""Bytes that may come before an answer, and beside or after what it says."""
INTERIM: Final = 8
"""Interim answers (`100 Continue` and the like) before the one that counts."""
WRAPPING: Final = 8
"""Bytes that may come for each one that an answer says: of TLS, chunks and their extensions."""
FREE: Final = 0.0005
"""Seconds of processor time that each request may cost here. One to an honest server costs less,
and of those there are no more than passes make."""
_FIRST, _SLICE = 4 * 1024, 16 * 1024
"""Bytes that are taken apart before it is looked again whether it is too much, until an answer
begins and after that."""


class Flooded(aiohttp.ClientPayloadError):
    """More came than there can be any reason for; says what, to be put after who sent it."""


@dataclass(slots=True)
class Exchange:
    """What came since a request was sent. Pure."""

    arrived: int = 0
    """Bytes, as they came over the network."""
    left: int = 0
    """Those of them that were not yet taken apart."""
    interim: int = 0
    answers: int = 0
    _ended_at: int | None = None

    def told(self, status: int) -> None:
        """The head of an answer was there."""
        if 100 <= status < 200 and status != 101:
            self.interim += 1
        else:
            self.answers += 1

    def excess(self, said: int, *, ended: bool) -> str | None:
        """What is too much; None if nothing is. `said`: bytes of the answer so far."""
        if self.interim > INTERIM:
            return f"more than {INTERIM} interim answers"
        if self.answers > 1:
            return "more answers than one"
        taken = self.arrived - self.left
        if self.answers == 0:
            return f"more than {HEAD} bytes before an answer" if taken > HEAD else None
        if ended:
            self._ended_at = taken if self._ended_at is None else self._ended_at
        most = HEAD + (WRAPPING * said if self._ended_at is None else self._ended_at)
        return f"more than {HEAD} bytes beside an answer" if taken > most else None


class Guarded(ResponseHandler):
    """aiohttp's end of a connection, for a server that may send anything."""

    def __init__(self, loop: asyncio.AbstractEventLoop, handshake: int) -> None:
        """`handshake`: bytes that may come before TLS is set up."""
        super().__init__(loop)
        self.payer = NAMESPACE.get()
        """Whose work it is used for."""
        self.handshake = handshake
        self.exchange = Exchange()
        self._flooded: Flooded | None = None
        self._free = 0.0
        self._paying = False

    def set_response_params(self, **options: Any) -> None:
        """Called by aiohttp before it sends a request: the counts begin anew, for who asks now."""
        self.payer = NAMESPACE.get()
        self.exchange, self._free = Exchange(), FREE
        super().set_response_params(**options)

    def feed_data(self, data: Any, size: int = 0) -> None:
        """Called by the parser with the head of an answer: the exchange is told its status."""
        self.exchange.told(data[0].code)
        super().feed_data(data, size)

    def data_received(self, data: bytes) -> None:
        """Hands bytes on to aiohttp's parser slice by slice, until all are read or too much came.

        Called with nothing to go on after a pause.
        """
        if not self._paying:
            # Within TLS it is counted before it is deciphered.
            self.exchange.arrived += len(data)
        with self.paid():
            at = 0
            while True:
                size = _SLICE if self.exchange.answers else _FIRST
                if self._reading_paused:
                    # aiohttp keeps what its parser does not take, and only it knows how much.
                    size = len(data)
                self.exchange.left = max(0, len(data) - at - size)
                super().data_received(data[at : at + size])
                at += size
                if self.judged() or at >= len(data):
                    return
                if self.transport is None or self.transport.is_closing():
                    return

    def judged(self) -> bool:
        """Ends the connection if too much came; whether it did."""
        if self._excess() is None:
            return False
        # Some of it may wait in aiohttp's parser, which sometimes pauses once more than it is told.
        super().data_received(b"")
        what = self._excess()
        if what is not None and self._flooded is None:
            self._flooded = Flooded(what)
            self.set_exception(self._flooded)
            if self._payload is not None and not self._payload.is_eof():
                self._payload.set_exception(self._flooded)
            if self.transport is not None:
                self.transport.abort()
        return what is not None

    def _excess(self) -> str | None:
        if self._reading_paused:
            return None
        payload = self._payload
        said, ended = (payload.total_bytes, payload.is_eof()) if payload is not None else (0, False)
        return self.exchange.excess(said, ended=ended)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Ends what waits for an answer, with `Flooded` where that is why the connection ended."""
        super().connection_lost(self._flooded or exc)

    @contextmanager
    def paid(self) -> Iterator[None]:
        """What is done within goes to the payer's account."""
        if self._paying or not self.payer:
            yield
            return
        self._paying, before = True, cpu_seconds()
        try:
            yield
        finally:
            self._paying = False
            free, spent = self._free, cpu_seconds() - before
            self._free = max(0.0, free - spent)
            if spent > free:
                shares_of(self._loop).served(self.payer, spent - free)


class Connector(aiohttp.TCPConnector):
    """Makes `Guarded` connections."""

    def __init__(self, *, handshake: int = HANDSHAKE, **options: Any) -> None:
        """Takes the options of aiohttp's connector."""
        super().__init__(**options)
        # The place where aiohttp looks for who takes what arrives.
        self._factory = partial(Guarded, loop=self._loop, handshake=handshake)  # type: ignore[assignment]


def with_bounded_handshake(
    context: ssl.SSLContext, *, curve: str | None = "prime256v1"
) -> ssl.SSLContext:
    """The same settings of TLS, but that a server does not choose how much work it is to agree on keys.

    In groups of numbers, which a server may have as large as it likes, it takes 0.1 s and more; and
    one that begins anew has its chain verified each time. Every program in Go knows the `curve`;
    None leaves the choice to servers of the world.
    """
    curves = [one["name"] for one in context.get_ciphers() if one["kea"] == "kx-ecdhe"]
    context.set_ciphers(":".join(curves))
    if curve is not None:
        context.set_ecdh_curve(curve)
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


async def rest() -> None:
    """Before each request to a server of others: waits until who asks may have it asked."""
    if namespace := NAMESPACE.get():
        await shares().rest(namespace)


class Tls(sslproto.SSLProtocol):
    """asyncio's TLS, which takes the place of asyncio's own.

    It is another one for `Guarded` connections alone.
    """

    # asyncio sets aside 256 KiB for every TLS connection, and OpenSSL as much as it is then handed
    # at once. An operator holds half a dozen watches for each Cluster, which say little: one record
    # of TLS at a time saves it 0.5 MiB for each Cluster and costs 0.5 ms for each MB that is read.
    max_size = 16 * 1024
    _came = 0
    _incoming: ssl.MemoryBIO
    _ssl_buffer_view: memoryview
    _state: sslproto.SSLProtocolState
    _transport: asyncio.Transport
    _do_handshake: Callable[[], None]

    def buffer_updated(self, nbytes: int) -> None:
        """Called when so many bytes came: counts them; a handshake waits for its turn."""
        inside: Any = self._app_protocol
        if not isinstance(inside, Guarded):
            super().buffer_updated(nbytes)
        elif self._state is sslproto.SSLProtocolState.DO_HANDSHAKE:
            self._came += nbytes
            if self._came > inside.handshake:
                self._refuse(f"more than {inside.handshake} bytes of a TLS handshake")
                return
            self._incoming.write(self._ssl_buffer_view[:nbytes])
            self._transport.pause_reading()
            _handshakes(self._loop).add(inside.payer, partial(self._go_on, inside))
        else:
            inside.exchange.arrived += nbytes
            with inside.paid():
                super().buffer_updated(nbytes)
            inside.judged()

    def _go_on(self, inside: Guarded) -> None:
        """Works off what came of the handshake."""
        if self._transport is None or self._state is not sslproto.SSLProtocolState.DO_HANDSHAKE:
            return
        self._transport.resume_reading()
        with inside.paid():
            self._do_handshake()

    def _refuse(self, what: str) -> None:
        self._wakeup_waiter(Flooded(what))
        self._transport.abort()


class Handshakes:
    """One step of one TLS handshake for each turn of the loop, one namespace after the other.

    A step is what no other limit makes smaller: by all the signatures of a chain it takes some
    50 ms, of which a hundred could be ready at a time. Whose account is overdrawn waits.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Callable[[], None]]] = {}
        """By whose they are; those whose turn it is come first."""
        self._next: asyncio.Handle | None = None

    def add(self, namespace: str, step: Callable[[], None]) -> None:
        """Has a step done when it is its turn."""
        self._waiting.setdefault(namespace, deque()).append(step)
        self._in(0.0)

    def _in(self, seconds: float) -> None:
        """Has the next turn after so many seconds, or at the loop's next."""
        if self._next is not None:
            self._next.cancel()
        # In nobody's name: the steps themselves know who pays.
        loop, context = asyncio.get_running_loop(), Context()
        self._next = (
            loop.call_later(seconds, self._turn, context=context)
            if seconds
            else loop.call_soon(self._turn, context=context)
        )

    def _turn(self) -> None:
        self._next, waits = None, []
        for namespace in list(self._waiting):
            left = shares().left(namespace) if namespace else 0.0
            if left > 0:
                waits.append(left)
                continue
            steps = self._waiting.pop(namespace)
            step = steps.popleft()
            if steps:
                self._waiting[namespace] = steps
            if self._waiting:
                self._in(0.0)
            step()
            return
        if waits:
            self._in(min(waits))


_queues: WeakKeyDictionary[asyncio.AbstractEventLoop, Handshakes] = WeakKeyDictionary()


def _handshakes(loop: asyncio.AbstractEventLoop) -> Handshakes:
    found = _queues.get(loop)
    if found is None:
        found = _queues[loop] = Handshakes()
    return found


# Nothing tells asyncio to use another one for a connection of its event loops.
sslproto.SSLProtocol = Tls  # type: ignore[misc]
