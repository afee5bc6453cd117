"""More members and fewer, one by one, while clients write; also where the spec flips half-way."""

from __future__ import annotations

from tests.integration.operators.etcd.conftest import ETCD, World, at_rest
from tests.integration.operators.etcd.kv import get, put
from tests.integration.operators.etcd.standin import StandIn

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.operators.etcd.naming import pod_endpoint
from kok.runtime.process.main import Process


async def resize(world: World, members: int) -> None:
    await world.kube.patch(ETCD, "e", world.namespace, {"spec": {"members": members}})


async def test_one_member_becomes_three(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make()
    await world.until_ready()
    address = pod_endpoint(standin.address("e-0"))
    await put(await world.credentials(), address, "colour", "blue")

    await resize(world, 3)

    etcd = await world.until(at_rest(3))
    assert [m["name"] for m in etcd["status"]["members"]] == ["e-0", "e-1", "e-2"]
    assert etcd["status"]["nextMember"] == 3
    async with world.client() as client:
        listed = await client.members(address)
    assert {one.id for one in listed} == {m["id"] for m in etcd["status"]["members"]}
    assert not any(one.is_learner for one in listed)
    there = pod_endpoint(standin.address("e-2"))
    assert await get(await world.credentials(), there, "colour") == "blue"
    starts = (await world.there(kinds.CONFIGMAP, "e-start"))["data"]
    assert {v for key, v in starts.items() if key.endswith("-state")} == {"existing"}


async def test_members_come_and_go_and_the_leader_hands_over_first(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(members=3)
    etcd = await world.until(at_rest(3))
    last = pod_endpoint(standin.address("e-2"))
    leader = next(m["name"] for m in etcd["status"]["members"] if m["role"] == "Leader")
    async with world.client() as client:
        if leader != "e-2":
            await client.move_leader(pod_endpoint(standin.address(leader)), _id(etcd, "e-2"))
    await put(await world.credentials(), last, "colour", "blue")

    await resize(world, 1)

    etcd = await world.until(at_rest(1))
    assert etcd["status"]["leader"] == "e-2", "the leader is the last to go"
    assert await get(await world.credentials(), last, "colour") == "blue"
    for name in ("e-0", "e-1"):
        assert await world.get(kinds.PVC, name) is None
        assert await world.get(kinds.STATEFULSET, name) is None


async def test_a_volume_that_has_the_name_of_the_next_member_is_left_alone(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make()
    await world.until_ready()
    theirs = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "e-1", "namespace": world.namespace, "labels": {"app": "shop"}},
        "spec": (await world.there(kinds.PVC, "e-0"))["spec"],
    }
    made = await world.kube.create(theirs)

    await resize(world, 3)
    etcd = await world.until(at_rest(3))

    assert [m["name"] for m in etcd["status"]["members"]] == ["e-0", "e-2", "e-3"]
    await resize(world, 1)
    await world.until(at_rest(1))
    left = await world.there(kinds.PVC, "e-1")
    for key in ("uid", "labels", "ownerReferences"):
        assert left["metadata"].get(key) == made["metadata"].get(key)


def _id(etcd: Manifest, member: str) -> str:
    return next(m["id"] for m in etcd["status"]["members"] if m["name"] == member)
