"""How much of the answers of one API server lies half read in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(eq=False, slots=True)
class _Answer:
    size: int = 0


@dataclass(slots=True)
class AnswersInFlight:
    """All answers of one server that are being read; beyond a sum only the oldest goes on.

    Each one is bounded, but a server decides how slowly it sends, and so how many of them are
    there at a time. The oldest one ends by itself or by its time-out, and then it is the next
    one's turn.
    """

    most: int | None
    """Bytes of all together, beyond those of the oldest; None for no limit."""
    _answers: dict[_Answer, None] = field(default_factory=dict)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    @contextmanager
    def one(self) -> Iterator[_Answer]:
        """An answer that is being read, to be given to `more`."""
        answer = _Answer()
        self._answers[answer] = None
        try:
            yield answer
        finally:
            del self._answers[answer]
            self._ended.set()
            self._ended = asyncio.Event()

    async def more(self, answer: _Answer, size: int) -> None:
        """So many bytes of it came; returns when more may be read."""
        answer.size += size
        while self._full and next(iter(self._answers)) is not answer:
            await self._ended.wait()

    @property
    def _full(self) -> bool:
        return self.most is not None and sum(one.size for one in self._answers) > self.most
