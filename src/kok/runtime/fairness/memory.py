"""Room in memory for passes that hold much of what they read, shared fairly by namespace.

Nearly all passes hold little, and wait for nobody. One that comes to more lets all of it go and
begins again when it has its turn among those of its size: so what all passes hold together is
bounded, whatever is in the objects that they look at, and of one namespace no more than a part.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from kok.kube.budget.limits import MIB
from kok.kube.budget.pass_memory import PassMemory
from kok.runtime.fairness.slots import FairSlots


@dataclass(frozen=True, slots=True)
class PassSize:
    """Passes of about the same size."""

    most: int
    """Bytes that one of them holds at most."""
    at_once: int | None = None
    """How many there are at a time; None for as many as there are passes."""
    share: int = 1
    """How many of them may be of one namespace."""


SIZES: Final = (
    PassSize(3 * MIB // 2),
    PassSize(8 * MIB, at_once=8, share=3),
    PassSize(32 * MIB, at_once=2),
)
"""All of those that have turns hold 128 MiB together, those of one namespace 56 MiB."""
SPAN: Final = 120.0
"""Seconds after which who has a turn makes room for those of other namespaces that wait."""

Owner = tuple[str, tuple[str, str]]
"""Kind, and namespace and name."""


class MemoryTurns:
    """The turns of one operator's passes."""

    def __init__(self, sizes: tuple[PassSize, ...] = SIZES, span: float = SPAN) -> None:
        self._sizes = sizes
        self._turns = [
            None if s.at_once is None else FairSlots(s.at_once, share=s.share, span=span)
            for s in sizes
        ]
        self._known: dict[Owner, int] = {}
        """Of passes that were not small when they were last seen: the place of their size."""

    @asynccontextmanager
    async def one(self, owner: Owner) -> AsyncIterator[PassMemory]:
        """Waits for the turn of a pass, and holds it. What it reads is to be told to the result.

        Raises `GaveWay` in the place of what was done meanwhile if others waited for too long.
        """
        place = self._known.get(owner, 0)
        final = place == len(self._sizes) - 1
        memory = PassMemory(self._sizes[place].most, final=final)
        turns = self._turns[place]
        if turns is None:
            yield memory
            return
        async with turns.one(owner[1][0]):
            yield memory
        self._note(owner, memory.size)

    def grew(self, owner: Owner) -> None:
        """It needs more room than it had."""
        self._known[owner] = min(self._known.get(owner, 0) + 1, len(self._sizes) - 1)

    def _note(self, owner: Owner, size: int) -> None:
        """It may need less the next time."""
        place = next((n for n, one in enumerate(self._sizes) if size <= one.most), None)
        if place == 0:
            self.forget(owner)
        elif place is not None:
            self._known[owner] = place

    def forget(self, owner: Owner) -> None:
        """The object is gone."""
        self._known.pop(owner, None)
