"""A Cluster is upgraded step by step, whenever its operator dies, and goes back from what fails."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from tests.integration.operators.cluster.conftest import (
    CLUSTER,
    MortalClusters,
    Workspace,
    condition,
    usable,
)
from tests.integration.operators.cluster.standin import BACKUP, StandIn

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import KubeError
from kok.runtime.process.main import Process

OLD, NEW = "1.37.0", "1.37.1"
STORE = {"backup": {"store": {"volume": {"claim": "backups"}}}}
DEPLOYMENTS = ("shop-apiserver", "shop-controller-manager", "shop-scheduler")


def status(cluster: Manifest | None) -> dict[str, Any]:
    return (cluster or {}).get("status") or {}


def runs(version: str) -> Any:
    """Whether all of a Cluster is at a version, and nothing is under way."""

    def holds(cluster: Manifest | None) -> bool:
        said = status(cluster)
        return usable(cluster) and said.get("version") == version and "upgrade" not in said

    return holds


async def asked_for(workspace: Workspace) -> dict[str, str]:
    """The version of each Deployment."""
    found = {}
    for name in DEPLOYMENTS:
        live = await workspace.there(kinds.DEPLOYMENT, name)
        labels = live["spec"]["template"]["metadata"]["labels"]
        found[name] = labels["app.kubernetes.io/version"]
    return found


async def test_an_upgrade_goes_on_whenever_its_operator_dies(
    workspace: Workspace, kube: Kube, namespace: str, standin: StandIn
) -> None:
    mortal = MortalClusters(kube, namespace)
    await workspace.make(version=OLD, etcd=STORE)
    await workspace.patch({"metadata": {"finalizers": [mortal.finalizer]}})
    await mortal.work(runs(OLD))
    mortal.steps.clear()
    before = [await workspace.there(kinds.DEPLOYMENT, name) for name in DEPLOYMENTS]
    mortal.lives = itertools.repeat(1)

    await workspace.patch({"spec": {"version": NEW}})
    await mortal.work(runs(NEW))

    steps = [step for step in mortal.steps if step.startswith("Upgrade")]
    order = [f"Upgrade {s}" for s in ("Preflight", "Backup", "APIServer", "Controllers", "Addons")]
    assert [step for step in order if step in steps] == [s for s in steps if s in order]
    assert {"Upgrade Preflight", "Upgrade Backup", "Upgrade APIServer"} <= set(steps)
    assert len(mortal.operations["Upgrade"]) == 1, "it was begun once"
    assert len(await kube.list(BACKUP, namespace)) == 1, "one backup was made"
    assert standin.started == [("shop-apiserver", OLD), ("shop-apiserver", NEW)]
    for was in before:
        now = await workspace.there(kinds.DEPLOYMENT, was["metadata"]["name"])
        assert now["metadata"]["generation"] == was["metadata"]["generation"] + 1, "changed once"
    await mortal.quiet()
    assert len(mortal.points) > 5


async def test_nothing_moves_while_something_speaks_against_it(
    workspace: Workspace, cluster_operator: Process, standin: StandIn
) -> None:
    await workspace.make(version=OLD)
    await workspace.until(runs(OLD))
    # What 1.37 does not know any more; until the version changes it is only left out.
    gates = [{"name": "feature-gates", "value": "StructuredAuthenticationConfiguration=true"}]
    flagged = {"spec": {"version": NEW, "apiServer": {"extraArgs": gates}}}
    await workspace.patch(flagged)

    told = await workspace.until_reason("UpgradeBlocked", type_="Progressing")

    assert "StructuredAuthenticationConfiguration" in condition(told, "Progressing")["message"]
    assert condition(told)["status"] == "True", "it works as before"
    assert "is not begun" in condition(told)["message"]
    assert status(told)["upgrade"]["blockedBy"]
    assert set((await asked_for(workspace)).values()) == {OLD}

    await workspace.patch({"spec": {"version": NEW, "apiServer": {"extraArgs": []}}})

    done = await workspace.until(runs(NEW))
    assert status(done)["lastUpgrade"]["result"] == "Done"
    assert status(done)["nodesVersion"] == NEW


async def test_a_version_that_never_gets_ready_goes_back_by_itself(
    workspace: Workspace, cluster_operator: Process, standin: StandIn
) -> None:
    policy = {"onFailure": "BackOut", "progressDeadline": "3s"}
    await workspace.make(version=OLD, upgrade=policy)
    await workspace.until(runs(OLD))
    standin.serve = False
    await workspace.patch({"spec": {"version": NEW}})

    await workspace.until(lambda m: status(m).get("upgrade", {}).get("backingOut"))
    standin.serve = True
    told = await workspace.until_reason("UpgradeBackedOut", type_="Progressing")

    assert status(told)["version"] == OLD
    assert status(told)["lastUpgrade"]["result"] == "BackedOut"
    assert set((await asked_for(workspace)).values()) == {OLD}

    # This time with all the patience that a slow machine may need.
    await workspace.patch({"spec": {"upgrade": {"progressDeadline": "10m"}}})
    await workspace.patch({"metadata": {"annotations": {"kok.dev/upgrade-retry": "once more"}}})
    await workspace.until(runs(NEW))


async def test_a_patch_level_may_be_taken_back_and_a_minor_may_not(
    workspace: Workspace, cluster_operator: Process, standin: StandIn
) -> None:
    await workspace.make(version=NEW)
    await workspace.until(runs(NEW))
    await workspace.patch({"spec": {"version": OLD}})
    await workspace.until(runs(OLD))
    with pytest.raises(KubeError, match="goes down, which Kubernetes does not support"):
        await workspace.patch({"spec": {"version": "1.36.4"}})


async def test_a_version_is_only_checked_where_only_that_is_asked(
    workspace: Workspace, cluster_operator: Process, standin: StandIn
) -> None:
    await workspace.make(version=OLD)
    before = await workspace.until(runs(OLD))
    await workspace.patch({"spec": {"upgrade": {"preflight": NEW}}})

    told = await workspace.until(lambda m: "preflight" in status(m))

    report = status(told)["preflight"]
    assert (report["version"], report["passed"]) == (NEW, True)
    # No backup is configured, and what a dry run cannot try is said.
    assert {f["check"] for f in report["findings"]} == {"Backup", "Images"}
    assert status(told)["version"] == status(before)["version"]
    assert set((await asked_for(workspace)).values()) == {OLD}


async def test_what_a_fleet_raised_is_gone_to_and_the_spec_stays_behind(
    workspace: Workspace, kube: Kube, cluster_operator: Process, standin: StandIn
) -> None:
    await workspace.make(version=OLD)
    await workspace.until(runs(OLD))
    raised = {"to": NEW, "by": "kok-system/june", "at": "2026-11-30T00:00:00Z"}
    cluster = (await workspace.until(runs(OLD)))["metadata"]
    await kube.patch(
        CLUSTER,
        cluster["name"],
        cluster["namespace"],
        {"status": {"raised": raised}},
        subresource="status",
    )

    # A change of the status wakes nobody; a FleetUpgrade itself wakes those that it raises.
    await workspace.patch({"metadata": {"labels": {"example.org/seen": "yes"}}})

    told = await workspace.until(lambda m: runs(NEW)(m) and condition(m, "SpecBehind"))

    assert told["spec"]["version"] == OLD
    assert f'version: "{NEW}"' in condition(told, "SpecBehind")["message"]
    await workspace.patch({"spec": {"version": NEW}})
    await workspace.until(lambda m: "raised" not in status(m) and not condition(m, "SpecBehind"))
