"""The life of the objects of one kind: when their passes come, whatever happens."""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from kok.api.meta import Kind
from kok.kube.budget.cpu_shares import NAMESPACE, shares
from kok.runtime import metrics
from kok.runtime.controller.outcome import WAKE_FLOOR, Outcome, delay_after
from kok.runtime.controller.passes import Passes, Tools
from kok.runtime.controller.queue import Trigger, Triggers
from kok.runtime.controller.reconciler import Key
from kok.runtime.fairness.slots import FairSlots

CROWD = 50
"""More objects than this of a namespace have their first passes spread out at the start."""
FIRST_PASSES_PER_SECOND = 100.0
CLEAN_UP_RESYNC = 10.0
QUICK = 0.05
"""Least seconds between two passes of one object: changes that come together count as one."""


Act = Callable[[Key, int], Awaitable[Outcome]]


class Controller:
    """Runs the passes of one kind's objects; `care` and `clean_up` are what kopf calls."""

    def __init__(
        self,
        kind: Kind,
        passes: Passes,
        tools: Tools,
        *,
        slots: FairSlots,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self.kind = kind
        self._passes = passes
        self._clock = tools.clock
        self._settings = tools.settings
        self._slots = slots
        self._spread = spread
        self.triggers = Triggers(tools.clock.monotonic)
        passes.waker = self.triggers.wake
        self._born = tools.clock.monotonic()
        self._gauge = metrics.OBJECTS.labels(tools.operator, kind.kind)

    async def care(self, key: Key) -> None:
        """Passes for ever; returns only when the object is gone."""
        with self._held(key) as trigger:
            await self._first_delay(trigger, key[0])
            failures, generation = 0, 0
            while True:
                outcome = await self._pass(trigger, key, self._passes.reconcile, failures)
                if outcome.end == "gone":
                    return
                fresh = outcome.generation not in {0, generation}
                generation = outcome.generation or generation
                failures = (1 if fresh else failures + 1) if outcome.end == "error" else 0
                await self._until_next(trigger, outcome, failures)

    async def clean_up(self, key: Key) -> None:
        """Passes of clean-up until the object may go."""
        with self._held(key) as trigger:
            failures = 0
            while True:
                outcome = await self._pass(trigger, key, self._passes.finalize, failures)
                if outcome.end in {"done", "gone"}:
                    return
                failures = failures + 1 if outcome.end == "error" else 0
                # While kopf waits for us it tells nothing of the object itself: we have to look.
                await self._until_next(trigger, outcome, failures, at_most=CLEAN_UP_RESYNC)

    def gone(self, key: Key, uid: str) -> None:
        """An object is no more; whoever works on it may be cancelled before a pass finds that out.

        kopf ends `care` at once, and a deletion that waits for nothing has no `clean_up`.
        """
        trigger = self.triggers.find(key)
        if trigger is None:
            self._passes.forget(key, uid)
        else:
            trigger.gone = uid
            trigger.wake(hard=True)

    def pending(self) -> float:
        """Age in seconds of the oldest wake-up whose namespace does not get its turn.

        What waits for other objects of its own namespace says nothing of the operator.
        """

        def waits_for_itself(namespace: str) -> bool:
            return self._slots.holds(namespace) or shares().left(namespace) > 0

        return self.triggers.oldest(but=waits_for_itself)

    @contextmanager
    def _held(self, key: Key) -> Iterator[Trigger]:
        trigger: Trigger | None = None
        try:
            with self.triggers.held(key) as trigger:
                self._gauge.set(len(self.triggers))
                yield trigger
        finally:
            self._gauge.set(len(self.triggers))
            if trigger is not None and trigger.gone is not None and not trigger.holders:
                self._passes.forget(key, trigger.gone)

    async def _pass(self, trigger: Trigger, key: Key, act: Act, failures: int) -> Outcome:
        NAMESPACE.set(key[0])
        trigger.wake(hard=False)  # counts as waiting until its turn comes
        await shares().rest(key[0])
        async with trigger.lock, self._slots.one(key[0]):
            trigger.take()
            return await act(key, failures)

    async def _first_delay(self, trigger: Trigger, namespace: str) -> None:
        crowd = self.triggers.count(namespace)
        young = self._clock.monotonic() - self._born < crowd / FIRST_PASSES_PER_SECOND + 10.0
        if crowd > CROWD and young:
            delay = self._spread() * crowd / FIRST_PASSES_PER_SECOND
            await self._clock.wait(trigger.urgent, delay)

    async def _until_next(
        self, trigger: Trigger, outcome: Outcome, failures: int, *, at_most: float = math.inf
    ) -> None:
        delay = delay_after(outcome, failures, self._settings, self._spread())
        if outcome.after is None:
            delay = min(delay, at_most)
        delay = max(delay, QUICK)
        floor = min(delay, WAKE_FLOOR if outcome.end == "error" else max(QUICK, outcome.quiet))
        if await self._clock.wait(trigger.urgent, floor):
            return
        await self._clock.wait(trigger.event, delay - floor)
