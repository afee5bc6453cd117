"""The operator is cut off behind every single change that it makes: what it does is done all the same.

Each pass ends, as by `kill -9`, at the second change to the API or to etcd. So there is no change
behind which it was not cut off, and nothing that it noted only at the end of a pass can be needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.integration.operators.etcd.conftest import ETCD, World, condition, status
from tests.integration.operators.etcd.container import program
from tests.integration.operators.etcd.kv import get, put
from tests.integration.operators.etcd.standin import StandIn
from tests.integration.operators.etcd.test_crashes import FINALIZER, Killed

from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.kube.events import Recorder
from kok.operators.etcd.client import EtcdClient
from kok.operators.etcd.handlers import EtcdClusters
from kok.operators.etcd.layout import pod_endpoint
from kok.operators.etcd.operations import recover
from kok.operators.etcd.settings import EtcdSettings
from kok.runtime.clock import SystemClock
from kok.runtime.passes import Passes, Tools
from kok.runtime.settings import Settings

LIMIT = 120.0


class Cutter:
    """Passes that end behind their first change."""

    def __init__(self, world: World, patch: pytest.MonkeyPatch) -> None:
        self.world = world
        self.cuts: list[str] = []
        self._sent: list[str] = []
        self._alive = True
        untouched = EtcdClient._change

        async def change(client: EtcdClient, address: str, path: str, *rest: Any) -> Any:
            self._count("etcd", path)
            return await untouched(client, address, path, *rest)

        patch.setattr(EtcdClient, "_change", change)

    async def until(self, holds: Callable[[Manifest], object]) -> Manifest:
        """Cut passes, one after the other, until the object is as wanted and is left alone."""
        async with asyncio.timeout(LIMIT):
            while True:
                quiet = await self._pass(self.world.kube)
                found = await self.world.there(ETCD, "e")
                if quiet and holds(found):
                    return found
                await asyncio.sleep(0.05)

    async def _pass(self, kube: Kube) -> bool:
        """Whether it had nothing to change."""
        self._sent, clock = [], SystemClock()
        guarded = kube.guarded(self._count)
        recorder = Recorder(guarded, "test", clock.now)
        tools = Tools("etcd", FINALIZER, guarded, recorder, clock, Settings())
        reconciler = EtcdClusters(EtcdSettings(worker_image="kok"))
        try:
            await Passes(reconciler, tools).reconcile((self.world.namespace, "e"), 0)
        except Killed:
            self.cuts.append(self._sent[0])
        return not self._sent

    def _count(self, method: str, path: str) -> None:
        if self._sent:
            raise Killed
        self._sent.append(f"{method} {path}")


@pytest.fixture
async def cutter(standin: StandIn, world: World, monkeypatch: pytest.MonkeyPatch) -> Cutter:
    """A cluster of three members of 3.6.8, made by passes that were cut off."""
    for version in ("3.6.8", "3.6.10"):
        program(version)
    await world.make(members=3, version="3.6.8")
    finalizers = {"metadata": {"finalizers": [FINALIZER]}}
    await world.kube.patch(ETCD, "e", world.namespace, finalizers)
    cutter = Cutter(world, monkeypatch)
    await cutter.until(lambda m: condition(m).get("reason") == "Healthy")
    cutter.cuts.clear()
    return cutter


async def test_an_upgrade_is_carried_through(
    cutter: Cutter, standin: StandIn, world: World
) -> None:
    formed = await world.there(ETCD, "e")
    await world.kube.patch(ETCD, "e", world.namespace, {"spec": {"version": "3.6.10"}})

    done = await cutter.until(
        lambda m: (
            condition(m).get("reason") == "Healthy"
            and "operation" not in status(m)
            and all(one["version"] == "3.6.10" for one in status(m)["members"])
        )
    )

    assert len(cutter.cuts) >= 12
    assert any("transfer-leadership" in cut for cut in cutter.cuts)
    assert {m["id"] for m in done["status"]["members"]} == {
        m["id"] for m in formed["status"]["members"]
    }


async def test_the_recovery_of_a_lost_quorum_is_carried_through(
    cutter: Cutter, standin: StandIn, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recover, "PATIENCE", timedelta(seconds=1))
    formed = await world.there(ETCD, "e")
    address = pod_endpoint(standin.address("e-1"))
    await put(await world.credentials(), address, "colour", "blue")
    standin.pause("e-0")
    standin.pause("e-2")
    recovery = {"policy": "FromSurvivor", "allowDataLoss": formed["status"]["clusterID"]}
    await world.kube.patch(ETCD, "e", world.namespace, {"spec": {"recovery": recovery}})

    done = await cutter.until(
        lambda m: (
            condition(m).get("reason") == "Healthy"
            and "operation" not in status(m)
            and "e-0" not in {one["name"] for one in status(m)["members"]}
            and len(status(m)["members"]) == 3
        )
    )

    assert len(cutter.cuts) >= 20
    assert done["status"]["clusterID"] == formed["status"]["clusterID"]
    assert await get(await world.credentials(), address, "colour") == "blue"
