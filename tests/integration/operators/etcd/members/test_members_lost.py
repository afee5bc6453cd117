"""Members that lost their data: never started empty, told truthfully."""

from __future__ import annotations

import pytest
from tests.integration.operators.etcd.conftest import World, at_rest, condition, status
from tests.integration.operators.etcd.container import program
from tests.integration.operators.etcd.kv import get, put
from tests.integration.operators.etcd.standin import StandIn

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.operators.etcd.naming import pod_endpoint
from kok.runtime.process.main import Process


async def test_a_member_whose_volume_is_gone_is_replaced(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(members=3)
    formed = await world.until_ready()
    address = pod_endpoint(standin.address("e-0"))
    await put(await world.credentials(), address, "colour", "blue")

    await world.kube.delete(kinds.PVC, "e-2", world.namespace)
    await world.kube.delete(kinds.POD, "e-2-0", world.namespace)

    lost = await world.until_ready(
        reason="MemberLost", says=["PersistentVolumeClaim e-2, is gone", "it is being replaced"]
    )
    assert condition(lost, "Available")["status"] == "True"
    whole = await world.until(at_rest(3))
    assert [m["name"] for m in whole["status"]["members"]] == ["e-0", "e-1", "e-3"]
    assert _id(whole, "e-3") not in {m["id"] for m in formed["status"]["members"]}
    assert whole["status"]["clusterID"] == formed["status"]["clusterID"]
    new = pod_endpoint(standin.address("e-3"))
    assert await get(await world.credentials(), new, "colour") == "blue"
    assert await world.get(kinds.PVC, "e-2") is None
    assert await world.get(kinds.STATEFULSET, "e-2") is None


async def test_a_member_whose_volume_was_emptied_refuses_to_start_and_is_replaced(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(members=3)
    formed = await world.until_ready()
    standin.pause("e-1")
    await world.until(lambda m: status(m).get("readyMembers") == 2)
    await standin.wipe("e-1")
    # Its pod is made anew, as after a node was replaced.
    await world.kube.delete(kinds.POD, "e-1-0", world.namespace)
    standin.resume("e-1")

    lost = await world.until_ready(
        reason="MemberLost", says=["PersistentVolumeClaim e-1, is empty"]
    )

    assert condition(lost, "Available")["status"] == "True"
    whole = await world.until(at_rest(3))
    async with world.client() as client:
        listed = await client.members(pod_endpoint(standin.address("e-0")))
    assert {one.id for one in listed} == {m["id"] for m in whole["status"]["members"]}
    assert _id(formed, "e-1") not in {one.id for one in listed}


def _id(etcd: Manifest, member: str) -> str:
    return next(m["id"] for m in etcd["status"]["members"] if m["name"] == member)


async def test_a_single_member_that_lost_its_data_never_forms_an_empty_cluster(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make()
    formed = await world.until_ready()
    standin.pause("e-0")
    await world.until_ready(reason="QuorumLost")
    await standin.wipe("e-0")
    await world.kube.delete(kinds.POD, "e-0-0", world.namespace)
    standin.resume("e-0")

    lost = await world.until_ready(reason="MemberLost", says=["create the EtcdCluster anew"])

    assert condition(lost, "Available")["status"] == "False"
    assert lost["status"]["clusterID"] == formed["status"]["clusterID"]


async def test_a_container_that_restarts_on_an_emptied_volume_refuses_too(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make()
    formed = await world.until_ready()
    standin.pause("e-0")
    await world.until_ready(reason="QuorumLost")

    await standin.wipe("e-0")
    standin.resume("e-0")

    lost = await world.until_ready(
        reason="MemberLost", says=["PersistentVolumeClaim e-0, is empty"]
    )
    assert lost["status"]["clusterID"] == formed["status"]["clusterID"]


async def test_nothing_says_new_any_more_once_a_cluster_has_formed(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(members=3)
    await world.until_ready()

    started = await world.until(lambda m: "new" not in _states(m), "e-start", kinds.CONFIGMAP)
    assert _states(started) == ["existing"] * 3
    await world.kube.delete(kinds.CONFIGMAP, "e-start", world.namespace)
    again = await world.until(lambda m: m is not None, "e-start", kinds.CONFIGMAP)
    assert _states(again) == ["existing"] * 3
    # No pod template had to change for it, so no pod is restarted for it.
    for name in ("e-0", "e-1", "e-2"):
        owner = await world.there(kinds.STATEFULSET, name)
        assert owner["metadata"]["generation"] == 1


def _states(manifest: Manifest | None) -> list[str]:
    data = (manifest or {}).get("data") or {}
    return [text for key, text in sorted(data.items()) if key.endswith("-state")] or ["new"]


@pytest.fixture(scope="module", params=["3.5.21", "3.7.3"])
def other_version(request: pytest.FixtureRequest) -> str:
    """Another version of etcd, at hand: to build one takes a minute."""
    program(request.param)
    return str(request.param)


async def test_other_versions_start_with_our_arguments(
    other_version: str, etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(version=other_version)

    etcd = await world.until_ready()

    assert etcd["status"]["version"] == other_version
