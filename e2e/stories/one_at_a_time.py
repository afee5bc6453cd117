"""Watching that what disturbs nodes comes to one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from e2e.framework.environment import Environment
from e2e.framework.follow import TooLate, has
from kok.api import Machine
from kok.api.meta import Manifest

MACHINE = Machine.info.kind


class OneAtATime:
    """Which Machines have been changed in what disturbs nodes, and proven themselves after it."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._specs: dict[str, object] = {}
        self._proven: set[str] = set()
        self.changing: set[str] = set()
        """Machines whose change is under way; there must never be two."""

    def see(self, found: Manifest) -> None:
        """Takes note of a Machine as it is."""
        name, spec = found["metadata"]["name"], found["spec"]
        wanted = (spec.get("accessHash"), spec.get("components"))
        if self._specs.setdefault(name, wanted) != wanted:
            self._specs[name] = wanted
            self.changing.add(name)
        elif name in self.changing and has("UpToDate")(found) and has("Ready")(found):
            self.changing.discard(name)
            self._proven.add(name)

    def over(self) -> bool:
        """Whether it was the turn of every Machine."""
        return not self.changing and self._proven == set(self._specs)


@asynccontextmanager
async def one_after_the_other(w: Environment, namespace: str, within: float) -> AsyncIterator[None]:
    """What is done in the block changes all Machines, each once the one before has proven itself."""
    turns, listed = OneAtATime(), asyncio.Event()
    following = asyncio.create_task(_follow(w, namespace, turns, listed))
    try:
        async with asyncio.timeout(within):
            await listed.wait()
        yield
        async with asyncio.timeout(within):
            await following
    except TimeoutError as error:
        text = f"not all Machines were changed within {within:.0f} s; under way: {turns.changing}"
        raise TooLate(text) from error
    finally:
        following.cancel()


async def _follow(w: Environment, namespace: str, turns: OneAtATime, listed: asyncio.Event) -> None:
    async with aclosing(w.kube.watch(MACHINE, namespace)) as events:
        async for event in events:
            if event.type == "SYNCED":
                listed.set()
            elif event.type != "DELETED":
                turns.see(event.object)
            if len(turns.changing) > 1:
                raise AssertionError(f"changed together: {', '.join(sorted(turns.changing))}")
            if turns.over():
                return
