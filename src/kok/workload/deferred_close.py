"""What was replaced and is still in use: it is closed a moment later."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Final

SECONDS: Final = 30.0
"""For which a replaced client stays open: passes may still be using it."""
MOST: Final = 2
"""Of one key: who has ever new ones made has no more of them open."""


@dataclass(eq=False, slots=True)
class _One:
    now: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when nobody waits any more."""
    task: asyncio.Task[None] | None = None


class DeferredClose:
    """Clients that are about to be closed, by what they are clients of."""

    def __init__(self) -> None:
        self._of: dict[Hashable, list[_One]] = {}

    def __len__(self) -> int:
        """How many are open."""
        return sum(map(len, self._of.values()))

    def add(
        self,
        key: Hashable,
        end: Callable[[], Awaitable[None]],
        close: Callable[[], Awaitable[None]],
    ) -> None:
        """Ends at once what the one in its place does by itself, and closes it later.

        Neither may raise. With too many of a key the oldest are closed now.
        """
        ones = self._of.setdefault(key, [])
        for old in ones[: len(ones) - MOST + 1]:
            old.now.set()
        one = _One()
        ones.append(one)
        one.task = asyncio.create_task(self._linger(key, one, end, close), name="closing later")

    async def close(self) -> None:
        """Closes all at once."""
        ones = [one for some in self._of.values() for one in some]
        for one in ones:
            one.now.set()
        tasks = [one.task for one in ones if one.task is not None]
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _linger(
        self,
        key: Hashable,
        one: _One,
        end: Callable[[], Awaitable[None]],
        close: Callable[[], Awaitable[None]],
    ) -> None:
        try:
            await end()
            try:
                async with asyncio.timeout(SECONDS):
                    await one.now.wait()
            except TimeoutError:
                pass  # Nobody was in a hurry.
        finally:
            self._of[key].remove(one)
            if not self._of[key]:
                del self._of[key]
            await close()
