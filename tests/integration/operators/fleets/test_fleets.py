"""FleetUpgrades on a real API server: waves, failures, others in the way, and what is left alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from e2e.polling import eventually
from tests.integration.apiserver import ApiServer
from tests.integration.operators.fleets.conftest import (
    CLUSTER,
    FLEET,
    LIMIT,
    NEW,
    OLD,
    Actors,
    Fleets,
    running,
    states,
)
from tests.integration.rights import operator_access, refused

from kok.api.cluster.cluster import Cluster
from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.kube.errors import Forbidden
from kok.kube.http.access import from_kubeconfig
from kok.operators.cluster.wakeups import Wakeups
from kok.runtime.process.main import Process
from kok.versions.knowledge import Releases

CVE = "CVE-2026-1111"
DISCLOSED = f"""
format: 1
issued: 2026-11-30T08:00:00Z
vulnerabilities:
  - {{id: {CVE}, fixed: {{"1.37": {NEW}}}}}
"""
NAMES = [f"c{n:02}" for n in range(12)]


async def test_many_are_raised_wave_by_wave_and_no_spec_is_touched(
    fleets: Fleets, actors: Actors, fleet_operator: Process
) -> None:
    await fleets.clusters(*NAMES)
    before = {name: await fleets.cluster(name) for name in NAMES}
    await fleets.make(
        waves=[{"name": "first", "percent": 10}, {"name": "others", "maxParallel": 4}],
        nodes="Never",
    )
    fleet = await fleets.until_phase("Completed")

    assert set(states(fleet).values()) == {"Done"}
    assert fleet.status.summary == "12/12"
    assert fleet.status.is_true("Ready")
    assert actors.most <= 4
    one, two = fleet.status.waves
    assert (one.clusters, two.clusters) == (2, 10)
    assert one.soaked is not None
    assert two.begun is not None
    assert one.soaked <= two.begun
    for name in NAMES:
        live = await fleets.cluster(name)
        assert live["spec"] == before[name]["spec"]
        assert live["metadata"]["generation"] == 1
        assert live["metadata"].get("annotations") == before[name]["metadata"].get("annotations")
        raised = Cluster.parse(live).status.raised
        assert raised is not None
        assert (raised.to, raised.by, raised.nodes) == (
            NEW,
            f"{fleets.namespace}/patch",
            "Never",
        )
        assert len(actors.raises[name]) == 1


async def test_one_that_hangs_stops_it_and_can_be_tried_again(
    fleets: Fleets, actors: Actors, fleet_operator: Process
) -> None:
    await fleets.clusters("a", "b", "c", "d")
    await fleets.clusters("asleep", hibernate=True)
    await fleets.clusters("mine", upgrade={"fleet": "Forbid"})
    actors.hanging.add("a")
    actors.held.add("b")
    await fleets.make(waves=[{"name": "all", "maxParallel": 2}])
    fleet = await fleets.until(
        lambda f: f.status.phase == "Stopped" and states(f).get("a") == "Failed"
    )
    rows = fleet.status.table()
    assert states(fleet) == {
        "a": "Failed",
        "asleep": "Skipped",
        "b": "Upgrading",
        "c": "Waiting",
        "d": "Waiting",
        "mine": "Skipped",
    }
    assert "w1 is too old" in rows[f"{fleets.namespace}/a"].why
    assert "when it wakes" in rows[f"{fleets.namespace}/asleep"].why
    assert rows[f"{fleets.namespace}/mine"].reason == "OptedOut"

    await actors.let_go("b")
    await fleets.until(lambda f: states(f)["b"] == "Done")
    await fleets.kube.patch(CLUSTER, "asleep", fleets.namespace, {"spec": {"hibernate": False}})
    await fleets.kube.patch(
        CLUSTER,
        "a",
        fleets.namespace,
        {"status": {"upgrade": {"blockedBy": []}}},
        subresource="status",
    )
    actors.hanging.clear()
    await fleets.annotate(retry="mended")
    fleet = await fleets.until_phase("Completed")
    assert {name for name, state in states(fleet).items() if state == "Done"} == {
        "a",
        "asleep",
        "b",
        "c",
        "d",
    }
    assert fleet.status.report is not None
    assert fleet.status.report.result == "Completed"


async def test_it_waits_for_approval_is_paused_and_aborted(
    fleets: Fleets, actors: Actors, fleet_operator: Process
) -> None:
    await fleets.clusters("a", "b", "c")
    actors.held |= {"b"}
    await fleets.make(
        waves=[
            {"name": "one", "names": ["a"]},
            {"name": "rest", "approval": True, "maxParallel": 1},
        ]
    )
    await fleets.until_phase("WaitingForApproval")
    assert not actors.raises["b"]
    await fleets.annotate(approve="rest")
    await fleets.until_raised("b")
    await fleets.change({"spec": {"paused": True}})
    await fleets.until_phase("Paused")
    await actors.let_go("b")
    fleet = await fleets.until(lambda f: states(f)["b"] == "Done")
    assert states(fleet)["c"] == "Waiting"
    await fleets.change({"spec": {"paused": False, "abort": True}})
    fleet = await fleets.until_phase("Aborted")
    assert states(fleet)["c"] == "Skipped"
    assert not actors.raises["c"]
    assert Cluster.parse(await fleets.cluster("a")).status.version == NEW


async def test_a_cluster_in_two_is_refused_by_name_in_the_later_one(
    fleets: Fleets, actors: Actors, fleet_operator: Process
) -> None:
    await fleets.clusters("a", "b")
    actors.held |= {"a", "b"}
    await fleets.make("first", waves=[{"name": "all"}])
    await fleets.until(lambda f: f.status.counts.upgrading == 2, "first")
    await fleets.make("second")
    fleet = await fleets.until_phase("Completed", "second")
    told = fleet.status.table()[f"{fleets.namespace}/a"]
    assert (told.state, told.reason) == ("Skipped", "InAnotherFleetUpgrade")
    assert f"FleetUpgrade {fleets.namespace}/first has it" in told.why

    await actors.let_go("a", "b")
    await fleets.until_phase("Completed", "first")
    assert {len(raised) for raised in actors.raises.values()} == {1}


async def test_of_two_at_the_same_time_only_one_has_a_cluster(
    fleets: Fleets, actors: Actors, fleet_operator: Process
) -> None:
    await fleets.clusters("a", "b", "c")
    actors.held |= {"a", "b", "c"}
    names = [f"f{n}" for n in range(4)]
    for name in names:
        await fleets.make(name, waves=[{"name": "all"}])
    made = [await fleets.until(lambda f: f.status.counts.total == 3, name) for name in names]
    having = [fleet.name for fleet in made if fleet.status.counts.skipped == 0]
    assert len(having) == 1
    assert all(fleet.status.counts.skipped == 3 for fleet in made if fleet.name not in having)
    await actors.let_go("a", "b", "c")
    await fleets.until_phase("Completed", having[0])
    assert {raised[0]["by"] for raised in actors.raises.values()} == {
        f"{fleets.namespace}/{having[0]}"
    }


async def test_its_deletion_in_the_middle_takes_nothing_back(
    fleets: Fleets, actors: Actors, fleet_operator: Process
) -> None:
    await fleets.clusters("a", "b", "c")
    actors.held |= {"b"}
    await fleets.make(waves=[{"name": "all", "maxParallel": 1}])
    await fleets.until_raised("b")
    await fleets.kube.delete(FLEET, "patch", fleets.namespace)

    async def gone() -> bool:
        return await fleets.kube.get(FLEET, "patch", fleets.namespace) is None

    await eventually(gone, LIMIT)
    await actors.let_go("b")

    async def through() -> bool:
        return Cluster.parse(await fleets.cluster("b")).status.version == NEW

    await eventually(through, LIMIT)
    for name, version in (("a", NEW), ("b", NEW), ("c", OLD)):
        status = Cluster.parse(await fleets.cluster(name)).status
        assert status.version == version
        assert (status.raised is not None) == (version == NEW)


async def test_clusters_that_come_or_go_meanwhile_are_told_of(
    fleets: Fleets, actors: Actors, fleet_operator: Process
) -> None:
    await fleets.clusters("a", "b")
    actors.held |= {"a"}
    await fleets.make(waves=[{"name": "all", "maxParallel": 1}])
    await fleets.until(lambda f: states(f).get("a") == "Upgrading")
    await fleets.clusters("late")
    fleet = await fleets.until(lambda f: f.status.late == 1)
    assert fleet.status.is_true("LateClusters")
    await fleets.kube.delete(CLUSTER, "a", fleets.namespace)
    fleet = await fleets.until_phase("Completed")
    assert states(fleet) == {"a": "Skipped", "b": "Done"}
    assert not actors.raises["late"]


async def test_a_dry_run_raises_nothing(
    fleets: Fleets, actors: Actors, fleet_operator: Process
) -> None:
    await fleets.clusters("a", "b")
    await fleets.make(dryRun=True, target={"latestPatch": True})
    fleet = await fleets.until_phase("DryRun")
    assert {row.to for row in fleet.status.table().values()} == {NEW}
    assert fleet.status.counts.waiting == 2
    await fleets.make("real")
    await fleets.until_phase("Completed", "real")


async def test_only_the_operators_own_namespace_reaches_others(
    api_server: ApiServer, kube: Kube, fleets: Fleets
) -> None:
    other = f"{fleets.namespace}-team"
    await kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})
    access = from_kubeconfig(api_server.kubeconfig())
    async with (
        running(access, fleets.namespace, other),
        Actors(kube, fleets.namespace, other) as actors,
    ):
        await fleets.clusters("a", namespace=other)
        await fleets.clusters("b")
        await fleets.make("sly", other, namespaces=[fleets.namespace])
        fleet = await fleets.until_phase("Refused", "sly", namespace=other)
        ready = fleet.status.condition("Ready")
        assert ready is not None
        assert ready.reason == "NamespacesForbidden"

        await fleets.make("far", namespaces=["*", "far-away"])
        fleet = await fleets.until_phase("Refused", "far")
        ready = fleet.status.condition("Ready")
        assert ready is not None
        assert ready.reason == "NamespacesNotServed"
        assert "spec.namespaces names far-away, which" in ready.message

        await fleets.make("own", other)
        fleet = await fleets.until_phase("Completed", "own", namespace=other)
        assert list(fleet.status.table()) == [f"{other}/a"]
        assert not actors.raises["b"]

        await fleets.make("wide", namespaces=["*"])
        fleet = await fleets.until_phase("Completed", "wide")
        assert states(fleet) == {"a": "Skipped", "b": "Done"}


async def test_one_that_waits_for_a_cve_begins_as_soon_as_that_is_known(
    api_server: ApiServer, fleets: Fleets, actors: Actors
) -> None:
    known, wakeups = [Releases()], Wakeups()
    access = from_kubeconfig(api_server.kubeconfig())
    # By itself nobody looks again within the time that the test has.
    async with running(
        access, fleets.namespace, releases=lambda: known[0], wakeups=wakeups, resync=3600.0
    ):
        await fleets.clusters("a")
        await fleets.make(target={"fixes": CVE})
        fleet = await fleets.until_phase("Refused")
        ready = fleet.status.condition("Ready")
        assert ready is not None
        assert ready.reason == "CVEUnknown"
        known[0] = Releases.read(DISCLOSED)
        await wakeups.wake_all()
        fleet = await fleets.until_phase("Completed")
    assert states(fleet) == {"a": "Done"}


async def test_where_nobody_could_be_raised_it_is_not_ready(
    fleets: Fleets, actors: Actors, fleet_operator: Process
) -> None:
    await fleets.clusters("mine", upgrade={"fleet": "Forbid"})
    await fleets.clusters("asleep", hibernate=True)
    await fleets.make()
    fleet = await fleets.until_phase("Completed")
    ready = fleet.status.condition("Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == ("False", "NothingUpgraded")
    assert "1 ClusterHibernated, 1 OptedOut" in ready.message


async def test_it_needs_no_more_rights_than_the_chart_gives_it(
    api_server: ApiServer, kube: Kube, fleets: Fleets, actors: Actors
) -> None:
    access = await operator_access(api_server, kube, fleets.namespace, "cluster")
    before = await refused(kube)
    await fleets.clusters("a", "b")
    async with running(access, fleets.namespace):
        await fleets.make()
        await fleets.until_phase("Completed")
        await fleets.kube.delete(FLEET, "patch", fleets.namespace)

        async def gone() -> bool:
            return await fleets.kube.get(FLEET, "patch", fleets.namespace) is None

        await eventually(gone, LIMIT)
    after: dict[str, Any] = await refused(kube)
    assert {k: v for k, v in after.items() if v != before.get(k, 0)} == {}


async def test_a_policy_of_one_namespace_holds_up_no_other(
    api_server: ApiServer, kube: Kube, fleets: Fleets
) -> None:
    other = f"{fleets.namespace}-team"
    await kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})
    await fleets.clusters("a", namespace=other)
    await fleets.clusters("b")
    access = from_kubeconfig(api_server.kubeconfig())
    async with (
        _denied(kube, other),
        running(access, fleets.namespace, other),
        Actors(kube, fleets.namespace) as actors,
    ):
        await fleets.make(
            namespaces=["*"], waves=[{"name": "all", "maxParallel": 1}], stopAfterFailures=2
        )
        # `a` may come first or last: either way `b` is raised, and nothing waits for the next resync.
        fleet = await fleets.until_phase("Completed")
    assert actors.raises["b"]
    assert states(fleet) == {"a": "Failed", "b": "Done"}
    row = fleet.status.table()[f"{other}/a"]
    assert row.reason == "RaiseRefused"
    assert "nobody raises this one" in row.why


@asynccontextmanager
async def _denied(kube: Kube, namespace: str) -> AsyncIterator[None]:
    """Nobody changes the status of a Cluster there, which is answered with 403."""
    group = "admissionregistration.k8s.io/v1"
    rule = {
        "apiGroups": ["kok.dev"],
        "apiVersions": ["*"],
        "operations": ["UPDATE"],
        "resources": ["clusters/status"],
    }
    told = {"expression": "false", "message": "nobody raises this one", "reason": "Forbidden"}
    chosen = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    name = f"deny-{namespace}"
    made: list[Manifest] = [
        {
            "apiVersion": group,
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": name},
            "spec": {"matchConstraints": {"resourceRules": [rule]}, "validations": [told]},
        },
        {
            "apiVersion": group,
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {
                "policyName": name,
                "validationActions": ["Deny"],
                "matchResources": {"namespaceSelector": chosen},
            },
        },
    ]
    for one in made:
        await kube.create(one)

    async def holds() -> bool:
        try:
            patch = {"status": {"version": OLD, "phase": "Tried"}}
            await kube.patch(CLUSTER, "a", namespace, patch, subresource="status")
        except Forbidden:
            return True
        return False

    async def is_lifted() -> bool:
        return not await holds()

    await eventually(holds, LIMIT)
    try:
        yield
    finally:
        # Other tests share the API server, and their operators look after these Clusters, too.
        for one in reversed(made):
            await kube.delete(await kube.resolve(one), name)
        await eventually(is_lifted, LIMIT)
