"""Slots that are shared fairly by namespace: who wants many waits for himself, not for others.

A namespace is what a tenant has. Whatever is limited for the whole operator (passes, renderings,
look-ups of names) is handed out in turn by namespace, never by order of arrival alone.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol


class Timer(Protocol):
    """What `Later` returns."""

    def cancel(self) -> None:
        """The call is no longer wanted."""


Later = Callable[[float, Callable[[], None]], Timer]
"""Calls a function after so many seconds."""


class GaveWay(Exception):
    """A slot was held for long while others waited; whoever held it asks for another turn."""


@dataclass(eq=False, slots=True)
class _Turn:
    """One holder of a slot."""

    namespace: str
    timers: list[Timer] = field(default_factory=list)
    patient: bool = False
    """Held for longer than `grace`: it no longer counts for other namespaces."""
    over: bool = False
    """Held for longer than `span`: it ends when others wait."""
    limit: asyncio.Timeout | None = None
    """Ends what is done with the slot."""


class FairSlots:
    """At most `slots` holders at a time.

    - One namespace holds `share` of them at most, so that some are always free for others.
    - A slot that becomes free goes to the namespace that holds the fewest; among equals, to the
      one whose last turn is the longest ago. Within a namespace the order is that of arrival.
    - With `grace` (seconds), who has held a slot for so long evidently waits for something and
      does not work: it gives the slot back and counts for its own namespace only. Therefore no
      number of namespaces whose servers are silent uses up all slots. `ceiling` bounds all
      holders together, but a namespace that holds none gets one beyond it: what bounds those is
      how many namespaces there are.
    - With `span` (seconds), who has held a slot for so long has to leave (`GaveWay`) as soon as
      others wait for it.
    """

    def __init__(
        self,
        slots: int,
        *,
        share: int | None = None,
        grace: float | None = None,
        ceiling: int | None = None,
        span: float | None = None,
        later: Later | None = None,
    ) -> None:
        """By default one namespace may hold three quarters, and all together eight times as many
        as there are slots. `later` is the loop's `call_later`, unless a test moves the time.
        """
        self._slots = slots
        self._share = share or max(1, slots * 3 // 4)
        self._grace = grace
        self._ceiling = ceiling or slots * 8
        self._span = span
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
        """Waits for a turn and holds it. Raises `GaveWay` in the place of what was done meanwhile
        if others waited for too long.
        """
        turn = await self._take(namespace)
        try:
            async with asyncio.timeout(None) as turn.limit:
                yield
        except TimeoutError:
            if turn.limit is not None and turn.limit.expired():
                raise GaveWay from None
            raise
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
        while self._impatient < self._slots and (namespace := self._next()) is not None:
            coming = self._waiting[namespace].popleft()
            if not coming.cancelled():
                coming.set_result(self._begun(namespace))
            self._tidy(namespace)
        for turn in [turn for turn in self._turns if turn.over]:
            self._end(turn)

    def _next(self) -> str | None:
        """The namespace whose turn it is."""
        share = self._share if len(self._turns) < self._ceiling else 1
        able = [n for n in self._waiting if self._held[n] < share]
        return min(able, key=lambda n: (self._held[n], self._last.get(n, 0)), default=None)

    def _begun(self, namespace: str) -> _Turn:
        turn = _Turn(namespace)
        self._count += 1
        self._last[namespace] = self._count
        self._turns.add(turn)
        self._held[namespace] += 1
        self._impatient += 1
        later = self._later or asyncio.get_running_loop().call_later
        if self._grace is not None:
            turn.timers.append(later(self._grace, lambda: self._grow_patient(turn)))
        if self._span is not None:
            turn.timers.append(later(self._span, lambda: self._end(turn)))
        return turn

    def _end(self, turn: _Turn) -> None:
        """Its time is over: it goes on only as long as nobody else waits for a slot."""
        turn.over = True
        waits = any(n != turn.namespace for n in self._waiting)
        if waits and turn.limit is not None and turn.limit.when() is None:
            turn.limit.reschedule(asyncio.get_running_loop().time())

    def _grow_patient(self, turn: _Turn) -> None:
        if turn in self._turns and not turn.patient:
            turn.patient = True
            self._impatient -= 1
            self._hand_out()

    def _give_back(self, turn: _Turn) -> None:
        self._turns.discard(turn)
        for timer in turn.timers:
            timer.cancel()
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
