"""The life of an EtcdCluster from its creation to its end."""

from __future__ import annotations

import asyncio

from e2e.polling import eventually
from tests.integration.operators.etcd.conftest import ETCD, LIMIT, Tune, World, condition, status
from tests.integration.operators.etcd.standin import StandIn

from kok.kube import kinds
from kok.operators.etcd.naming import pod_endpoint
from kok.runtime import metrics
from kok.runtime.process.main import Process


async def test_three_members_form_one_cluster_and_the_status_tells_all_of_it(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(members=3)

    etcd = await world.until_ready()

    found = etcd["status"]
    assert [m["name"] for m in found["members"]] == ["e-0", "e-1", "e-2"]
    assert sorted(m["role"] for m in found["members"]) == ["Follower", "Follower", "Leader"]
    assert all(m["ready"] and m["version"] == "3.6.10" for m in found["members"])
    assert found["readyMembers"] == found["desiredMembers"] == 3
    assert found["version"] == "3.6.10"
    # etcd raises it from 3.5 some seconds after all members have started.
    assert found["storageVersion"] in {"3.5.0", "3.6.0"}
    assert found["phase"] == "Ready"
    assert found["seed"] == "e-0,e-1,e-2"
    assert found["endpoints"] == [f"https://e-client.{world.namespace}.svc:2379"]
    assert {c["name"] for c in found["certificates"]} == {"e-ca", "e-client", "e-peer", "e-server"}
    async with world.client() as client:
        said = await client.status(pod_endpoint(standin.address("e-1")))
        listed = await client.members(pod_endpoint(standin.address("e-1")))
    assert said.cluster_id == found["clusterID"]
    assert {m["id"] for m in found["members"]} == {one.id for one in listed}
    assert said.leader in {one.id for one in listed}
    leader = next(m for m in found["members"] if m["role"] == "Leader")
    assert found["leader"] == leader["name"]
    for type_ in ("Available", "MembersHealthy", "CertificatesReady", "UpToDate"):
        assert condition(etcd, type_)["status"] == "True"


async def test_at_rest_nothing_is_written(
    etcd_operator: Process, standin: StandIn, world: World, tune: Tune
) -> None:
    tune(look_healthy=0.2)
    await world.make(members=3)
    await world.until_ready()
    await world.until(lambda m: status(m).get("storageVersion") == "3.6.0")
    children = (kinds.STATEFULSET, kinds.PVC, kinds.SECRET, kinds.SERVICE, kinds.PDB, kinds.EVENT)

    async def versions() -> list[str]:
        found = [await world.kube.list(kind, world.namespace) for kind in (ETCD, *children)]
        return [m["metadata"]["resourceVersion"] for some in found for m in some]

    def passes() -> float:
        return metrics.PASSES.labels("etcd", "EtcdCluster", "ok")._value.get()

    # etcd itself may still come to rest, or choose another leader: that is told.
    async with asyncio.timeout(LIMIT):
        before: list[str] = []
        while (found := await versions()) != before:
            before = found
            await _passes(passes, 10)


async def _passes(count, more: int) -> None:
    goal = count() + more
    # A counter of Prometheus wakes nobody.
    await eventually(lambda: count() >= goal, LIMIT)


async def test_a_killed_member_comes_back_and_the_status_tells_meanwhile(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(members=3)
    formed = await world.until_ready()

    standin.pause("e-1")

    # If it led, another reason comes first: a majority has yet to agree on a leader.
    hurt = await world.until(
        lambda m: (
            status(m).get("readyMembers") == 2 and condition(m).get("reason") == "MembersNotReady"
        )
    )
    assert condition(hurt)["status"] == "False"
    assert "e-1" in condition(hurt)["message"]
    assert condition(hurt, "Available")["status"] == "True"
    assert hurt["status"]["phase"] == "Degraded"
    standin.resume("e-1")
    again = await world.until_ready()
    assert again["status"]["clusterID"] == formed["status"]["clusterID"]
    assert [m["id"] for m in again["status"]["members"]] == [
        m["id"] for m in formed["status"]["members"]
    ]


async def test_a_lost_quorum_is_told_and_returns_by_itself(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(members=3)
    await world.until_ready()

    standin.pause("e-0")
    standin.pause("e-2")

    lost = await world.until_ready(
        reason="QuorumLost", says=["1 of 3 members take part, and 2 are needed"]
    )
    assert condition(lost, "Available")["status"] == "False"
    assert lost["status"]["phase"] == "Unavailable"
    assert "leader" not in lost["status"]
    standin.resume("e-0")
    standin.resume("e-2")
    await world.until_ready()


async def test_a_member_that_falls_silent_is_told_and_delays_nobody(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(members=3)
    etcd = await world.until_ready()
    follower = next(m["name"] for m in etcd["status"]["members"] if m["role"] == "Follower")

    standin.stop_answering(follower)

    hurt = await world.until_ready(reason="MembersNotReady")
    assert condition(hurt, "Available")["status"] == "True"
    healthy = [m["name"] for m in hurt["status"]["members"] if m["ready"]]
    assert sorted([*healthy, follower]) == ["e-0", "e-1", "e-2"]
    standin.answer_again(follower)
    await world.until_ready()


async def test_what_is_deleted_or_changed_by_hand_comes_back(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make()
    await world.until_ready()
    gone = [
        (kinds.SERVICE, "e-client"),
        (kinds.SERVICE, "e-peers"),
        (kinds.PDB, "e"),
        (kinds.SECRET, "e-server"),
        (kinds.SECRET, "e-client"),
        (kinds.STATEFULSET, "e-0"),
    ]
    before = {name: (await world.there(kind, name))["metadata"]["uid"] for kind, name in gone[2:]}

    for kind, name in gone:
        await world.kube.delete(kind, name, world.namespace)
    replicas = {"spec": {"replicas": 0}}

    for kind, name in gone:
        uid = before.get(name)
        await world.until(lambda m, uid=uid: m and m["metadata"]["uid"] != uid, name, kind)
    await world.until_ready()
    await world.kube.patch(kinds.STATEFULSET, "e-0", world.namespace, replicas)
    await world.until(lambda m: m and m["spec"]["replicas"] == 1, "e-0", kinds.STATEFULSET)


async def test_a_paused_cluster_is_seen_but_not_touched(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(members=3)
    await world.until_ready()
    await world.kube.patch(ETCD, "e", world.namespace, {"spec": {"paused": True}})
    await world.until(lambda m: condition(m, "Paused"))

    await world.kube.delete(kinds.PDB, "e", world.namespace)
    standin.pause("e-1")

    await world.until(lambda m: status(m).get("readyMembers") == 2)
    assert await world.get(kinds.PDB, "e") is None
    await world.kube.patch(ETCD, "e", world.namespace, {"spec": {"paused": False}})
    await world.until(lambda m: m is not None, "e", kinds.PDB)
    standin.resume("e-1")
    await world.until_ready()
