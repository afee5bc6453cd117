"""Connections to business clusters: kept while they hold, and closed when nobody can use them."""

from __future__ import annotations

import asyncio

import pytest

from kok.runtime.clock import settle
from kok.workload.pool import Pool

ONE, TWO, THREE = ("team-a", "one"), ("team-a", "two"), ("team-b", "one")


class Client:
    """A connection that remembers what became of it."""

    def __init__(self, digest: str) -> None:
        self.digest = digest
        self.follows, self.open = True, True

    async def unfollow(self) -> None:
        self.follows = False

    async def close(self) -> None:
        self.follows = self.open = False


@pytest.fixture
async def pool() -> Pool[Client]:
    return Pool(limit=2)


def connect(pool: Pool[Client], key: tuple[str, str], digest: str = "a") -> Client:
    return pool.connect(key, digest, lambda: Client(digest))[0]


async def test_one_that_holds_is_used_again(pool: Pool[Client]) -> None:
    assert connect(pool, ONE) is connect(pool, ONE)
    assert connect(pool, ONE) is not connect(pool, TWO)


async def test_another_identity_gets_another_connection_and_the_passes_of_before_keep_theirs(
    pool: Pool[Client],
) -> None:
    old = connect(pool, ONE)
    new, before = pool.connect(ONE, "b", lambda: Client("b"))
    await settle()

    assert pool.get(ONE) is new
    assert before is old
    assert (old.follows, old.open) == (False, True)
    assert (new.follows, new.open) == (True, True)
    await pool.close()
    assert not old.open
    assert not new.open


async def test_an_identity_that_cannot_be_used_costs_nobody_his_connection(
    pool: Pool[Client],
) -> None:
    old = connect(pool, ONE)

    def broken() -> Client:
        raise ValueError("no certificate")

    with pytest.raises(ValueError, match="no certificate"):
        pool.connect(ONE, "b", broken)
    assert pool.get(ONE) is old
    assert old.follows


async def test_the_one_that_was_used_longest_ago_makes_room(pool: Pool[Client]) -> None:
    first = connect(pool, ONE)
    second = connect(pool, TWO)
    pool.get(ONE)
    connect(pool, THREE)
    await settle()

    assert len(pool) == 2
    assert pool.get(TWO) is None
    assert not second.follows
    assert first.follows


async def test_a_cluster_that_is_gone_leaves_no_watch_behind(pool: Pool[Client]) -> None:
    client = connect(pool, ONE)
    for key, _ in pool:
        pool.drop(key)
    await settle()

    assert len(pool) == 0
    assert not client.follows
    async with asyncio.timeout(5):
        await pool.close()
    assert not client.open
