"""Rollouts of a KubeNode on a real API server: what its Machines are told, and what its status says.

The Machines are played: they do at once what they are told, or fail at it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.integration.apiserver import ApiServer
from tests.integration.at_work import at_work, settings_in
from tests.integration.operators.machine.conftest import (
    KUBENODE,
    MACHINE,
    World,
    condition,
)
from tests.integration.operators.machine.test_kubenodes import cluster, spec, sums

from kok.api.machine.machine import Machine
from kok.api.meta import Manifest
from kok.kube.http.access import from_kubeconfig
from kok.operators.machine.kubenode.reconcile import KubeNodeReconciler
from kok.operators.machine.kubenode.rollout import begun
from kok.operators.machine.machine import last_good
from kok.operators.machine.machine_lists import MachineLists
from kok.operators.machine.settings import MachineSettings
from kok.runtime.clock import SystemClock
from kok.runtime.controller.reconciler import OperatorSpec

NAMES = ("workers-w1", "workers-w2", "workers-w3")
POLICY = {"onFailure": "Rollback"}


@asynccontextmanager
async def kubenodes(api_server: ApiServer, namespace: str) -> AsyncIterator[None]:
    """The part of the operator that looks after KubeNodes."""
    lists = MachineLists(SystemClock().monotonic)
    alone = OperatorSpec(
        name="machine", reconcilers=(KubeNodeReconciler(MachineSettings(), lists),)
    )
    access = from_kubeconfig(api_server.kubeconfig())
    async with at_work([alone], settings_in(namespace), access):
        yield


class Players:
    """Machines that do as they are told."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.bad = ""
        """The kubelet's `maxPods` that makes it fail."""
        self.told: dict[str, list[Any]] = {}
        """What each was told to have, in its order."""

    async def play(self) -> None:
        """For as long as the test lasts."""
        async with aclosing(self.world.kube.watch(MACHINE, self.world.namespace)) as events:
            async for event in events:
                if event.type in ("ADDED", "MODIFIED"):
                    await self._one(event.object)

    async def _one(self, live: Manifest) -> None:
        meta, status = live["metadata"], live.get("status") or {}
        if status.get("observedGeneration") == meta["generation"]:
            return
        pods = next(c for c in live["spec"]["components"] if c["name"] == "kubelet")
        most = str(pods["params"]["config"].get("maxPods", ""))
        self.told.setdefault(meta["name"], []).append(most)
        fails = bool(self.bad) and most == self.bad
        made = {
            "observedGeneration": meta["generation"],
            "firstReady": "2026-11-02T11:00:00Z",
            "kubelet": "1.37.1",
            "conditions": [
                _condition("Ready", "True"),
                _condition("NodeReady", "True"),
                _condition("UpToDate", "False" if fails else "True"),
            ],
        }
        machine = Machine.parse({**live, "status": {**status, **made}})
        last_good.judge(machine.status, machine, datetime.now(UTC))
        if machine.status.last_good is not None:
            made["lastGood"] = machine.status.last_good.manifest()
        await self.world.kube.patch(
            MACHINE, meta["name"], self.world.namespace, {"status": made}, subresource="status"
        )


def _condition(kind: str, holds: str) -> Manifest:
    bad = kind == "UpToDate" and holds == "False"
    return {
        "type": kind,
        "status": holds,
        "reason": "ServiceFailing" if bad else kind,
        "message": "service kubelet on the host ends again and again" if bad else "",
        "lastTransitionTime": "2026-11-02T12:00:00Z",
    }


@pytest.fixture
async def players(
    world: World, api_server: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Players]:
    """Three nodes that serve."""
    monkeypatch.setattr(begun, "FAILS_FOR", timedelta(seconds=0.2))
    await sums(world)
    await cluster(world)
    made = Players(world)
    async with kubenodes(api_server, namespace):
        playing = asyncio.create_task(made.play())
        await world.make(KUBENODE, "workers", spec("w1", "w2", "w3", rollout=POLICY))
        await world.until(KUBENODE, "workers", _all_ready, "all ready")
        yield made
        playing.cancel()


def _all_ready(found: Manifest) -> bool:
    status = found.get("status") or {}
    return bool(status.get("ready") == 3 and status.get("upToDate") == 3)


async def limit_pods(world: World, most: int | None, **more: Any) -> None:
    """Another parameter of the kubelet."""
    patch = {"spec": {"kubelet": {"maxPods": most}, **more}}
    await world.kube.patch(KUBENODE, "workers", world.namespace, patch)


async def rolled(world: World, reason: str) -> Manifest:
    """The KubeNode once its newest rollout has come to that."""

    def check(found: Manifest) -> bool:
        seen = found["status"].get("observedGeneration") == found["metadata"]["generation"]
        return seen and condition(found, "RolledOut").get("reason") == reason

    return await world.until(KUBENODE, "workers", check, reason)


async def test_a_change_goes_over_all_nodes_and_is_told(world: World, players: Players) -> None:
    await limit_pods(world, 50)
    found = await rolled(world, "RolledOut")
    assert {players.told[name][-1] for name in NAMES} == {"50"}
    rollout = found["status"]["rollout"]
    assert (rollout["phase"], rollout["updated"], rollout["batch"]) == ("Done", 3, 3)
    assert "endedAt" in rollout


async def test_what_fails_on_the_canary_goes_back_and_the_others_are_never_touched(
    world: World, players: Players
) -> None:
    before = {name: (await world.get(MACHINE, name) or {})["metadata"] for name in NAMES}
    players.bad = "50"
    await limit_pods(world, 50)
    found = await rolled(world, "RolledBack")
    assert players.told["workers-w1"][-2:] == ["50", ""]
    for name in NAMES[1:]:
        live = await world.get(MACHINE, name)
        assert live
        assert live["metadata"]["generation"] == before[name]["generation"]
    message = condition(found, "RolledOut")["message"]
    assert "workers-w1 runs again what it ran before" in message
    assert "ServiceFailing: service kubelet on the host ends again and again" in message


async def test_the_same_is_not_tried_again_until_the_spec_changes(
    world: World, players: Players
) -> None:
    players.bad = "50"
    await limit_pods(world, 50)
    await rolled(world, "RolledBack")
    told = {name: list(players.told[name]) for name in NAMES}
    # A label reaches all, and nothing else does.
    await limit_pods(world, 50, labels={"tier": "gold"})
    for name in NAMES:
        await world.until(MACHINE, name, lambda m: bool(m["spec"].get("labels")), "labelled")
    assert {name: set(players.told[name]) for name in NAMES} == {n: set(t) for n, t in told.items()}
    await rolled(world, "RolledBack")
    # Another spec is another rollout.
    await limit_pods(world, 60)
    await rolled(world, "RolledOut")
    assert {players.told[name][-1] for name in NAMES} == {"60"}


async def test_it_is_paused_and_goes_on(world: World, players: Players) -> None:
    await limit_pods(world, 50, rollout={"paused": True})
    found = await rolled(world, "RolloutPaused")
    assert found["status"]["rollout"]["updated"] == 0
    await world.kube.patch(
        KUBENODE, "workers", world.namespace, {"spec": {"rollout": {"paused": False}}}
    )
    await rolled(world, "RolledOut")
