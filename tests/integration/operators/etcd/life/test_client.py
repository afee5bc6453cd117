"""What the client changes, and how it is refused, by real members."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from e2e.polling import eventually
from tests.integration.operators.etcd.bare import LIMIT, Bare
from tests.unit.etcdclient.test_client import WHO

from kok.etcdclient.client import EtcdClient
from kok.etcdclient.model import Alarm, EtcdError, Trouble


@pytest.fixture(params=["3.6.10", "3.5.21", "3.7.3"])
def bare(request: pytest.FixtureRequest) -> Iterator[Bare]:
    """Room for members of one cluster; each test starts those that it needs."""
    one = Bare(request.param)
    yield one
    one.close()


@pytest.fixture
async def client() -> AsyncIterator[EtcdClient]:
    """A client; without TLS its credentials are not looked at."""
    async with EtcdClient(WHO, deadline=LIMIT) as one:
        yield one


async def put(client: EtcdClient, address: str, value: str, key: str = "k") -> int:
    body = {"key": base64.b64encode(key.encode()).decode()}
    body["value"] = base64.b64encode(value.encode()).decode()
    answer = await client._ask(address, "kv/put", body)
    return int(answer["header"]["revision"])


async def refused(change: Awaitable[Any]) -> Trouble:
    with pytest.raises(EtcdError) as raised:
        await change
    return raised.value.trouble


async def test_a_learner_is_added_promoted_made_leader_and_removed(
    bare: Bare, client: EtcdClient
) -> None:
    await bare.form(client, 1)
    first = bare.address(0)

    added = await client.add_learner(first, bare.peer(1))

    assert (added.is_learner, added.started, added.peer_urls) == (True, False, (bare.peer(1),))
    assert added.id in {one.id for one in await client.members(first)}
    assert await refused(client.add_learner(first, bare.peer(1))) is Trouble.EXISTS
    assert await refused(client.add_learner(first, bare.peer(2))) is Trouble.TOO_MANY_LEARNERS
    assert await refused(client.promote(first, added.id)) is Trouble.NOT_IN_SYNC
    bare.start(1, [0, 1], "existing")
    await done(lambda: client.promote(first, added.id), Trouble.NOT_IN_SYNC)
    # Of one that has its vote already, but not all of the log, 3.5 says that it is not in sync.
    again = done(lambda: client.promote(first, added.id), Trouble.NOT_IN_SYNC)
    assert await refused(again) is Trouble.NOT_A_LEARNER
    await bare.served(client, 1)

    await client.move_leader(first, added.id)

    said = await client.status(bare.address(1))
    assert said.leader == said.member_id == added.id
    assert await refused(client.move_leader(first, added.id)) is Trouble.NOT_LEADER
    assert await refused(client.move_leader(bare.address(1), "abc")) is Trouble.NOT_FOUND
    old = (await client.status(first)).member_id

    # etcd counts on a member only once it has been connected for 5 s, and refuses until then.
    await done(lambda: client.remove(bare.address(1), old), Trouble.UNHEALTHY)

    assert [one.id for one in await client.members(bare.address(1))] == [added.id]
    assert await refused(client.remove(bare.address(1), old)) is Trouble.NOT_FOUND


async def done(change: Callable[[], Awaitable[None]], *until: Trouble) -> None:
    """Repeats a change while it is refused for one of these reasons."""

    async def changed() -> bool:
        try:
            await change()
        except EtcdError as error:
            if error.trouble not in until:
                raise
            return False
        return True

    await eventually(changed, LIMIT)


async def test_a_removal_that_would_cost_the_quorum_is_refused(
    bare: Bare, client: EtcdClient
) -> None:
    await bare.form(client, 3)
    ids = {one.name: one.id for one in await client.members(bare.address(0))}
    leader = (await client.status(bare.address(0))).leader
    follower = next(name for name, one in ids.items() if one != leader)
    asked = bare.address(int(next(n for n, one in ids.items() if one == leader)[1:]))

    bare.kill(int(follower[1:]))
    await bare.missed(asked, ids[follower])

    healthy = next(one for name, one in ids.items() if name != follower and one != leader)
    assert await refused(client.remove(asked, healthy)) is Trouble.UNHEALTHY
    await done(lambda: client.remove(asked, ids[follower]), Trouble.UNHEALTHY)


async def test_compaction_and_defragmentation_give_space_back(
    bare: Bare, client: EtcdClient
) -> None:
    await bare.form(client, 1)
    address = bare.address(0)
    for number in range(40):
        last = await put(client, address, "x" * 100_000, f"k{number % 2}")
    full = await client.status(address)

    await client.compact(address, last)
    assert await refused(client.compact(address, last)) is Trouble.COMPACTED
    await client.defragment(address)

    assert (await client.status(address)).db_size < full.db_size / 2
    assert (await client.hash_kv(address)).compacted == last
    assert await refused(client.hash_kv(address, 1)) is Trouble.COMPACTED


async def test_members_that_agree_have_the_same_hash(bare: Bare, client: EtcdClient) -> None:
    await bare.form(client, 3)
    last = await put(client, bare.address(0), "blue")
    await asyncio.gather(*(client.members(bare.address(n)) for n in range(3)))

    hashes = {await client.hash_kv(bare.address(n), last) for n in range(3)}

    assert len(hashes) == 1
    assert hashes.pop().value != 0


async def test_an_alarm_is_taken_back_once_there_is_room_again(client: EtcdClient) -> None:
    bare = Bare("3.6.10", "--quota-backend-bytes=2000000")
    try:
        await bare.form(client, 1)
        address = bare.address(0)
        last = 0
        while not (await client.status(address)).alarms:
            with contextlib.suppress(EtcdError):
                last = await put(client, address, "x" * 100_000)
        assert await refused(put(client, address, "z")) is Trouble.NO_SPACE
        said = await client.status(address)
        alarm = Alarm(said.member_id, "NOSPACE")
        assert said.alarms == (alarm,)

        await client.compact(address, last)
        await client.defragment(address)
        await client.disarm(address, alarm)
        await client.disarm(address, alarm)

        assert (await client.status(address)).alarms == ()
        await put(client, address, "y")
    finally:
        bare.close()
