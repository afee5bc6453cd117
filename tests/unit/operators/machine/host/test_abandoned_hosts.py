"""The list of hosts that were left uncleaned: bounded, and fair to those who are in it."""

from __future__ import annotations

from datetime import timedelta

from tests.unit.fakeapi import FakeApi
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.machine.operations.removals import LIST, pool

from kok.api.machine.host import AbandonedHost
from kok.api.machine.machine import HostPlace
from kok.kube.client import Kube
from kok.operators.machine.host.abandoned_hosts import MOST, Abandoned


async def test_the_list_of_abandoned_hosts_is_bounded(api: FakeApi, kube: Kube) -> None:
    pool(api)
    listed = Abandoned()
    await listed.load(kube, "kok-system")
    for number in range(MOST + 3):
        entry = AbandonedHost(
            namespace="team-a",
            machine=f"m{number}",
            cluster="shop",
            address="192.0.2.1",
            since=NOW + timedelta(seconds=number),
            why="x" * 5000,
        )
        await listed.add(kube, f"uid-{number}", entry)
    data = api.objects[LIST]["data"]
    assert len(data) == MOST
    assert "uid-2" not in data
    assert sum(map(len, data.values())) < 700_000


async def test_who_leaves_many_hosts_makes_nobody_elses_forgotten(api: FakeApi, kube: Kube) -> None:
    pool(api)
    listed = Abandoned()
    await listed.load(kube, "kok-system")

    async def leave(namespace: str, number: int) -> None:
        entry = AbandonedHost(
            namespace=namespace,
            machine=f"m{number}",
            cluster="shop",
            address="192.0.2.1",
            since=NOW + timedelta(seconds=number),
        )
        await listed.add(kube, f"{namespace}-{number}", entry)

    for number in range(3):
        await leave("team-a", number)
    for number in range(MOST + 20):
        await leave("greedy", 100 + number)
    await leave("team-b", 0)
    data = api.objects[LIST]["data"]
    assert {"team-a-0", "team-a-1", "team-a-2", "team-b-0"} <= data.keys()
    assert f"greedy-{100 + MOST + 19}" in data
    assert len(data) == MOST
    assert data.keys() == listed.known.keys()


async def test_of_two_hosts_with_one_address_behind_two_bastions_one_is_struck_off(
    api: FakeApi, kube: Kube
) -> None:
    pool(api)
    listed = Abandoned()
    await listed.load(kube, "kok-system")
    ways = {"direct": "", "one": "203.0.113.1", "other": "203.0.113.1 port 2201", "unknown": None}
    for uid, jump in ways.items():
        entry = AbandonedHost(
            namespace="team-a",
            machine=uid,
            cluster="shop",
            address="2001:db8::1",
            jump=jump,
            since=NOW,
        )
        await listed.add(kube, uid, entry)
    await listed.load(kube, "kok-system")

    def at(jump: str) -> list[str]:
        place = HostPlace(address="2001:DB8:0::1", port=22, jump=jump, host_key="SHA256:k")
        return listed.at("team-a", place)

    assert at("203.0.113.1") == at("203.0.113.1 port 22") == ["one"]
    assert at("203.0.113.1 port 2201") == ["other"]
    assert at("203.0.113.2") == []
    # Where an earlier release wrote nothing down, there was no bastion, or it stays listed.
    assert sorted(at("")) == ["direct", "unknown"]
