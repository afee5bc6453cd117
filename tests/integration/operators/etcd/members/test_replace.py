"""Members that are lost in all the ways there are give their places to new ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import pytest
from e2e.polling import eventually
from tests.integration.operators.etcd.conftest import (
    ETCD,
    LIMIT,
    Tune,
    World,
    at_rest,
    condition,
    status,
)
from tests.integration.operators.etcd.kv import get, put
from tests.integration.operators.etcd.standin import StandIn

from kok.api.meta import Manifest
from kok.etcdclient.model import EtcdError, Trouble
from kok.kube import kinds
from kok.operators.etcd.naming import pod_endpoint
from kok.operators.etcd.settings import Tuning
from kok.runtime.process.main import Process

T = TypeVar("T")


@pytest.fixture(autouse=True)
def quickly(tune: Tune) -> None:
    """Members tell of nothing by themselves."""
    tune(look_healthy=0.5, look_troubled=0.5)


async def formed(world: World, standin: StandIn, **spec: object) -> str:
    """Three members and a key; the address of the first one."""
    await world.make(members=3, **spec)
    await world.until(at_rest(3))
    address = pod_endpoint(standin.address("e-0"))
    await put(await world.credentials(), address, "colour", "blue")
    return address


async def patiently(change: Callable[[], Awaitable[T]]) -> T:
    """A change of members as soon as etcd allows it: all must have been connected for 5 s."""

    async def changed() -> tuple[T] | None:
        try:
            return (await change(),)
        except EtcdError as error:
            if error.trouble is not Trouble.UNHEALTHY:
                raise
            return None

    done = await eventually(changed, LIMIT, every=0.2)
    assert done
    return done[0]


async def replaced(world: World, standin: StandIn, old: str, new: str = "e-3") -> Manifest:
    """The cluster once the new member has the place of the old one, and its data."""

    def whole(etcd: Manifest | None) -> bool:
        names = [m["name"] for m in status(etcd).get("members") or ()]
        return at_rest(3)(etcd) and new in names and old not in names

    etcd = await world.until(whole)
    assert [r["member"] for r in status(etcd)["replacements"]] == [old]
    address = pod_endpoint(standin.address(new))
    assert await get(await world.credentials(), address, "colour") == "blue"
    return etcd


async def test_a_member_with_damaged_data_is_replaced(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await formed(world, standin)
    standin.pause("e-1")
    await world.until(lambda m: status(m).get("readyMembers") == 2)
    await standin.damage("e-1")
    standin.resume("e-1")

    etcd = await replaced(world, standin, "e-1")

    assert "is damaged" in status(etcd)["replacements"][0]["reason"]


async def test_a_member_whose_node_is_gone_is_replaced_after_a_while(
    etcd_operator: Process, standin: StandIn, world: World, tune: Tune
) -> None:
    tune(pod_stuck_after=timedelta(minutes=-5))
    # Long enough for what comes before it to be told, on a busy machine as well.
    await formed(world, standin, recovery={"replaceAfter": "8s"})
    standin.hold_deletions = True
    standin.pause("e-2")
    await world.kube.delete(kinds.POD, "e-2-0", world.namespace)

    await world.until_ready(
        reason="MembersNotReady", says=["its pod is being stopped on node node-1"]
    )
    words = "has been gone for more than 8s"
    await world.until_ready(reason="MemberLost", type_="MembersHealthy", says=[words])
    # What is left on the node does no harm.
    left = ["Member", "Member", "Left", "Member"]
    await world.until(
        lambda m: (
            [x["state"] for x in status(m)["members"]] == left and condition(m)["status"] == "True"
        )
    )
    standin.hold_deletions = False
    await replaced(world, standin, "e-2")


async def test_a_member_that_somebody_removed_is_replaced(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    address = await formed(world, standin)
    etcd = await world.there(ETCD, "e")
    victim = next(m for m in status(etcd)["members"] if m["name"] == "e-1")
    async with world.client() as client:
        leader = next(m for m in status(etcd)["members"] if m["role"] == "Leader")
        if leader["name"] == "e-1":
            await client.move_leader(pod_endpoint(standin.address("e-1")), _id(etcd, "e-0"))
        await patiently(lambda: client.remove(address, victim["id"]))

    etcd = await replaced(world, standin, "e-1")

    assert "by somebody else" in status(etcd)["replacements"][0]["reason"]


async def test_a_learner_that_lost_its_data_makes_room_for_another(
    etcd_operator: Process, standin: StandIn, world: World, tune: Tune
) -> None:
    tune(begin_again_after=timedelta(seconds=1), learner_lag=-1_000_000)
    await world.make(members=1)
    await world.until(at_rest(1))
    await world.kube.patch(ETCD, "e", world.namespace, {"spec": {"members": 3}})
    await world.until(lambda m: len(status(m)["members"]) > 1 and _id(m, "e-1"))
    standin.pause("e-1")
    await standin.wipe("e-1")
    standin.resume("e-1")
    again = await world.until(lambda m: (status(m).get("operation") or {}).get("attempts") == 1)
    assert again["status"]["operation"]["type"] == "Grow"
    tune(learner_lag=Tuning().learner_lag)

    etcd = await world.until(at_rest(3))

    assert [m["name"] for m in status(etcd)["members"]] == ["e-0", "e-2", "e-3"]
    assert "replacements" not in status(etcd) or not status(etcd)["replacements"]


async def test_an_unknown_member_is_told_and_left_alone(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    address = await formed(world, standin)
    async with world.client() as client:
        made = await patiently(lambda: client.add_learner(address, "https://127.99.99.99:2380"))

        words = [made.id, "etcdctl member remove"]
        await world.until_ready(reason="UnknownMember", says=words)

        await client.remove(address, made.id)
    await world.until(at_rest(3))


async def test_a_status_that_was_lost_is_found_again(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    address = await formed(world, standin)
    await world.kube.delete(kinds.PVC, "e-1", world.namespace)
    await world.until(lambda m: m and _note(m), "e-3", kinds.PVC)
    before = await world.until(at_rest(3))

    etcd = await world.there(ETCD, "e")
    nothing = {"status": dict.fromkeys(etcd["status"])}
    await world.kube.patch(ETCD, "e", world.namespace, nothing, subresource="status")

    again = await world.until(at_rest(3))
    assert status(again)["clusterID"] == status(before)["clusterID"]
    assert {m["name"] for m in status(again)["members"]} == {"e-0", "e-2", "e-3"}
    assert await get(await world.credentials(), address, "colour") == "blue"


def _note(claim: Manifest) -> object:
    return (claim["metadata"].get("annotations") or {}).get("kok.dev/etcd-member-id")


def _id(etcd: Manifest | None, member: str) -> str:
    found = {m["name"]: m.get("id", "") for m in status(etcd)["members"]}
    return str(found.get(member, ""))
