"""An operator that is killed at every point where it could be: mechanically, not by hand.

A `Mortal` operator works on one object, pass by pass, and is killed before a write (to the API or
to etcd) once it has made as many as it is allowed; then another begins that knows nothing but what
is stored. With one write for each life, every point between two writes of an operation is one where
some life ends: the answer to a call to etcd is lost, a record is written and nothing else, and so
on. What is under way side by side may still arrive, as it may after `kill -9`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from tests.integration.operators.etcd.conftest import ETCD

from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.kube.events import Recorder
from kok.operators.etcd.client import EtcdClient
from kok.operators.etcd.handlers import EtcdClusters
from kok.runtime.clock import SystemClock
from kok.runtime.passes import Passes, Tools
from kok.runtime.settings import Settings

FINALIZER = "kok.dev/etcd-operator"
LIMIT = 180.0
"""Seconds for one operation under the worst of treatment."""


class Killed(BaseException):
    """Nothing of the operator may run after this, as after `kill -9`."""


class Mortal:
    """An operator with as many writes to live as the next of `lives` says."""

    def __init__(self, kube: Kube, key: tuple[str, str], lives: Iterator[int]) -> None:
        self._kube = kube
        self._key = key
        self._lives = lives
        self._left = 0
        self.points: list[str] = []
        """Before which writes it was killed."""

    async def work(self, done: Callable[[Manifest], bool]) -> None:
        """Lives again and again until the object is as wanted; `AssertionError` after a while."""
        change = EtcdClient._change

        async def cut(client: EtcdClient, address: str, path: str, *rest: Any) -> Any:
            self._spend(f"etcd {path}")
            return await change(client, address, path, *rest)

        with mock.patch.object(EtcdClient, "_change", cut):
            try:
                async with asyncio.timeout(LIMIT):
                    while not done(await self._object()):
                        await self._live()
            except TimeoutError:
                told = (await self._object())["status"]
                raise AssertionError(f"it is never as wanted: {told}") from None

    async def rest(self) -> list[str]:
        """One pass with a long life; the writes that it made."""
        made: list[str] = []

        def note(method: str, path: str) -> None:
            made.append(f"{method} {path}")

        await self._passes(self._kube.guarded(note)).reconcile(self._key, 0)
        return made

    async def _live(self) -> None:
        self._left = next(self._lives)
        kube = self._kube.guarded(lambda method, path: self._spend(f"{method} {path}"))
        passes = self._passes(kube)
        try:
            while True:
                outcome = await passes.reconcile(self._key, 0)
                if outcome.end == "ok" and (outcome.after or 1.0) >= 1.0:
                    await asyncio.sleep(0.1)
                    return
                await asyncio.sleep(min(outcome.after or 0.1, 0.1))
        except Killed:
            # Requests that were under way side by side may still arrive.
            await asyncio.sleep(0)

    def _spend(self, what: str) -> None:
        if self._left <= 0:
            self.points.append(what)
            raise Killed
        self._left -= 1

    def _passes(self, kube: Kube) -> Passes:
        clock = SystemClock()
        recorder = Recorder(kube, "test", clock.now)
        tools = Tools("etcd", FINALIZER, kube, recorder, clock, Settings())
        return Passes(EtcdClusters(), tools)

    async def _object(self) -> Manifest:
        namespace, name = self._key
        found = await self._kube.get(ETCD, name, namespace)
        assert found is not None
        return found
