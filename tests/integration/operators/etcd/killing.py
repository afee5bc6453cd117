"""An operator that is killed at every point where it could be: mechanically, not by hand.

A `Mortal` operator works on the objects of one namespace, pass by pass, and is killed before a write
(to the API or to etcd) once it has made as many as it is allowed; then another begins that knows
nothing but what is stored. With one write for each life, every point between two writes of an
operation is one where some life ends: the answer to a call to etcd is lost, a record is written and
nothing else, and so on. What is under way side by side may still arrive, as it may after `kill -9`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from tests.integration.operators.etcd.conftest import ETCD

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.etcdrestore import EtcdRestore
from kok.api.meta import Kind, Manifest
from kok.etcdclient.client import EtcdClient
from kok.kube.client import Kube
from kok.kube.events import Recorder
from kok.operators.etcd.handlers import EtcdBackups, EtcdClusters, EtcdRestores
from kok.operators.etcd.jobs.slots import Slots
from kok.operators.etcd.settings import EtcdSettings, Tuning
from kok.runtime.clock import SystemClock
from kok.runtime.controller.passes import Passes, Tools
from kok.runtime.settings import Settings

FINALIZER = "kok.dev/etcd-operator"
LIMIT = 600.0
"""Seconds for one operation under the worst of treatment."""
OWN = EtcdSettings(worker_image="kok:test")
BACKUP, RESTORE = EtcdBackup.info.kind, EtcdRestore.info.kind


class Killed(BaseException):
    """Nothing of the operator may run after this, as after `kill -9`."""


class Mortal:
    """An operator with as many writes to live as the next of `lives` says."""

    def __init__(self, kube: Kube, namespace: str, lives: Iterator[int], name: str = "e") -> None:
        """It looks after the EtcdCluster of that name, and all EtcdBackups and EtcdRestores."""
        self._kube = kube
        self._namespace, self._name = namespace, name
        self._lives = lives
        self._left = 0
        self._last = "nothing"
        self._doing = ""
        self.tuning = Tuning()
        """By what it looks after the EtcdCluster."""
        self.points: list[str] = []
        """Where it was killed: during what, behind which write and before which one."""

    async def work(
        self, done: Callable[[Manifest], bool], kind: Kind = ETCD, name: str = "e"
    ) -> None:
        """Lives again and again until an object is as wanted; `AssertionError` after a while."""
        try:
            async with asyncio.timeout(LIMIT):
                while not done(found := await self._object(kind, name)):
                    self._doing = doing(await self._object(ETCD, self._name))
                    await self.live()
        except TimeoutError:
            last = "\n".join(self.points[-5:])
            told = found.get("status")
            raise AssertionError(f"it is never as wanted: {told}; last killed\n{last}") from None

    async def rest(self) -> list[str]:
        """One pass over each object with a long life; the writes that it made."""
        made: list[str] = []
        await self._round(self._kube.guarded(lambda method, path: made.append(f"{method} {path}")))
        return made

    async def quiet(self) -> None:
        """Passes until two in a row write nothing; `AssertionError` if there is always more.

        Not the first ones have to: etcd itself may come to rest later, or choose another leader.
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
        self._left, self._last = next(self._lives), "nothing"
        change = EtcdClient._change

        async def cut(client: EtcdClient, address: str, path: str, *rest: Any) -> Any:
            self._spend(f"etcd {path}")
            return await change(client, address, path, *rest)

        kube = self._kube.guarded(lambda method, path: self._spend(f"{method} {path}"))
        try:
            with mock.patch.object(EtcdClient, "_change", cut):
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

    async def _round(self, kube: Kube) -> float:
        """A pass over each object; after how many seconds the next one is wanted."""
        clock, slots = SystemClock(), Slots(OWN.worker_jobs)
        tools = Tools("etcd", FINALIZER, kube, Recorder(kube, "test", clock.now), clock, Settings())
        pauses = []
        for kind, reconciler in (
            (ETCD, EtcdClusters(OWN, self.tuning)),
            (BACKUP, EtcdBackups(OWN, slots)),
            (RESTORE, EtcdRestores(OWN)),
        ):
            passes = Passes(reconciler, tools)
            for name in await self._names(kind):
                outcome = await passes.reconcile((self._namespace, name), 0)
                again = outcome.end not in {"ok", "wait", "gone"}
                pauses.append(0.1 if again else outcome.after or 1.0)
        return min(pauses, default=1.0)

    async def _names(self, kind: Kind) -> list[str]:
        if kind == ETCD:
            return [self._name]
        found = [m["metadata"] for m in await self._kube.list(kind, self._namespace)]
        for meta in found:
            if not meta.get("finalizers"):
                # The part of the runtime: also for those that the operator itself has made.
                patch = {"metadata": {"finalizers": [FINALIZER]}}
                await self._kube.patch(kind, meta["name"], self._namespace, patch)
        return [meta["name"] for meta in found]

    def _spend(self, what: str) -> None:
        if self._left <= 0:
            self.points.append(f"{self._doing}: behind {self._last} before {_plain(what)}")
            raise Killed
        self._left -= 1
        self._last = _plain(what)

    async def _object(self, kind: Kind, name: str) -> Manifest:
        found = await self._kube.get(kind, name, self._namespace)
        return found or {}


def doing(etcd: Manifest) -> str:
    """Which step of what is under way, in short."""
    status = etcd.get("status") or {}
    restore, operation = status.get("restore"), status.get("operation")
    if restore is not None and restore["step"] != "Growing":
        return f"Restore {restore['step']}"
    return f"{operation['type']} {operation.get('step', '')}" if operation else "at rest"


def _plain(write: str) -> str:
    """A write without the names of the one member or namespace that it happened to be about."""
    _, _, path = write.partition("/namespaces/")
    method = write.split(" ", 1)[0]
    return re.sub(r"\d+", "N", f"{method} {path.partition('/')[2]}" if path else write)
