"""A Cluster's operator dies behind any write, and the next one goes on: nothing is done twice."""

from __future__ import annotations

import itertools

from tests.integration.operators.cluster.conftest import (
    CLUSTER,
    MortalClusters,
    Workspace,
    condition,
    usable,
)
from tests.integration.operators.cluster.standin import StandIn

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.cluster.cluster.observe import ETCD

DEPLOYMENTS = ("shop-apiserver", "shop-controller-manager", "shop-scheduler")


async def generations(workspace: Workspace) -> dict[str, int]:
    """How often what was asked of each part has changed."""
    found = [await workspace.there(kinds.DEPLOYMENT, name) for name in DEPLOYMENTS]
    found.append(await workspace.there(ETCD, "shop-etcd"))
    return {m["metadata"]["name"]: m["metadata"]["generation"] for m in found}


def under_way(cluster: Manifest) -> bool:
    return "operation" in (cluster.get("status") or {})


def asleep(cluster: Manifest) -> bool:
    return condition(cluster).get("reason") == "Hibernated" and not under_way(cluster)


def awake(cluster: Manifest) -> bool:
    return usable(cluster) and not under_way(cluster)


async def test_a_cluster_sleeps_and_wakes_whenever_its_operator_dies(
    workspace: Workspace, kube: Kube, namespace: str, standin: StandIn
) -> None:
    mortal = MortalClusters(kube, namespace)
    made = await workspace.make()
    await workspace.patch({"metadata": {"finalizers": [mortal.finalizer]}})
    await mortal.work(awake)
    templates = [await workspace.there(kinds.DEPLOYMENT, name) for name in DEPLOYMENTS]
    before = await generations(workspace)
    started = len(standin.started)
    assert mortal.steps == ["at rest"], "a Cluster that comes to life has no operation"
    mortal.lives = itertools.repeat(1)

    await workspace.patch({"spec": {"hibernate": True}})
    await mortal.work(asleep)

    assert {"Hibernate StopControlPlane", "Hibernate StopEtcd"} <= set(mortal.steps)
    changed = await generations(workspace)
    assert changed == {name: number + 1 for name, number in before.items()}, "each was told once"
    assert len(standin.started) == started

    # As one that slept before there were operations: it is at rest, and nothing is written.
    await mortal.quiet()
    assert await generations(workspace) == changed

    standin.etcd_ready = False
    await workspace.patch({"spec": {"hibernate": False}})
    await mortal.work(lambda m: condition(m).get("reason") == "Waking")
    assert {"Hibernate", "Wake"} == set(mortal.operations)
    standin.etcd_ready = True
    await mortal.work(awake)

    assert {"Wake StartEtcd", "Wake StartControlPlane"} <= set(mortal.steps)
    assert await generations(workspace) == {name: number + 1 for name, number in changed.items()}
    assert len(standin.started) == started + 1, "the API server was started once"
    assert {len(begun) for begun in mortal.operations.values()} == {1}
    for template in templates:
        now = await workspace.there(kinds.DEPLOYMENT, template["metadata"]["name"])
        assert now["spec"]["template"] == template["spec"]["template"]
    await mortal.quiet()
    assert (await workspace.there(CLUSTER, "shop"))["metadata"]["uid"] == made["metadata"]["uid"]
    assert len(mortal.points) > 10
