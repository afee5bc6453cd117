"""Draining a node of a business cluster, with a real API server."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.integration.apiserver import free_ports
from tests.integration.operators.machine.business import KEY, node

from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.http.access import Access
from kok.operators.machine.kubenode import occupancy
from kok.operators.machine.kubenode.rollout.order import Load
from kok.operators.machine.node.cluster_connections import (
    ClusterConnection,
    ClusterConnections,
    ConnectionSpec,
)
from kok.operators.machine.node.drain import Drain, DrainTimings
from kok.runtime.clock import SystemClock


async def pod(kube: Kube, namespace: str, name: str, where: str, **meta: Any) -> None:
    await kube.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, **meta},
            "spec": {
                "nodeName": where,
                "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": False,
                "containers": [{"name": "c", "image": "x"}],
            },
        }
    )


async def pods(kube: Kube, namespace: str) -> list[str]:
    return sorted(p["metadata"]["name"] for p in await kube.list(kinds.POD, namespace))


@pytest.fixture
async def place(kube: Kube, namespace: str) -> str:
    """A namespace in which pods can be made."""
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": namespace},
    }
    await kube.create(account)
    return namespace


def drain(kube: Kube, where: str, told: list[str], **changes: Any) -> Drain:
    clock = changes.pop("clock", SystemClock())
    base = {"alive": lambda: True, "deadline": clock.now() + timedelta(minutes=5)}
    return Drain(kube=kube, clock=clock, node=where, told=told.append, **{**base, **changes})


async def test_a_drain_moves_pods_but_not_those_of_daemonsets(kube: Kube, place: str) -> None:
    await node(kube, "d-1")
    daemon = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u"}
    await pod(kube, place, "plain", "d-1")
    await pod(kube, place, "daemon", "d-1", ownerReferences=[{**daemon, "controller": True}])
    await pod(kube, place, "elsewhere", "d-other")
    told: list[str] = []
    await drain(kube, "d-1", told).run()
    assert await pods(kube, place) == ["daemon", "elsewhere"]
    live = await kube.get(kinds.NODE, "d-1")
    assert live
    assert live["spec"]["unschedulable"] is True


class Leaping(SystemClock):
    """The machine's clock, and an hour later once that is wanted."""

    def __init__(self, wanted: Callable[[], bool]) -> None:
        self._wanted = wanted

    def now(self) -> datetime:
        return super().now() + timedelta(hours=self._wanted())


async def test_disruption_budgets_are_respected_until_the_drain_takes_too_long(
    kube: Kube, place: str
) -> None:
    await node(kube, "d-2")
    await kube.create(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "all", "namespace": place},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}},
        }
    )
    await pod(kube, place, "guarded", "d-2", labels={"app": "x"})
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    await kube.patch(kinds.POD, "guarded", place, {"status": ready}, subresource="status")
    said: list[str] = []
    clock = Leaping(lambda: bool(said))
    work = drain(kube, "d-2", said, clock=clock)
    await work.run()
    assert said[0] == (
        f"1 pod is left; disruption budgets protect {place}/guarded "
        "(the disruption budget all is still being processed by the server)"
    )
    assert await pods(kube, place) == []
    assert work.forced


async def test_a_dead_node_is_not_waited_for(kube: Kube, place: str) -> None:
    impatient = DrainTimings(dead=0.5)
    await node(kube, "d-3")
    await pod(kube, place, "stuck", "d-3", finalizers=["example.com/never"])
    await drain(kube, "d-3", [], alive=lambda: False, timings=impatient).run()
    assert (await kube.get(kinds.POD, "stuck", place)) is not None


async def test_a_node_that_is_gone_needs_no_draining(kube: Kube) -> None:
    await drain(kube, "never-was", []).run()


async def test_pods_that_would_have_to_move_are_counted_with_the_operators_rights(
    kube: Kube, connection: ClusterConnection, place: str
) -> None:
    daemon = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u"}
    for name in ("o-1", "o-2", "o-3"):
        await node(kube, name)
        owned = {**daemon, "controller": True}
        await pod(kube, place, f"daemon-{name}", name, ownerReferences=[owned])
    for name in ("a", "b", "over"):
        await pod(kube, place, name, "o-2")
    over = {"status": {"phase": "Succeeded"}}
    await kube.patch(kinds.POD, "over", place, over, subresource="status")
    await pod(kube, place, "c", "o-3")

    async def connect(_cluster: Any, _identity: Any) -> ClusterConnection:
        return connection

    found = await occupancy.of_nodes(connect, None, None, ["o-1", "o-2", "o-3"])
    assert found == {"o-1": 0, "o-2": 2, "o-3": 1}
    zone = {"metadata": {"labels": {"topology.kubernetes.io/zone": "a"}}}
    connection.saw(await kube.patch(kinds.NODE, "o-2", None, zone))
    names = {"o-2": "workers-o-2", "never-was": "workers-gone"}
    assert await occupancy.loads(connect, None, None, names) == {"workers-o-2": Load(2, "a")}


async def test_of_a_cluster_that_does_not_answer_no_pods_are_counted() -> None:
    (port,) = free_ports(1)
    clusters = ClusterConnections(timeout=1.0)
    nowhere = ConnectionSpec(Access(server=f"http://127.0.0.1:{port}"), "nowhere")

    async def connect(_cluster: Any, _identity: Any) -> ClusterConnection:
        return await clusters.connect(KEY, nowhere)

    assert await occupancy.of_nodes(connect, None, None, ["o-1", "o-2"]) == {}
    await clusters.close()
