"""A Cluster sleeps, the control plane before etcd, and wakes with what it had."""

from __future__ import annotations

from tests.integration.operators.cluster.conftest import CLUSTER, Workspace, condition
from tests.integration.operators.cluster.standin import StandIn

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.operators.cluster.cluster.observe import ETCD
from kok.runtime.process.main import Process

DEPLOYMENTS = ("shop-apiserver", "shop-controller-manager", "shop-scheduler")


def sleeps(etcd: Manifest | None) -> bool:
    return bool(((etcd or {}).get("spec") or {}).get("hibernate"))


async def replicas(workspace: Workspace) -> set[int]:
    found = [await workspace.there(kinds.DEPLOYMENT, name) for name in DEPLOYMENTS]
    return {m["spec"]["replicas"] for m in found}


async def test_a_cluster_sleeps_and_wakes_with_what_it_had(
    workspace: Workspace, cluster_operator: Process, standin: StandIn
) -> None:
    await workspace.make()
    await workspace.until_ready()
    async with workspace.business() as admin:
        await admin.create(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "kept", "namespace": "default"},
            }
        )
    assert not sleeps(await workspace.there(ETCD, "shop-etcd"))

    await workspace.patch({"spec": {"hibernate": True}})

    # etcd is told to stop only when nobody needs it any more.
    await workspace.until(sleeps, "shop-etcd", ETCD)
    assert await replicas(workspace) == {0}
    told = await workspace.until_reason("Hibernated")
    assert told["status"]["phase"] == "Hibernated"
    assert condition(told, "ControlPlaneReady")["status"] == "False"
    assert condition(told, "EtcdReady")["status"] == "False"
    assert condition(told, "Progressing")["status"] == "False"
    # Nothing is upgraded in its sleep.
    image = (await workspace.there(kinds.DEPLOYMENT, "shop-apiserver"))["spec"]["template"]

    standin.etcd_ready = False
    await workspace.patch({"spec": {"hibernate": False}})

    await workspace.until(lambda m: not sleeps(m), "shop-etcd", ETCD)
    await workspace.until(lambda m: condition(m).get("status") == "False")
    standin.etcd_ready = True
    awake = await workspace.until_ready()
    assert awake["status"]["phase"] == "Running"
    assert await replicas(workspace) == {1}
    assert (await workspace.there(kinds.DEPLOYMENT, "shop-apiserver"))["spec"]["template"] == image
    async with workspace.business() as admin:
        assert await admin.get(kinds.CONFIGMAP, "kept", "default") is not None
    assert await workspace.get(CLUSTER, "shop") is not None
