"""A Cluster sleeps, the control plane before etcd, and wakes with what it had."""

from __future__ import annotations

from tests.integration.operators.cluster.conftest import CLUSTER, World, condition
from tests.integration.operators.cluster.standin import StandIn

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.operators.cluster.cluster.observe import ETCD
from kok.runtime.process.main import Process

DEPLOYMENTS = ("shop-apiserver", "shop-controller-manager", "shop-scheduler")


def sleeps(etcd: Manifest | None) -> bool:
    return bool(((etcd or {}).get("spec") or {}).get("hibernate"))


async def replicas(world: World) -> set[int]:
    found = [await world.there(kinds.DEPLOYMENT, name) for name in DEPLOYMENTS]
    return {m["spec"]["replicas"] for m in found}


async def test_a_cluster_sleeps_and_wakes_with_what_it_had(
    world: World, cluster_operator: Process, standin: StandIn
) -> None:
    await world.make()
    await world.until_ready()
    async with world.business() as admin:
        await admin.create(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "kept", "namespace": "default"},
            }
        )
    assert not sleeps(await world.there(ETCD, "shop-etcd"))

    await world.patch({"spec": {"hibernate": True}})

    # etcd is told to stop only when nobody needs it any more.
    await world.until(sleeps, "shop-etcd", ETCD)
    assert await replicas(world) == {0}
    told = await world.until_reason("Hibernated")
    assert told["status"]["phase"] == "Hibernated"
    assert condition(told, "ControlPlaneReady")["status"] == "False"
    assert condition(told, "EtcdReady")["status"] == "False"
    assert condition(told, "Progressing")["status"] == "False"
    # Nothing is upgraded in its sleep.
    image = (await world.there(kinds.DEPLOYMENT, "shop-apiserver"))["spec"]["template"]

    standin.etcd_ready = False
    await world.patch({"spec": {"hibernate": False}})

    await world.until(lambda m: not sleeps(m), "shop-etcd", ETCD)
    await world.until(lambda m: condition(m).get("status") == "False")
    standin.etcd_ready = True
    awake = await world.until_ready()
    assert awake["status"]["phase"] == "Running"
    assert await replicas(world) == {1}
    assert (await world.there(kinds.DEPLOYMENT, "shop-apiserver"))["spec"]["template"] == image
    async with world.business() as admin:
        assert await admin.get(kinds.CONFIGMAP, "kept", "default") is not None
    assert await world.get(CLUSTER, "shop") is not None
