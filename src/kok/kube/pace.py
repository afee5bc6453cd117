"""How fast is read what nobody asked for piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Pace:
    """Reads streams no faster than at a rate, but for a burst; their sender has to wait.

    Whoever is in the place of an API server could otherwise keep the process busy with events. All
    watches of one server share one: as many as they are, it gets no more of the process.
    """

    BURST = 8.0
    """Seconds at the full rate that may come at once."""
    EVENT = 1024
    """Bytes that every event counts beside its own: the work that it makes."""

    def __init__(self, rate: float | None, monotonic: Callable[[], float]) -> None:
        """`rate`: bytes a second; None for no limit."""
        self._rate = rate
        self._monotonic = monotonic
        self._free_at = monotonic()

    async def keep(self, size: int) -> None:
        """Waits until as many bytes may have come."""
        if self._rate is None:
            return
        now = self._monotonic()
        self._free_at = max(now, self._free_at) + (size + self.EVENT) / self._rate
        ahead = self._free_at - now - self.BURST
        if ahead > 0:
            await asyncio.sleep(ahead)
