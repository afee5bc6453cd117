"""Slots that are shared fairly by namespace: who wants many waits for himself, not for others.

A namespace is what a tenant has. Whatever is limited for the whole operator (passes, renderings,
look-ups of names) is handed out in turn by namespace, never by order of arrival alone.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol


class Timer(Protocol):
    """What `Later` returns."""

    def cancel(self) -> None:
        """The call is no longer wanted."""


Later = Callable[[float, Callable[[], None]], Timer]
"""Calls a function after so many seconds."""


@dataclass(eq=False, slots=True)
class _Turn:
    """One holder of a slot."""

    namespace: str
    timer: Timer | None = None
    patient: bool = False
    """Held for longer than `grace`: it no longer counts for other namespaces."""


class FairSlots:
    """At most `slots` holders at a time.

    - One namespace holds `share` of them at most, so that some are always free for others.
    - A slot that becomes free goes to the namespace that holds the fewest; among equals, to the
      one whose last turn is the longest ago. Within a namespace the order is that of arrival.
    - With `grace` (seconds), who has held a slot for so long evidently waits for something and
      does not work: it gives the slot back and counts for its own namespace only. Therefore no
      number of namespaces whose servers are silent uses up all slots. `ceiling` bounds all
      holders together.
    """

    def __init__(
        self,
        slots: int,
        *,
        share: int | None = None,
        grace: float | None = None,
        ceiling: int | None = None,
        later: Later | None = None,
    ) -> None:
        """By default one namespace may hold three quarters, and all together eight times as many
        as there are slots. `later` is the loop's `call_later`, unless a test moves the time.
        """
        self._slots = slots
        self._share = share or max(1, slots * 3 // 4)
        self._grace = grace
        self._ceiling = ceiling or slots * 8
        self._later = later
        self._turns: set[_Turn] = set()
        self._held: Counter[str] = Counter()
        self._impatient = 0
        self._waiting: dict[str, deque[asyncio.Future[_Turn]]] = {}
        self._last: dict[str, int] = {}
        """When each namespace that waits or holds had its last turn, counted in turns."""
        self._count = 0

    def holds(self, namespace: str) -> bool:
        """Whether a namespace has its turn: whatever else of it waits, waits for itself."""
        return self._held[namespace] > 0

    @asynccontextmanager
    async def one(self, namespace: str) -> AsyncIterator[None]:
        """Waits for a turn and holds it."""
        turn = await self._take(namespace)
        try:
            yield
        finally:
            self._give_back(turn)

    async def _take(self, namespace: str) -> _Turn:
        coming: asyncio.Future[_Turn] = asyncio.get_running_loop().create_future()
        queue = self._waiting.setdefault(namespace, deque())
        queue.append(coming)
        self._hand_out()
        try:
            return await coming
        except asyncio.CancelledError:
            if coming.done() and not coming.cancelled():
                # The turn came at the same moment.
                self._give_back(coming.result())
            elif coming in queue:
                queue.remove(coming)
                self._tidy(namespace)
            raise

    def _hand_out(self) -> None:
        while (
            self._impatient < self._slots
            and len(self._turns) < self._ceiling
            and (namespace := self._next()) is not None
        ):
            coming = self._waiting[namespace].popleft()
            if not coming.cancelled():
                coming.set_result(self._begun(namespace))
            self._tidy(namespace)

    def _next(self) -> str | None:
        """The namespace whose turn it is."""
        able = [n for n in self._waiting if self._held[n] < self._share]
        return min(able, key=lambda n: (self._held[n], self._last.get(n, 0)), default=None)

    def _begun(self, namespace: str) -> _Turn:
        turn = _Turn(namespace)
        self._count += 1
        self._last[namespace] = self._count
        self._turns.add(turn)
        self._held[namespace] += 1
        self._impatient += 1
        if self._grace is not None:
            later = self._later or asyncio.get_running_loop().call_later
            turn.timer = later(self._grace, lambda: self._grow_patient(turn))
        return turn

    def _grow_patient(self, turn: _Turn) -> None:
        if turn in self._turns and not turn.patient:
            turn.patient = True
            self._impatient -= 1
            self._hand_out()

    def _give_back(self, turn: _Turn) -> None:
        self._turns.discard(turn)
        if turn.timer is not None:
            turn.timer.cancel()
        if not turn.patient:
            self._impatient -= 1
        self._held[turn.namespace] -= 1
        self._tidy(turn.namespace)
        self._hand_out()

    def _tidy(self, namespace: str) -> None:
        """Forgets a namespace that neither waits nor holds."""
        if not self._waiting.get(namespace):
            self._waiting.pop(namespace, None)
            if not self._held[namespace]:
                del self._held[namespace]
                self._last.pop(namespace, None)
