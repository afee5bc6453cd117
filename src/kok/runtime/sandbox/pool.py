"""Work of tenants aside, shared fairly by namespace, and its outcomes remembered."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, Final

from kok.runtime.clock import Clock, SystemClock
from kok.runtime.fairness.slots import FairSlots
from kok.runtime.sandbox.process import Limits, TooMuch, Unfinished, run_limited

LIGHT: Final = 2
"""Processes at a time for namespaces of which nothing bad is known."""
HEAVY: Final = 1
"""The same for those whose work was given up lately: they wait for one another."""
PROBATION: Final = 600.0
"""Seconds for which a namespace counts as heavy."""
REST: Final = 9.0
"""How many times as long as work that was given up the heavy ones rest afterwards. With all of them
at it they take a tenth of one processor, and the operator has the rest."""
HONEST: Final = 2.0
"""Seconds of a processor's time that honest work stays below, however long it has to wait for it."""
KEPT: Final = 8 * 2**20
"""Characters of results, as JSON, that are remembered."""
KEPT_EACH: Final = 256 * 1024
"""The same for one result: what is larger is made anew each time."""
_OVERHEAD: Final = 256

Key = tuple[str, str]
Runner = Callable[[Callable[[Any], Any], Any, Limits], Any]


class Outcomes:
    """What work came to, by namespace and digest.

    When there is no room for more, the namespace that has the most loses what it used last.
    """

    def __init__(self, room: int = KEPT) -> None:
        self._room = room
        self._known: OrderedDict[Key, tuple[bool, str]] = OrderedDict()
        self._sizes: Counter[str] = Counter()

    def find(self, key: Key) -> tuple[bool, str] | None:
        """Whether it went well, and its result as JSON or what was too much."""
        if key in self._known:
            self._known.move_to_end(key)
        return self._known.get(key)

    def keep(self, key: Key, *, good: bool, text: str) -> None:
        """Remembers an outcome."""
        if len(text) > KEPT_EACH or key in self._known:
            return
        self._known[key] = (good, text)
        self._sizes[key[0]] += len(text) + _OVERHEAD
        while self._sizes.total() > self._room:
            greediest = max(self._sizes, key=lambda namespace: self._sizes[namespace])
            self._drop(next(known for known in self._known if known[0] == greediest))

    def _drop(self, key: Key) -> None:
        _, text = self._known.pop(key)
        self._sizes[key[0]] -= len(text) + _OVERHEAD
        if not self._sizes[key[0]]:
            del self._sizes[key[0]]


class SandboxPool:
    """Runs functions aside, each piece of work once: its result is remembered, and so is that it
    took too much."""

    def __init__(
        self,
        *,
        run: Runner = run_limited,
        clock: Clock | None = None,
        limits: Limits | None = None,
    ) -> None:
        """`limits` are those of work that comes with none; all are as the process has them, unless
        a test gives others.
        """
        self._run = run
        self._clock = clock or SystemClock()
        self._limits = limits or Limits()
        self._light = FairSlots(LIGHT, share=1)
        self._heavy = FairSlots(HEAVY, share=1)
        self._outcomes = Outcomes()
        self._probation: dict[str, float] = {}
        self._rested = 0.0
        """When the next heavy work may begin."""

    async def run(
        self,
        namespace: str,
        function: Callable[[Any], Any],
        argument: Any,
        *,
        digest: str,
        limits: Limits | None = None,
    ) -> Any:
        """What the function returns, after a journey through JSON; found out in another process.

        The same `digest` means the same work, done once for a namespace. Raises `TooMuch`, also when
        it is asked for again, and `Unfinished`.
        """
        key = (namespace, digest)
        known = self._outcomes.find(key)
        if known is not None:
            return _again(*known)
        heavy = self._on_probation(namespace)
        async with (self._heavy if heavy else self._light).one(namespace):
            if heavy:
                await self._rest()
            # Another pass may have found it out in the meantime.
            known = self._outcomes.find(key)
            if known is not None:
                return _again(*known)
            result = await self._done(key, function, argument, limits or self._limits)
            self._outcomes.keep(key, good=True, text=json.dumps(result))
            return result

    def recall(self, namespace: str, digest: str) -> Any | None:
        """What `run` would return without doing anything; None if it would do the work.

        Raises `TooMuch` as `run` does.
        """
        known = self._outcomes.find((namespace, digest))
        return None if known is None else _again(*known)

    async def _done(
        self, key: Key, function: Callable[[Any], Any], argument: Any, limits: Limits
    ) -> Any:
        """The result; or its namespace is on probation, and heavy work rests."""
        begun = self._clock.monotonic()
        try:
            return await self._run(function, argument, limits)
        except TooMuch as error:
            self._outcomes.keep(key, good=False, text=str(error))
            self._given_up(key[0], begun)
            raise
        except Unfinished as error:
            if error.cpu > HONEST:
                self._given_up(key[0], begun)
            raise

    def _given_up(self, namespace: str, begun: float) -> None:
        now = self._clock.monotonic()
        self._probation[namespace] = now + PROBATION
        self._rested = max(self._rested, now + (now - begun) * REST)

    async def _rest(self) -> None:
        while (left := self._rested - self._clock.monotonic()) > 0:
            await self._clock.wait(asyncio.Event(), left)

    def _on_probation(self, namespace: str) -> bool:
        until = self._probation.get(namespace, 0.0)
        if until <= self._clock.monotonic():
            self._probation.pop(namespace, None)
            return False
        return True


def _again(good: bool, text: str) -> Any:
    if not good:
        raise TooMuch(text)
    return json.loads(text)
