"""A node whose kubelet goes to another minor, with the operator at work: it is drained for that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.fifos import Gate
from tests.integration.apiserver import ApiServer
from tests.integration.operators.machine.conftest import (
    MACHINE,
    OperatorProcess,
    World,
    condition,
    running,
)
from tests.integration.operators.machine.test_drain import pod
from tests.integration.operators.machine.test_heard import (
    AFTER,
    BEFORE,
    CLUSTER,
    MEANWHILE,
    Node,
    proven,
    through,
)
from tests.unit.operators.machine.sshd import FakeHost

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube

OLD, NEW = "1.36.4", "1.37.1"
CORDONED_BY = "kok.dev/cordoned-by"
READY = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}


@dataclass
class Worker:
    """A node that serves with a kubelet of an earlier minor."""

    world: World
    node: Node
    host: FakeHost
    root: Path

    @property
    def installed(self) -> str:
        return (self.root / "version").read_text().strip()

    @property
    def installations(self) -> int:
        return len((self.root / "runs").read_text().split())

    async def live(self) -> Manifest:
        found = await self.world.kube.get(kinds.NODE, "w1")
        assert found
        return found

    async def cordoned(self) -> tuple[bool, str]:
        """Whether it is, and in whose name."""
        live = await self.live()
        annotations = live["metadata"].get("annotations") or {}
        return bool(live["spec"].get("unschedulable")), annotations.get(CORDONED_BY, "")

    async def wants(self, version: str, **spec: Any) -> None:
        """What a KubeNode does to its Machine."""
        listed = [{"name": "kubelet", "version": version}]
        await self.world.patch(MACHINE, "w1", spec={"components": listed, **spec})

    async def step(self, step: str) -> Manifest:
        return await self.world.until(MACHINE, "w1", at(step), step)

    async def guard(self, allowed: int) -> None:
        """A budget that lets so many pods go. Nobody but this test keeps its status."""
        await self.world.kube.apply(
            {
                "apiVersion": "policy/v1",
                "kind": "PodDisruptionBudget",
                "metadata": {"name": "all", "namespace": self.world.namespace},
                "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}},
            }
        )
        status = {
            "observedGeneration": 1,
            "disruptionsAllowed": allowed,
            "currentHealthy": 1 + allowed,
            "desiredHealthy": 1,
            "expectedPods": 1 + allowed,
        }
        namespace, patch = self.world.namespace, {"status": status}
        await self.world.kube.patch(kinds.PDB, "all", namespace, patch, subresource="status")

    async def runs_a_pod(self) -> None:
        kube, namespace = self.world.kube, self.world.namespace
        account = {"name": "default", "namespace": namespace}
        await kube.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})
        await pod(kube, namespace, "web", "w1", labels={"app": "x"})
        await kube.patch(kinds.POD, "web", namespace, {"status": READY}, subresource="status")

    async def pods(self) -> int:
        return len(await self.world.kube.list(kinds.POD, self.world.namespace))

    async def done(self) -> Manifest:
        """The change is through, and nothing is left of it but what others did."""

        def over(manifest: Manifest) -> bool:
            status = manifest.get("status") or {}
            return proven(manifest) and status.get("kubelet") == NEW and "operation" not in status

        made = await self.world.until(MACHINE, "w1", over, "a node of the new version")
        assert self.installed == NEW
        return made


def at(*steps: str) -> Callable[[Manifest], bool]:
    return lambda m: ((m.get("status") or {}).get("operation") or {}).get("step") in steps


@pytest.fixture
async def worker(
    api_server: ApiServer,
    kube: Kube,
    world: World,
    host: FakeHost,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Worker]:
    node = Node(api_server, kube, tmp_path)
    node.joined(monkeypatch)
    await node.cluster(world, OLD)
    await world.key_of(host)
    mark = tmp_path / "version"
    for version in (OLD, NEW):
        await world.component(
            "kubelet",
            version,
            scripts={
                "probe": f"cat {mark} 2>/dev/null || true",
                "install": f"echo {{{{ version }}}} >>{tmp_path}/runs\n"
                f"[ ! -e {tmp_path}/reached ] || {{ echo >{tmp_path}/reached; cat {tmp_path}/gate; }}\n"
                f"echo {{{{ version }}}} >{mark}",
                "uninstall": f"rm -f {mark}",
            },
        )
    made = Worker(world, node, host, tmp_path)
    async with running(api_server, world.namespace):
        await world.machine(host, f"kubelet-{OLD}")
        await world.until(MACHINE, "w1", through, "installed")
        await node.post(BEFORE, OLD)
        await world.until(MACHINE, "w1", proven, "a node")
    yield made
    # What lies in no namespace, or would be looked at from others.
    await kube.delete(kinds.NODE, "w1")
    await kube.delete(kinds.POD, "web", world.namespace, grace=0)


async def test_a_node_is_drained_before_its_kubelet_goes_to_another_minor(
    api_server: ApiServer, worker: Worker
) -> None:
    world = worker.world
    await worker.runs_a_pod()
    await worker.guard(0)
    async with running(api_server, world.namespace):
        await worker.wants(NEW, drainTimeout="1s")
        text = await world.reason(MACHINE, "w1", "DrainBlocked", "UpToDate")
        assert text == (
            "the kubelet of node w1 goes from 1.36.4 to 1.37.1, and waits: node w1 has not been "
            f"drained for 1s: 1 pod is left; disruption budgets protect {world.namespace}/web (the "
            "disruption budget all needs 1 healthy pods and has 1 currently); loosen the budgets, "
            "add a node that takes the pods, or delete them"
        )
        made = await world.get(MACHINE, "w1")
        assert condition(made)["status"] == "True", "it serves as it did"
        assert at("Draining")(made or {})
        assert await worker.cordoned() == (True, f"{world.namespace}/w1")
        assert (worker.installed, await worker.pods()) == (OLD, 1)

        await worker.guard(1)
        await world.until(MACHINE, "w1", through, "changed")
        assert (worker.installed, await worker.pods()) == (NEW, 0)
        assert await worker.cordoned() == (True, f"{world.namespace}/w1")
        await worker.node.post(AFTER, NEW)
        await worker.done()
    assert await worker.cordoned() == (False, "")


async def test_a_change_that_is_taken_back_gives_the_node_back(
    api_server: ApiServer, worker: Worker
) -> None:
    await worker.runs_a_pod()
    await worker.guard(0)
    async with running(api_server, worker.world.namespace):
        await worker.wants(NEW)
        await worker.step("Draining")
        await worker.wants(OLD)
        await worker.world.until(
            MACHINE, "w1", lambda m: "operation" not in m["status"] and proven(m), "as before"
        )
    assert await worker.cordoned() == (False, "")
    assert (worker.installed, worker.installations, await worker.pods()) == (OLD, 1, 1)


async def test_no_kubelet_changes_while_its_control_plane_is_upgraded(
    api_server: ApiServer, worker: Worker
) -> None:
    world = worker.world
    upgrade = {"from": OLD, "to": NEW, "hop": NEW, "hopFrom": OLD, "step": "APIServer"}
    upgrade |= {"since": BEFORE, "movedAt": BEFORE}

    async def upgrading(now: object) -> None:
        patch = {"status": {"upgrade": now}}
        await world.kube.patch(CLUSTER, "shop", world.namespace, patch, subresource="status")

    await upgrading(upgrade)
    async with running(api_server, world.namespace):
        await worker.wants(NEW)
        text = await world.reason(MACHINE, "w1", "ClusterUpgrading", "UpToDate")
        assert text == (
            f"Cluster {world.namespace}/shop is being upgraded to 1.37.1, and no kubelet changes its "
            "version before its control plane is through"
        )
        assert condition(await world.get(MACHINE, "w1"))["status"] == "True"
        assert await worker.cordoned() == (False, "")
        await upgrading({**upgrade, "step": "Nodes"})
        await world.until(MACHINE, "w1", through, "changed")
        await worker.node.post(AFTER, NEW)
        await worker.done()
    assert await worker.cordoned() == (False, "")


@pytest.mark.parametrize(
    ("step", "by", "pods"),
    [
        ("Cordoning", "nobody", True),
        ("Cordoning", "us", True),
        ("Draining", "us", True),
        ("Draining", "people", True),
        ("Changing", "us", False),
        # Somebody let pods in again meanwhile.
        ("Changing", "nobody", True),
        ("Uncordoning", "nobody", True),
        # The record was lost.
        ("", "us", True),
    ],
)
async def test_whoever_comes_after_a_death_brings_it_to_an_end(
    api_server: ApiServer, worker: Worker, step: str, by: str, *, pods: bool
) -> None:
    """Whatever the record says, and whether what it says was done: nothing rests on it."""
    kube, world = worker.world.kube, worker.world
    if pods:
        await worker.runs_a_pod()
    name = {"us": f"{world.namespace}/w1", "people": None, "nobody": None}[by]
    cordon = {"metadata": {"annotations": {CORDONED_BY: name}}}
    await kube.patch(
        kinds.NODE, "w1", None, {**cordon, "spec": {"unschedulable": by != "nobody" or None}}
    )
    await worker.wants(NEW)
    if step:
        operation = {"type": "Update", "step": step, "since": BEFORE, "reason": "so it was"}
        patch = {"status": {"operation": operation}}
        await kube.patch(MACHINE, "w1", world.namespace, patch, subresource="status")
    async with running(api_server, world.namespace):
        await world.until(MACHINE, "w1", through, "changed")
        assert (worker.installed, await worker.pods()) == (NEW, 0)
        unschedulable, whose = await worker.cordoned()
        assert unschedulable
        assert bool(whose) is (by != "people")
        await worker.node.post(AFTER, NEW)
        await worker.done()
    assert await worker.cordoned() == (by == "people", "")
    assert worker.installations == 2


async def test_the_operator_killed_at_each_step_goes_on_with_it(
    api_server: ApiServer, worker: Worker, tmp_path: Path
) -> None:
    world = worker.world
    kubeconfig = tmp_path / "kubeconfig"
    await asyncio.to_thread(kubeconfig.write_text, api_server.kubeconfig())
    process = OperatorProcess(world.kube, kubeconfig, world.namespace, worker.node.first)
    await worker.runs_a_pod()
    await worker.guard(0)
    gate = Gate(tmp_path)

    async def dies() -> None:
        await process.kill()
        await process.start()

    try:
        await process.start()
        await worker.wants(NEW)
        await _then(worker.step("Cordoning"), dies)
        await _then(worker.step("Draining"), dies)
        assert worker.installed == OLD
        await worker.guard(1)
        # In the middle of the change: what runs on the host goes on.
        await gate.reached()
        await _then(worker.step("Changing"), dies)
        await gate.open()
        await world.until(MACHINE, "w1", through, "changed")
        await worker.node.post(MEANWHILE, NEW)
        await worker.node.post(AFTER, NEW)
        await world.until(
            MACHINE,
            "w1",
            lambda m: at("Uncordoning")(m) or "operation" not in m["status"],
            "proven",
        )
        await dies()
        await worker.done()
    finally:
        await process.kill()
    assert await worker.cordoned() == (False, "")
    assert worker.installations == 2


async def _then(seen: Awaitable[object], then: Callable[[], Awaitable[None]]) -> None:
    await seen
    await then()
