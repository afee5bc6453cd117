"""What is done to databases: defragmentation, a full database, members that disagree."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from e2e.polling import eventually
from tests.integration.operators.etcd.conftest import ETCD, LIMIT, Tune, World, condition, status
from tests.integration.operators.etcd.kv import get, put
from tests.integration.operators.etcd.standin import StandIn
from tests.integration.operators.etcd.writer import calm, writing

from kok.api.meta import Manifest
from kok.etcdclient.model import EtcdError, Trouble
from kok.operators.etcd.naming import pod_endpoint
from kok.runtime.process.main import Process

ALL = ("e-0", "e-1", "e-2")
FULL = {"size": "1Gi", "quota": "1%"}
"""A quota of some 10 MB."""
BIG = "x" * 200_000


@pytest.fixture(autouse=True)
def looks(tune: Tune) -> None:
    """etcd tells of nothing by itself; the operator is not waited for half a minute."""
    tune(look_healthy=0.5, look_troubled=0.5)


async def fill(world: World, standin: StandIn, *, again: bool) -> None:
    """Writes until the database is full: the same keys over and `again`, or ever new ones."""
    credentials, address = await world.credentials(), pod_endpoint(standin.address("e-0"))
    for number in range(1000):
        key = f"k{number % 3}" if again else f"k{time.monotonic_ns()}"
        try:
            await put(credentials, address, key, BIG)
        except EtcdError as error:
            if error.trouble is Trouble.NO_SPACE:
                return
    raise AssertionError("the database took everything")


@contextlib.asynccontextmanager
async def filling(world: World, standin: StandIn) -> AsyncIterator[None]:
    """Fills the database with new keys whenever it takes any."""

    async def pour() -> None:
        while True:
            await fill(world, standin, again=False)

    task = asyncio.create_task(pour())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def healthy(etcd: Manifest | None) -> bool:
    return "operation" not in status(etcd) and condition(etcd).get("reason") == "Healthy"


async def test_unused_space_is_given_back_member_by_member_the_leader_last(
    etcd_operator: Process, standin: StandIn, world: World, tune: Tune
) -> None:
    tune(worth_defragmenting=4 * 1024**2)
    await world.make(members=3)
    formed = await world.until_ready()
    credentials = await world.credentials()
    addresses = [pod_endpoint(standin.address(name)) for name in ALL]
    for number in range(60):
        await put(credentials, addresses[0], f"k{number % 2}", BIG)

    async with calm(credentials) as calm_one, writing(credentials, lambda: addresses) as writer:
        async with world.client() as client:
            said = await client.status(addresses[0])
            await client.compact(addresses[0], said.revision)
        done = await world.until(
            lambda m: healthy(m) and all("defragmentedAt" in e for e in status(m)["members"])
        )

    assert writer.longest < 1.5 + 2 * calm_one.longest
    when = {m["name"]: m["defragmentedAt"] for m in done["status"]["members"]}
    leader = next(m["name"] for m in formed["status"]["members"] if m["id"] == said.leader)
    assert when[leader] == max(when.values())
    async with world.client() as client:
        for address in addresses:
            assert (await client.status(address)).db_size < 4 * 1024**2


async def test_a_full_database_is_freed_of_its_history_and_takes_writes_again(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(members=3, storage=FULL)
    await world.until_ready()

    await fill(world, standin, again=True)

    done = await world.until(lambda m: status(m).get("freedAt") and healthy(m))
    assert not done["status"].get("alarms")
    credentials, address = await world.credentials(), pod_endpoint(standin.address("e-1"))
    await put(credentials, address, "colour", "blue")
    assert await get(credentials, address, "k0") == BIG
    assert len(done["status"]["freedAt"]) == 1


async def test_a_database_that_is_filled_again_is_told_until_it_may_grow(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(storage=FULL, maintenance={"onFull": "Automatic"})
    await world.until_ready()

    async with filling(world, standin):
        told = await world.until(
            lambda m: (
                "let spec.storage.size or spec.storage.quota grow"
                in condition(m).get("message", "")
            )
        )
    assert condition(told)["reason"] == "NoSpace"
    assert condition(told, "SpaceLeft")["reason"] == "NearQuota"
    await world.kube.patch(ETCD, "e", world.namespace, {"spec": {"storage": {"quota": "10%"}}})
    await world.until(healthy)
    credentials, address = await world.credentials(), pod_endpoint(standin.address("e-0"))
    await put(credentials, address, "colour", "blue")


async def test_a_full_database_is_left_alone_if_the_user_wants_it_so(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(storage=FULL, maintenance={"onFull": "Manual"})
    await world.until_ready()

    await fill(world, standin, again=True)

    told = await world.until_ready(reason="NoSpace", says=["disarm the alarm with etcdctl"])
    assert "operation" not in told["status"]
    assert not told["status"].get("freedAt")


async def alarm(world: World, standin: StandIn, member_id: str) -> None:
    body: dict[str, Any] = {"action": "ACTIVATE", "alarm": "CORRUPT"}
    body["memberID"] = str(int(member_id, 16))
    async with world.client() as client:
        await client._ask(pod_endpoint(standin.address("e-0")), "maintenance/alarm", body)


async def corrupt(world: World, standin: StandIn, formed: Manifest, *, stopped: bool) -> Manifest:
    """Changes what one follower has on its disk; its entry in the status."""
    wrong: Manifest = next(m for m in formed["status"]["members"] if m["role"] == "Follower")
    other = pod_endpoint(standin.address(next(n for n in ALL if n != wrong["name"])))
    await put(await world.credentials(), other, "colour", "blue-" * 100)
    database = await standin.volume(wrong["name"]) / "data" / "member" / "snap" / "db"
    # It is written in batches.
    await eventually(lambda: b"blue-blue-" in database.read_bytes(), LIMIT)
    if stopped:
        standin.pause(wrong["name"])
        await world.until(lambda m: status(m).get("readyMembers") == 2)
    with database.open("r+b") as file:
        content = file.read()
        while (at := content.find(b"blue-blue-")) >= 0:
            file.seek(at)
            file.write(b"pink-pink-")
            content = content[:at] + b"pink-pink-" + content[at + 10 :]
    standin.resume(wrong["name"])
    return wrong


def without(wrong: Manifest):
    """Whether the member has been replaced."""

    def holds(etcd: Manifest | None) -> bool:
        ids = {entry.get("id") for entry in status(etcd)["members"]}
        return healthy(etcd) and wrong["id"] not in ids and len(ids) == 3

    return holds


async def test_a_member_whose_data_differs_when_it_starts_is_replaced(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(members=3)
    wrong = await corrupt(world, standin, await world.until_ready(), stopped=True)

    await world.until(without(wrong))

    other = pod_endpoint(standin.address(next(n for n in ALL if n != wrong["name"])))
    assert await get(await world.credentials(), other, "colour") == "blue-" * 100


async def test_a_member_that_etcd_finds_corrupt_is_replaced_and_the_alarm_taken_back(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(members=3)
    wrong = await corrupt(world, standin, await world.until_ready(), stopped=False)

    await alarm(world, standin, wrong["id"])

    await world.until(without(wrong))
    other = pod_endpoint(standin.address(next(n for n in ALL if n != wrong["name"])))
    assert await get(await world.credentials(), other, "colour") == "blue-" * 100


async def test_members_that_do_agree_are_not_replaced_because_of_an_alarm(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await world.make(members=3)
    formed = await world.until_ready()
    one = formed["status"]["members"][1]

    await alarm(world, standin, one["id"])

    told = await world.until_ready(reason="Corrupt", says=[f"{one['name']}: CORRUPT"])
    assert [m["id"] for m in told["status"]["members"]] == [
        m["id"] for m in formed["status"]["members"]
    ]
