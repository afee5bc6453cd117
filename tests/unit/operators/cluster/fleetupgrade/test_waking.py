"""Whoever waits for a Cluster is woken when that changes, and not only by the next resync."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.unit.operators.cluster.fleetupgrade.fleets import (
    NEW,
    World,
    five_clusters,
)

from kok.api.cluster.contract import ClusterContract, Said
from kok.api.meta import Manifest
from kok.operators.cluster.fleetupgrade.decision import FleetView
from kok.operators.cluster.fleetupgrade.reconcile import FleetUpgradeReconciler
from kok.operators.cluster.staging.standing import AT_ONCE
from kok.operators.cluster.wakeups import Wakeups
from kok.runtime.clock import FakeClock
from kok.runtime.settings import Settings
from kok.versions.knowledge import Releases

PATCH = ("team-a", "patch")
SOAKS = ({"name": "one", "names": ["c0"], "soak": "10m"}, {"name": "rest"})


class Server:
    """Clusters as an API server has them, as far as their versions tell."""

    def __init__(self, world: World) -> None:
        self.live = {one.name: stored(one) for one in world.clusters.values()}

    def touch(self, name: str) -> Manifest:
        """One changes; the event of that has metadata alone."""
        meta = self.live[name]["metadata"]
        meta["resourceVersion"] = str(int(meta["resourceVersion"]) + 1)
        return {"metadata": dict(meta)}

    async def list(self, _kind: Any, _namespace: str, *, keep: Any, **_: Any) -> list[Any]:
        return [keep(live) for live in self.live.values()]

    async def get(self, _kind: Any, name: str, _namespace: str, **_: Any) -> Manifest:
        return self.live[name]


def stored(one: ClusterContract) -> Manifest:
    meta = {"namespace": "team-a", "name": one.name, "uid": one.uid, "resourceVersion": "1"}
    return {"metadata": meta, "spec": {"version": one.version}}


class Operator:
    """The reconciler beside a World, which decides by what it has itself."""

    def __init__(self, world: World) -> None:
        self.world, self.server = world, Server(world)
        self.reconciler = FleetUpgradeReconciler(Releases, Wakeups())

    def wakes(self, name: str) -> bool:
        """Whether a change of a Cluster wakes the FleetUpgrade."""
        (wake,) = self.reconciler.wakes_on
        assert wake.key is not None
        return PATCH in list(wake.key(self.server.touch(name)))

    async def read(self) -> Any:
        """The beginning of a pass."""
        p = cast(
            "Any",
            SimpleNamespace(
                kube=self.server,
                obj=self.world.fleet,
                clock=FakeClock(self.world.now),
                now=self.world.now,
                settings=Settings(lease_namespace="team-a"),
            ),
        )
        await self.reconciler.observe(p)
        return p

    async def end(self, p: Any) -> float | None:
        """The rest of it; seconds until the next one."""
        decision, view = self.world.step(), FleetView(self.world.clusters)
        assert not decision.raises
        go_on = self.reconciler.look if self.world.fleet.spec.paused else self.reconciler.act
        return await go_on(p, view, decision, self.reconciler.outcome(view, decision))


def through() -> World:
    """The canary is through, and its time is over."""
    world = five_clusters(*SOAKS)
    world.begin()
    world.change("c0", runs=NEW, upgrade=None)
    world.step()
    world.later(minutes=11)
    return world


async def test_one_that_failed_wakes_it() -> None:
    world = five_clusters()
    world.begin()
    world.block("c0")
    world.step()
    operator = Operator(world)
    await operator.read()
    assert operator.wakes("c0")
    assert not operator.wakes("c4"), "its turn is yet to come"


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize(
    "said",
    [
        Said(False, "EtcdNotReady", "no quorum"),
        Said(True, "Available", "", current=False),
    ],
    ids=["not ready", "not told"],
)
async def test_so_does_one_that_fails_or_is_waited_for_at_the_end_of_its_time(
    said: Said, *, paused: bool
) -> None:
    world = through()
    world.set(paused=paused)
    world.change("c0", ready=said)
    operator = Operator(world)
    p = await operator.read()
    assert not operator.wakes("c4")
    look = await operator.end(p)
    assert look is None or look > AT_ONCE
    assert operator.wakes("c0")


async def test_what_changed_while_that_was_found_out_is_looked_at_at_once() -> None:
    world = through()
    world.change("c0", ready=Said(False, "EtcdNotReady", "no quorum"))
    operator = Operator(world)
    p = await operator.read()
    operator.wakes("c0")
    assert await operator.end(p) == AT_ONCE
    await operator.read()
    assert operator.wakes("c0")
