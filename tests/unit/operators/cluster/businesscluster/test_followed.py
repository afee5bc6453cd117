"""What is followed of addons' objects, and what wakes whom."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator
from typing import Any, cast

import pytest

from kok.api.meta import Kind
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.watch import WatchEvent
from kok.operators.cluster.businesscluster.followed import KNOWN, FollowedKinds, Settled

SETTLED = Settled("as it is", 0.0, ("found",))


class Server:
    """Tells watches what a test says; `open` are the kinds that are watched."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.too_much: set[str] = set()
        self.watched: list[Kind] = []
        self._told: dict[str, asyncio.Queue[WatchEvent]] = defaultdict(asyncio.Queue)

    async def watch(self, kind: Kind, **how: Any) -> AsyncGenerator[WatchEvent, None]:
        assert how == {"labels": "kok.dev/addon", "bare": True, "known": KNOWN}
        assert kind.plural not in self.open, "it is watched already"
        self.open.add(kind.plural)
        self.watched.append(kind)
        try:
            while True:
                yield await self._told[kind.plural].get()
        finally:
            self.open.remove(kind.plural)

    def excess_of(self, kind: Kind) -> str | None:
        return "too much" if kind.plural in self.too_much else None

    def synced(self, kind: Kind) -> None:
        self._told[kind.plural].put_nowait(WatchEvent("SYNCED", {}))

    def changed(self, kind: Kind, addon: str) -> None:
        meta = {"name": "x", "labels": {"kok.dev/addon": addon}}
        self._told[kind.plural].put_nowait(WatchEvent("MODIFIED", {"metadata": meta}))


class Woken:
    """An Addon that may be woken."""

    def __init__(self) -> None:
        self.times = 0
        self._event = asyncio.Event()

    def __call__(self) -> None:
        self.times += 1
        self._event.set()

    async def again(self) -> None:
        """Returns once it was woken."""
        async with asyncio.timeout(10):
            await self._event.wait()
        self._event.clear()


@pytest.fixture
async def server() -> Server:
    return Server()


def following(server: Server, most: int = 12) -> FollowedKinds:
    return FollowedKinds(cast("Kube", server), most)


async def until(followed: FollowedKinds, addon: str, wanted: set[Kind], woken: Woken) -> None:
    """All that an Addon wants is followed."""
    while not followed.follow(addon, wanted, woken):
        await woken.again()


async def test_a_change_wakes_whose_it_is_and_nobody_else(server: Server) -> None:
    followed, mine, other = following(server), Woken(), Woken()
    both = {kinds.CONFIGMAP, kinds.CLUSTERROLE}
    followed.follow("mine", both, mine)
    followed.follow("other", {kinds.CONFIGMAP}, other)
    for kind in both:
        server.synced(kind)
    await until(followed, "mine", both, mine)
    await until(followed, "other", {kinds.CONFIGMAP}, other)
    while not other.times:
        await other.again()
    before = other.times

    server.changed(kinds.CLUSTERROLE, "mine")
    await mine.again()
    server.changed(kinds.CONFIGMAP, "nobody")
    server.changed(kinds.CONFIGMAP, "mine")
    await mine.again()
    assert other.times == before
    assert server.open == {"configmaps", "clusterroles"}
    await followed.close()
    assert server.open == set()


async def test_what_was_found_holds_until_something_changes(server: Server) -> None:
    followed, woken = following(server), Woken()
    followed.follow("mine", {kinds.CONFIGMAP}, woken)
    server.synced(kinds.CONFIGMAP)
    await until(followed, "mine", {kinds.CONFIGMAP}, woken)
    assert followed.settled("mine") is None
    followed.settle("mine", followed.changes("mine"), SETTLED)
    assert followed.settled("mine") == SETTLED

    server.changed(kinds.CONFIGMAP, "mine")
    await woken.again()
    assert followed.settled("mine") is None
    await followed.close()


async def test_what_changed_while_it_was_read_does_not_hold(server: Server) -> None:
    followed, woken = following(server), Woken()
    followed.follow("mine", {kinds.CONFIGMAP}, woken)
    server.synced(kinds.CONFIGMAP)
    await until(followed, "mine", {kinds.CONFIGMAP}, woken)
    before = followed.changes("mine")
    server.changed(kinds.CONFIGMAP, "mine")
    await woken.again()
    followed.settle("mine", before, SETTLED)
    assert followed.settled("mine") is None
    await followed.close()


async def test_no_more_kinds_are_followed_than_the_bound_and_the_rest_is_told(
    server: Server,
) -> None:
    followed, woken, greedy = following(server, most=2), Woken(), Woken()
    odd = {Kind("example.com", "v1", f"Kind{n}", f"kind{n}s") for n in range(40)}
    assert not followed.follow("greedy", odd, greedy)
    assert len(followed.followed) == 2

    # What tells how addons are comes first, whoever came before.
    followed.follow("mine", {kinds.DEPLOYMENT}, woken)
    server.synced(kinds.DEPLOYMENT)
    await until(followed, "mine", {kinds.DEPLOYMENT}, woken)
    assert ("apps", "deployments") in followed.followed
    assert len(followed.followed) == 2
    assert not followed.follow("greedy", odd, greedy)

    followed.forget("greedy")
    assert followed.followed == {("apps", "deployments")}
    await followed.close()


async def test_who_is_no_longer_followed_does_not_rely_on_what_was_found(server: Server) -> None:
    followed, woken, other = following(server, most=1), Woken(), Woken()
    followed.follow("mine", {kinds.CLUSTERROLE}, woken)
    server.synced(kinds.CLUSTERROLE)
    await until(followed, "mine", {kinds.CLUSTERROLE}, woken)
    followed.settle("mine", followed.changes("mine"), SETTLED)

    followed.follow("other", {kinds.DEPLOYMENT}, other)
    await woken.again()
    assert followed.settled("mine") is None
    assert not followed.follow("mine", {kinds.CLUSTERROLE}, woken)
    await followed.close()


async def test_a_kind_of_which_there_is_too_much_counts_as_not_followed(server: Server) -> None:
    followed, woken = following(server), Woken()
    followed.follow("mine", {kinds.CONFIGMAP}, woken)
    server.synced(kinds.CONFIGMAP)
    await until(followed, "mine", {kinds.CONFIGMAP}, woken)
    server.too_much.add("configmaps")
    assert not followed.follow("mine", {kinds.CONFIGMAP}, woken)
    await followed.close()


async def test_two_versions_of_a_kind_are_one(server: Server) -> None:
    followed, woken = following(server), Woken()
    for version in ("v1", "v1beta1"):
        followed.follow(version, {Kind("example.com", version, "Thing", "things")}, woken)
    assert followed.followed == {("example.com", "things")}
    await followed.close()


async def test_what_changes_all_the_time_wakes_now_and_then(server: Server) -> None:
    followed, woken = following(server), Woken()
    followed.follow("mine", {kinds.CONFIGMAP}, woken)
    server.synced(kinds.CONFIGMAP)
    await until(followed, "mine", {kinds.CONFIGMAP}, woken)
    for _ in range(19):
        server.changed(kinds.CONFIGMAP, "mine")
        await woken.again()
    before = woken.times
    for _ in range(100):
        server.changed(kinds.CONFIGMAP, "mine")
    while followed.changes("mine") < 119:  # noqa: ASYNC110 - nobody is told
        await asyncio.sleep(0)
    assert woken.times == before
    await followed.close()


async def test_a_version_that_nobody_uses_any_more_is_not_watched(server: Server) -> None:
    old, new = (Kind("example.com", version, "Thing", "things") for version in ("v1alpha1", "v1"))
    followed, woken, other = following(server), Woken(), Woken()
    followed.follow("mine", [old], woken)
    followed.follow("other", [old], other)
    await asyncio.sleep(0)
    server.synced(old)
    await until(followed, "mine", {old}, woken)

    # One that is served no longer tells nothing; what is to go may still be of it.
    assert not followed.follow("mine", [old, new], woken)
    await other.again()
    assert not followed.follow("other", [new], other)
    server.synced(new)
    await until(followed, "other", {new}, other)
    assert server.watched == [old, new]
    await followed.close()
