"""What comes from a host over TCP, before asyncssh works on it: a little at a time, and not for ever.

Nobody knows who listens at an address that a user wrote down. asyncssh takes whatever there is to
read and works it off in one go, without limit; by the smallest packets that SSH knows, a host could
keep the whole operator busy before it has shown any key. Here a slice is passed on for each turn of
the loop, a connection rests when its slices have cost much, and one that sends more than there can
be any reason for ends.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Final, cast

from kok.kube.budget.cpu_time import cpu_seconds

SLICE: Final = 2048
"""Bytes passed on at once: 128 packets at most."""
BEFORE_LOGIN: Final = 64 * 1024
"""Bytes until a login is through. Keys, signatures and a banner take some KiB."""
UNASKED: Final = 64 * 1024
"""Bytes that may come while nothing is asked, and ..."""
UNASKED_RATE: Final = 2048.0
"""... how many of them are forgotten in a second. Signs of life take less than a hundred."""
ANSWER: Final = 3 * 2**20
"""Bytes for an answer: what a script may print, on both streams, in packets."""
EFFORT: Final = 0.25
"""Seconds of processor time that slices may cost before the connection has to rest, and ..."""
EFFORT_RATE: Final = 0.01
"""... how many of them are forgotten in a second."""
_CARRIED: Final = 2 * BEFORE_LOGIN + UNASKED
"""Bytes for each host that is reached by a connection: its login, in packets of its own, and more."""
_REST_MOST = 5.0


class Line:
    """One TCP connection. For asyncssh it is what it calls a tunnel."""

    def __init__(
        self,
        sock: socket.socket,
        cost: Callable[[], float] = cpu_seconds,
        carrier: Line | None = None,
    ) -> None:
        """`cost` tells the processor time that was used so far; `carrier` is the connection to the
        bastion by which this one goes."""
        self._sock = sock
        self._carrier = carrier
        self._carried = 0
        self._cost = cost
        self._left = float(BEFORE_LOGIN)
        self._refill = 0.0
        self._asked = 0
        self._endless = 0
        self._effort = 0.0
        self._then = time.monotonic()
        self.flooded = False
        """Whether it was ended because too much came."""

    async def create_connection(
        self, session_factory: Callable[..., Any], remote_host: str, remote_port: int
    ) -> tuple[Any, Any]:
        """Called by asyncssh in the place of a connection: its session, behind `_Sliced`.

        Returns transport and session, on our own socket; raises what the event loop does.
        """
        del remote_host, remote_port
        loop = asyncio.get_running_loop()
        transport, made = await loop.create_connection(
            lambda: _Sliced(self, session_factory()), sock=self._sock
        )
        return transport, made.session

    def close(self) -> None:
        """Ends it, if nobody took it over."""
        self._sock.close()

    async def wait_closed(self) -> None:
        """There is nothing to wait for."""

    def opened(self) -> None:
        """The login is through: from now on only answers may be long."""
        self._left, self._refill = float(UNASKED), UNASKED_RATE

    @contextmanager
    def asked(self, *, endless: bool = False) -> Iterator[None]:
        """While something is asked, its answer may come. One that is `endless` is for somebody who
        reads it as it comes, and has no limits."""
        self._asked += 1
        self._endless += endless
        self._left += ANSWER
        carrier = self._carrier
        try:
            with carrier.asked(endless=endless) if carrier is not None else nullcontext():
                yield
        finally:
            self._asked -= 1
            self._endless -= endless
            self._left = min(self._left, self._most())

    def carry(self, more: int) -> None:
        """So many hosts more, or fewer, are reached by this connection, which is a bastion's: what
        they may send may come here, and what that costs."""
        self._carried += more
        self._left = min(self._left + max(0, more) * _CARRIED, self._most())

    def take(self, size: int, work: Callable[[], None]) -> float:
        """Has a slice worked off if it is not too much; the seconds to rest after that."""
        if self._endless:
            work()
            return 0.0
        now = time.monotonic()
        passed, self._then = now - self._then, now
        share = 1 + self._carried
        self._left = min(self._left + passed * self._refill * share, self._most()) - size
        if self._left < 0:
            self.flooded = True
            return 0.0
        begun = self._cost()
        work()
        rate = EFFORT_RATE * share
        effort = max(0.0, self._effort - passed * rate) + self._cost() - begun
        self._effort = effort
        return min(_REST_MOST, max(0.0, effort - EFFORT * share) / rate)

    def _most(self) -> float:
        return float(UNASKED + self._asked * ANSWER + self._carried * _CARRIED)


class _Sliced(asyncio.BufferedProtocol):
    """Stands between the socket and asyncssh; the buffer's size is what keeps slices small."""

    def __init__(self, line: Line, session: Any) -> None:
        self.session = session
        self._line = line
        self._buffer = bytearray(SLICE)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called once with the transport, which is handed on to asyncssh's session."""
        self._transport = cast("asyncio.Transport", transport)
        self.session.connection_made(transport)

    def get_buffer(self, sizehint: int) -> bytearray:
        """The buffer for what comes next, of `SLICE` bytes whatever is hinted."""
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Called when so many bytes came: has them worked off, then rests or ends all."""
        transport, data = self._transport, bytes(self._buffer[:nbytes])
        if transport is None or transport.is_closing():
            return
        rest = self._line.take(nbytes, lambda: self.session.data_received(data))
        if self._line.flooded:
            transport.abort()
        elif rest > 0 and not transport.is_closing():
            transport.pause_reading()
            asyncio.get_running_loop().call_later(rest, self._go_on)

    def _go_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def eof_received(self) -> None:
        """Tells the session that the host sends nothing more."""
        self.session.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells the session that the connection is over; nothing is read from then on."""
        self._transport = None
        self.session.connection_lost(exc)
