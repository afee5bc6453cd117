"""How fast is read what nobody asked for piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

REQUEST: Final = 64 * 1024
"""Bytes that every request counts beside its answer: it may need a TLS handshake of its own."""
CHUNK: Final = 256
"""Bytes that every chunk of an answer counts beside its own, however short it is."""
LINE: Final = 1024
"""Bytes that every line of a watch counts beside its own, blank ones too: the work that it makes."""


class ReadRate:
    """Reads no faster than at a rate, but for a burst; who sends more has to wait.

    Whoever is in the place of an API server could otherwise keep the process busy. All that the
    watches of one server make us read counts here, so that however many there are it gets no more
    of the process: requests, lists, streams. What passes ask for is bounded by the passes.

    A list counts for the lists after it alone: what changes right after a large one is told at once.
    """

    BURST = 8.0
    """Seconds at the full rate that streams may bring at once."""
    LISTS = 128.0
    """The same for lists and streams together, before a list has to wait: with the rate of a
    business cluster this is all of its nodes, as many as Kubernetes supports."""

    def __init__(self, rate: float | None, monotonic: Callable[[], float]) -> None:
        """`rate`: bytes a second; None for no limit."""
        self._rate = rate
        self._monotonic = monotonic
        self._streams_at = self._all_at = monotonic()
        """When what came would have come at the full rate: of streams alone, and of everything."""

    def owe(self, size: int) -> None:
        """So many bytes of a list came."""
        if self._rate is not None:
            self._all_at = max(self._monotonic(), self._all_at) + size / self._rate

    async def list_on(self) -> float:
        """Before each request for a list: waits until it may be made; returns for how long."""
        self.owe(REQUEST)
        return await self._wait(self._all_at, self.LISTS)

    async def keep(self, size: int) -> None:
        """So many bytes of a stream came, or are the cost of one: waits until they may have come."""
        if self._rate is None:
            return
        self.owe(size)
        self._streams_at = max(self._monotonic(), self._streams_at) + size / self._rate
        await self._wait(self._streams_at, self.BURST)

    async def _wait(self, until: float, burst: float) -> float:
        ahead = until - self._monotonic() - burst
        if self._rate is None or ahead <= 0:
            return 0.0
        await asyncio.sleep(ahead)
        return ahead
