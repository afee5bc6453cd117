"""An operator that is killed at every point where it could be: mechanically, not by hand.

A `Mortal` operator works on the objects of one namespace, pass by pass, and is killed before a write
once it has made as many as it is allowed; then another begins that knows nothing but what is
stored. With one write for each life, every point between two writes of an operation is one where
some life ends: a record is written and nothing else, and so on. What is under way side by side may
still arrive, as it may after `kill -9`.
"""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from typing import Any, ClassVar

from kok.api.meta import Kind, Manifest
from kok.kube.client import Kube
from kok.kube.events import Recorder
from kok.runtime.clock import SystemClock
from kok.runtime.controller.passes import Passes, Tools
from kok.runtime.controller.reconciler import Reconciler
from kok.runtime.settings import Settings

LIMIT = 600.0
"""Seconds for one operation under the worst of treatment."""


class Killed(BaseException):
    """Nothing of the operator may run after this, as after `kill -9`."""


class Mortal(ABC):
    """An operator with as many writes to live as the next of `lives` says.

    It looks after one object of a kind, and after all objects of its other kinds in the namespace.
    """

    operator: ClassVar[str]
    kind: ClassVar[Kind]
    """Of the object that it looks after."""

    def __init__(self, kube: Kube, namespace: str, lives: Iterator[int], name: str) -> None:
        self.lives = lives
        self._kube = kube
        self._namespace, self._name = namespace, name
        self._left = 0
        self._last = "nothing"
        self._doing = ""
        self.points: list[str] = []
        """Where it was killed: during what, behind which write and before which one."""

    @abstractmethod
    def begin(self) -> AbstractAsyncContextManager[Sequence[Reconciler[Any]]]:
        """The reconcilers of a process that has just begun."""

    def doing(self, found: Manifest) -> str:
        """Which step of what is under way, in short."""
        operation = (found.get("status") or {}).get("operation")
        return f"{operation['type']} {operation.get('step', '')}" if operation else "at rest"

    def cutting(self) -> AbstractContextManager[None]:
        """Has writes that are none to the API call `spend`; by default there are none."""
        return nullcontext()

    async def work(
        self, done: Callable[[Manifest], bool], kind: Kind | None = None, name: str | None = None
    ) -> Manifest:
        """Lives again and again until an object is as wanted; `AssertionError` after a while.

        By default that is the one that it looks after.
        """
        of, called = kind or self.kind, name or self._name
        found: Manifest = {}
        try:
            async with asyncio.timeout(LIMIT):
                while not done(found := await self._object(of, called)):
                    self._doing = self.doing(await self._object(self.kind, self._name))
                    await self.live()
        except TimeoutError:
            last = "\n".join(self.points[-5:])
            told = found.get("status")
            raise AssertionError(f"it is never as wanted: {told}; last killed\n{last}") from None
        return found

    async def rest(self) -> list[str]:
        """One pass over each object with a long life; the writes that it made."""
        made: list[str] = []
        await self._round(self._kube.guarded(lambda method, path: made.append(f"{method} {path}")))
        return made

    async def quiet(self) -> None:
        """Passes until two in a row write nothing; `AssertionError` if there is always more.

        Not the first ones have to: what it looks after may come to rest later.
        """
        made: list[str] = []
        empty = 0
        for _ in range(20):
            made = await self.rest()
            empty = 0 if made else empty + 1
            if empty == 2:
                return
        raise AssertionError(f"at rest nothing is written, but for {made}")

    async def live(self) -> bool:
        """One life, which ends when nothing is to be done for now; whether it was killed."""
        self._left, self._last = next(self.lives), "nothing"
        kube = self._kube.guarded(lambda method, path: self.spend(f"{method} {path}"))
        try:
            with self.cutting():
                pause = 0.0
                while pause < 1.0:
                    await asyncio.sleep(min(pause, 0.1))
                    pause = await self._round(kube)
        except Killed:
            # Requests that were under way side by side may still arrive.
            await asyncio.sleep(0)
            return True
        await asyncio.sleep(0.1)
        return False

    def spend(self, what: str) -> None:
        """Called before each write."""
        if self._left <= 0:
            self.points.append(f"{self._doing}: behind {self._last} before {_plain(what)}")
            raise Killed
        self._left -= 1
        self._last = _plain(what)

    async def _round(self, kube: Kube) -> float:
        """A pass over each object; after how many seconds the next one is wanted."""
        clock = SystemClock()
        recorder = Recorder(kube, "test", clock.now)
        tools = Tools(self.operator, self.finalizer, kube, recorder, clock, Settings())
        pauses = []
        async with self.begin() as reconcilers:
            for reconciler in reconcilers:
                passes = Passes(reconciler, tools)
                kind = reconciler.model.info.kind
                for name in await self._names(kind):
                    if await self._goes(kind, name):
                        outcome = await passes.finalize((self._namespace, name), 0)
                        if outcome.end == "done":
                            await self._let_go(kube, kind, name)
                    else:
                        outcome = await passes.reconcile((self._namespace, name), 0)
                    again = outcome.end not in {"ok", "wait", "gone"}
                    pauses.append(0.1 if again else outcome.after or 1.0)
        return min(pauses, default=1.0)

    async def _goes(self, kind: Kind, name: str) -> bool:
        found = await self._object(kind, name)
        return bool(found and found["metadata"].get("deletionTimestamp"))

    async def _let_go(self, kube: Kube, kind: Kind, name: str) -> None:
        """The part of the runtime: an object of which nothing is left may go."""
        meta = (await self._object(kind, name))["metadata"]
        left = [one for one in meta["finalizers"] if one != self.finalizer]
        version = {"resourceVersion": meta["resourceVersion"], "finalizers": left or None}
        await kube.patch(kind, name, self._namespace, {"metadata": version})

    @property
    def finalizer(self) -> str:
        """What the runtime of that operator puts on its objects."""
        return f"kok.dev/{self.operator}-operator"

    async def _names(self, kind: Kind) -> list[str]:
        if kind == self.kind:
            return [self._name]
        found = [m["metadata"] for m in await self._kube.list(kind, self._namespace)]
        for meta in found:
            if not meta.get("finalizers"):
                # The part of the runtime: also for those that the operator itself has made.
                patch = {"metadata": {"finalizers": [self.finalizer]}}
                await self._kube.patch(kind, meta["name"], self._namespace, patch)
        return [meta["name"] for meta in found]

    async def _object(self, kind: Kind, name: str) -> Manifest:
        return await self._kube.get(kind, name, self._namespace) or {}


def _plain(write: str) -> str:
    """A write without the names of the one member or namespace that it happened to be about."""
    _, _, path = write.partition("/namespaces/")
    method = write.split(" ", 1)[0]
    return re.sub(r"\d+", "N", f"{method} {path.partition('/')[2]}" if path else write)
