"""Of an object that is gone nothing stays in memory, however it went."""

from __future__ import annotations

import time
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

from tests.unit.fakeapi import FakeApi
from tests.unit.operators.machine import builders

from kok.api.machine.host import Host
from kok.kube.client import Kube
from kok.kube.events import Recorder
from kok.operators.machine import metrics
from kok.operators.machine.host.cleanup import Cleaner
from kok.operators.machine.host.reconcile import HostReconciler
from kok.operators.machine.machine.reconcile import MachineReconciler
from kok.operators.machine.machine_lists import MachineLists
from kok.operators.machine.node.cluster_connections import ClusterConnections
from kok.operators.machine.settings import MachineSettings
from kok.operators.machine.watches import ClusterChanges
from kok.runtime.clock import FakeClock, settle
from kok.runtime.conditions import Verdict
from kok.runtime.controller.passes import Passes, Tools
from kok.runtime.controller.reconciler import Pass, Reconciler
from kok.runtime.sandbox.pool import SandboxPool
from kok.runtime.settings import Settings

FINALIZER = "kok.dev/machine-operator"
CLUSTER = ("team-a", "shop")


def passes(kube: Kube, reconciler: Reconciler[Any]) -> Passes:
    """Passes as the runtime makes them."""
    clock = FakeClock(builders.NOW)
    tools = Tools(
        operator="machine",
        finalizer=FINALIZER,
        kube=kube,
        recorder=Recorder(kube, "kok-machine", clock.now),
        clock=clock,
        settings=Settings(),
    )
    return Passes(reconciler, tools)


def kept(reconciler: MachineReconciler) -> list[int]:
    """How much is remembered of Machines, by what keeps it."""
    connections = [connection for _, connection in reconciler.clusters._pool]
    return [
        len(reconciler.hosts.sessions._known),
        len(reconciler.hosts.connections._entries),
        len(reconciler.phases._phases),
        len(reconciler.rollout._held),
        sum(len(connection._wakes) for connection in connections),
    ]


async def test_machines_whose_finalizer_is_taken_away_leave_nothing(
    api: FakeApi, kube: Kube
) -> None:
    reconciler = MachineReconciler(MachineSettings(), SandboxPool(), MachineLists(time.monotonic))
    runs = passes(kube, reconciler)
    for i in range(20):
        name, uid = f"m{i}", f"uid-{i}"
        path = f"/apis/kok.dev/v1alpha1/namespaces/team-a/machines/{name}"
        machine = builders.machine(metadata={"name": name, "uid": uid, "finalizers": [FINALIZER]})
        manifest = {"apiVersion": "kok.dev/v1alpha1", "kind": "Machine", **machine.manifest()}
        api.put(path, manifest)
        await runs.reconcile(("team-a", name), 0)
        reconciler.rollout.take(CLUSTER, uid)
        assert kept(reconciler) == [1, 0, 1, 1, 0]
        api.put(path, {**manifest, "metadata": {**manifest["metadata"], "finalizers": []}})
        api.drop(path)
        assert (await runs.reconcile(("team-a", name), 0)).end == "gone"
        assert kept(reconciler) == [0, 0, 0, 0, 0]
    await reconciler.close()


async def test_the_last_machine_closes_its_cluster_however_it_goes() -> None:
    clusters = ClusterConnections(1.0)
    closed: list[str] = []
    known: dict[str, set[str]] = {"shop": {"a", "b"}, "other": {"c"}}

    class Followed:
        """Of a business cluster: only who is interested in it, and whether it is closed."""

        digest = "one"

        def __init__(self, name: str) -> None:
            self.name = name

        async def unfollow(self) -> None:
            closed.append(self.name)

        async def close(self) -> None:
            await self.unfollow()

        def forget(self, uid: str) -> None:
            known[self.name].discard(uid)

        @property
        def used(self) -> bool:
            return bool(known[self.name])

    for name in known:
        made = partial(cast("Any", Followed), name)
        clusters._pool.connect(("team-a", name), "one", made)
    clusters.leave("team-b", "a")
    clusters.leave("team-a", "a")
    await settle()
    assert closed == []
    clusters.leave("team-a", "b")
    await settle()
    assert closed == ["shop"]
    assert clusters.get(CLUSTER) is None
    assert clusters.get(("team-a", "other")) is not None
    await clusters.close()


def host(used: str) -> Host:
    """A host that the Machine of that UID has left with something on it."""
    return Host.parse(
        {
            "metadata": builders.meta("rack1"),
            "spec": {"address": "192.0.2.21", "ssh": {"user": "ops", "secret": "ops-ssh"}},
            "status": {"usedBy": {"machine": "m", "uid": used, "cluster": "shop"}},
        }
    )


async def test_a_host_that_is_gone_ends_its_clean_up(api: FakeApi, kube: Kube) -> None:
    machines = MachineReconciler(MachineSettings(), SandboxPool(), MachineLists(time.monotonic))
    cleaner = Cleaner(machines.hosts, machines.abandoned, machines.keeper)
    reconciler = HostReconciler(cleaner, MachineSettings())
    for used in ("u1", "u2", "u3"):
        one = host(used)
        parts = SimpleNamespace(obj=one, status=one.status, kube=kube, now=builders.NOW)
        p = cast("Pass[Host]", parts)
        assert not await cleaner.clean(p)
        assert isinstance(cleaner._problems["uid-rack1"], Verdict), "there is no Secret"
    assert list(machines.hosts.sessions._known) == list(cleaner._problems) == ["uid-rack1"]
    assert cleaner._whose == {"uid-rack1": "u3"}
    reconciler.forget(("team-a", "rack1"), "uid-rack1")
    assert not machines.hosts.sessions._known
    assert not cleaner._problems
    assert not cleaner._whose


def a_cluster(uid: str, **meta: Any) -> dict[str, Any]:
    """A Cluster as a watch tells of it."""
    return {"metadata": {"namespace": "team-a", "name": uid, "uid": uid, "generation": 1, **meta}}


def test_clusters_that_come_and_go_are_not_remembered() -> None:
    changes = ClusterChanges()
    for i in range(100):
        assert changes(a_cluster(f"u{i}"))
        assert not changes(a_cluster(f"u{i}"))
        assert changes(a_cluster(f"u{i}", deletionTimestamp="2026-01-01T00:00:00Z"))
    assert not changes._seen
    changes = ClusterChanges(most=3)
    for i in range(100):
        assert changes(a_cluster(f"u{i}"))
    assert len(changes._seen) == 3
    assert not changes(a_cluster("u99")), "the newest are known"
    assert changes(a_cluster("u0"))


def test_machines_are_counted_by_phase() -> None:
    phases = metrics.Phases()

    def shown(phase: str) -> float:
        return metrics.MACHINES.labels(phase)._value.get()

    phases.put("a", "Ready")
    phases.put("b", "Ready")
    phases.put("b", "Failed")
    assert (shown("Ready"), shown("Failed")) == (1, 1)
    phases.put("a", None)
    phases.put("a", None)
    assert (shown("Ready"), shown("Failed")) == (0, 1)
