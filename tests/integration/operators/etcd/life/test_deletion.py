"""The end of an EtcdCluster, and what may come after it under the same name."""

from __future__ import annotations

from datetime import timedelta

from tests.integration.operators.etcd.conftest import ETCD, Tune, World, condition, status
from tests.integration.operators.etcd.kv import get, put
from tests.integration.operators.etcd.standin import StandIn

from kok.kube import kinds
from kok.operators.etcd.etcdcluster.observed.children import CHILD_KINDS
from kok.operators.etcd.naming import ANNOTATION_ADOPT, LABEL_OWNER_UID, pod_endpoint
from kok.runtime.process.main import Process


async def _left(world: World) -> dict[str, list[str]]:
    found = {kind.kind: await world.kube.list(kind, world.namespace) for kind in CHILD_KINDS}
    return {kind: [m["metadata"]["name"] for m in some] for kind, some in found.items() if some}


async def test_deletion_leaves_nothing(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(members=3)
    await world.until_ready()

    await world.kube.delete(ETCD, "e", world.namespace)

    await world.until_gone()
    for name in ("e-0", "e-1", "e-2"):
        await world.until_gone(name, kinds.PVC)
    await standin.settled()
    assert await _left(world) == {}


async def test_a_cluster_can_be_deleted_while_it_is_being_made(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(members=3)
    await world.until(lambda m: status(m).get("seed"))

    await world.kube.delete(ETCD, "e", world.namespace)

    await world.until_gone()
    await standin.settled()
    assert await _left(world) == {}


async def test_deletion_tells_what_it_waits_for_and_is_bounded(
    etcd_operator: Process, standin: StandIn, world: World, tune: Tune
) -> None:
    await world.make()
    await world.until_ready()
    standin.hold_deletions = True

    await world.kube.delete(ETCD, "e", world.namespace)

    await world.until(lambda m: status(m).get("phase") == "Deleting")
    told = await world.until(lambda m: "Pod e-0-0" in condition(m).get("message", ""))
    assert condition(told)["reason"] == "Deleting"
    tune(delete_within=timedelta(0))
    await world.until_gone()
    assert await world.get(kinds.SECRET, "e-ca") is None


async def test_retained_volumes_are_not_built_upon_unless_asked(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(members=3, deletionPolicy="Retain")
    first = await world.until_ready()
    await put(await world.credentials(), pod_endpoint(standin.address("e-0")), "colour", "blue")
    await world.kube.delete(ETCD, "e", world.namespace)
    await world.until_gone()
    assert await _left(world) == {"PersistentVolumeClaim": ["e-0", "e-1", "e-2"]}
    claim = await world.there(kinds.PVC, "e-1")
    assert "ownerReferences" not in claim["metadata"]

    await world.make(members=3)

    cluster_id = first["status"]["clusterID"]
    held = await world.until_ready(
        reason="RetainedVolumes", says=[f"{ANNOTATION_ADOPT}={cluster_id}"]
    )
    assert held["status"]["phase"] == "Blocked"
    assert await world.get(kinds.STATEFULSET, "e-0") is None
    await world.annotate(ANNOTATION_ADOPT, cluster_id)
    second = await world.until_ready()
    assert second["status"]["clusterID"] == cluster_id
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    where = pod_endpoint(standin.address("e-2"))
    assert await get(await world.credentials(), where, "colour") == "blue"
    adopted = await world.there(kinds.PVC, "e-1")
    assert adopted["metadata"]["labels"][LABEL_OWNER_UID] == second["metadata"]["uid"]


async def test_retained_volumes_that_are_deleted_make_room_for_an_empty_cluster(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(deletionPolicy="Retain")
    first = await world.until_ready()
    await world.kube.delete(ETCD, "e", world.namespace)
    await world.until_gone()
    await world.make()
    await world.until_ready(reason="RetainedVolumes")

    await world.kube.delete(kinds.PVC, "e-0", world.namespace)

    second = await world.until_ready()
    assert second["status"]["clusterID"] != first["status"]["clusterID"]


async def test_an_owner_that_an_earlier_release_gave_a_volume_is_taken_off(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    """Also where nothing else is done about members: foreground deletion would take it along."""
    await world.make()
    live = await world.until_ready()
    meta = live["metadata"]
    owner = {
        "apiVersion": live["apiVersion"],
        "kind": live["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }

    await world.kube.patch(
        kinds.PVC, "e-0", world.namespace, {"metadata": {"ownerReferences": [owner]}}
    )

    await world.until(lambda m: not (m or {})["metadata"].get("ownerReferences"), "e-0", kinds.PVC)


async def test_a_policy_that_changes_to_retain_at_the_last_moment_holds(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make()
    await world.until_ready()
    standin.hold_deletions = True

    await world.kube.patch(ETCD, "e", world.namespace, {"spec": {"deletionPolicy": "Retain"}})
    await world.kube.delete(ETCD, "e", world.namespace)
    standin.hold_deletions = False

    await world.until_gone()
    claim = await world.there(kinds.PVC, "e-0")
    assert "deletionTimestamp" not in claim["metadata"]
    assert not claim["metadata"].get("ownerReferences")
