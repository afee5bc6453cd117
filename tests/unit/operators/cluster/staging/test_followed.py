"""Clusters are listed once, read again when that matters, and wake whom it concerns."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import Any

from kok.api.meta import Manifest
from kok.operators.cluster.staging.followed import MANY, REFRESH, FollowedClusters
from kok.runtime.clock import FakeClock, settle

FLEET, OTHER = ("team-a", "patch"), ("kok-system", "wide")


class Server:
    """Clusters as an API server has them; counts what it is asked."""

    def __init__(self, *names: str) -> None:
        self.live: dict[tuple[str, str], Manifest] = {}
        self.asked: Counter[str] = Counter()
        for name in names:
            self.put("team-a", name)

    def put(self, namespace: str, name: str) -> Manifest:
        """A Cluster is made, or changes; the event of that has metadata alone."""
        before = self.live.get((namespace, name))
        version = int(before["metadata"]["resourceVersion"]) + 1 if before else 1
        meta = {"namespace": namespace, "name": name, "uid": name, "resourceVersion": str(version)}
        self.live[namespace, name] = {"metadata": meta, "spec": {"version": "1.37.0"}}
        return {"metadata": meta}

    async def list(self, _kind: Any, namespace: str | None, *, keep: Any, **_: Any) -> list[Any]:
        self.asked["list"] += 1
        return [
            keep(live)
            for (where, _), live in self.live.items()
            if namespace is None or where == namespace
        ]

    async def get(self, _kind: Any, name: str, namespace: str, **_: Any) -> Manifest | None:
        self.asked["get"] += 1
        await asyncio.sleep(0)
        return self.live.get((namespace, name))


def woken(followed: FollowedClusters, event: Manifest) -> list[Any]:
    return list(followed.changed(event))


async def read(
    followed: FollowedClusters, server: Any, needed: Any = (), *, place: str = "team-a", **rest: Any
) -> Any:
    return await followed.read(server, [place], needed, rest.get("clock") or FakeClock())


async def test_at_rest_nothing_is_asked() -> None:
    server, followed, clock = Server("a", "b"), FollowedClusters(), FakeClock()
    followed.follow(FLEET, ["team-a"], [])
    for _ in range(5):
        found, stale = await read(followed, server, {"team-a/a"}, clock=clock)
    assert sorted(found) == ["team-a/a", "team-a/b"]
    assert not stale
    assert server.asked == {"list": 1}
    await clock.advance(REFRESH + 1)
    await read(followed, server, clock=clock)
    assert server.asked == {"list": 2}


async def test_what_changed_is_read_once_where_it_is_needed() -> None:
    server, followed, clock = Server("a", "b"), FollowedClusters(), FakeClock()
    followed.follow(FLEET, ["team-a"], ["team-a/a"])
    await read(followed, server, clock=clock)
    for _ in range(20):
        assert woken(followed, server.put("team-a", "a")) == [FLEET]
        assert woken(followed, server.put("team-a", "b")) == []
    found, stale = await read(followed, server, {"team-a/a"}, clock=clock)
    assert found["team-a/a"].resource_version == "21"
    assert stale == {"team-a/b"}
    assert server.asked == {"list": 1, "get": 1}
    _, stale = await read(followed, server, None, clock=clock)
    assert not stale
    assert server.asked["get"] == 2


async def test_who_follows_closely_is_woken_by_what_it_selects_by() -> None:
    server, followed, clock = Server("a"), FollowedClusters(), FakeClock()
    followed.follow(FLEET, ["team-a"], [])
    followed.follow(OTHER, ["team-a"], [], closely=True)
    await read(followed, server, clock=clock)
    assert woken(followed, server.put("team-a", "a")) == [], "a status alone is nothing"
    for changed in (
        {"labels": {"tier": "web"}},
        {"generation": 2},
        {"deletionTimestamp": "2026-11-22T12:00:00Z"},
    ):
        event = server.put("team-a", "a")
        event["metadata"].update(changed)
        assert woken(followed, event) == [OTHER]
        await read(followed, server, None, clock=clock)
        assert woken(followed, event) == []


async def test_new_ones_are_noticed_and_those_that_are_gone() -> None:
    server, followed, clock = Server("a"), FollowedClusters(), FakeClock()
    followed.follow(FLEET, ["team-a"], ["team-a/a"])
    await read(followed, server, clock=clock)
    assert woken(followed, server.put("team-a", "late")) == [FLEET]
    last = server.put("team-a", "a")
    del server.live["team-a", "a"]
    assert woken(followed, last) == [FLEET]
    found, _ = await read(followed, server, {"team-a/a"}, clock=clock)
    assert list(found) == ["team-a/late"]


async def test_what_was_just_written_is_known_and_its_event_wakes_nobody() -> None:
    server, followed = Server("a"), FollowedClusters()
    followed.follow(FLEET, ["team-a"], ["team-a/a"])
    await read(followed, server)
    event = server.put("team-a", "a")
    followed.take(server.live["team-a", "a"])
    assert woken(followed, event) == []
    followed.raised(FLEET, ["team-a/a"])
    followed.touch("team-a/a")
    _, stale = await read(followed, server, {"team-a/a"})
    assert not stale
    assert server.asked["get"] == 1


async def test_what_changed_before_anybody_waited_for_it_is_told_of() -> None:
    server, followed = Server("a", "b"), FollowedClusters()
    followed.follow(FLEET, ["team-a"], [])
    await read(followed, server)
    assert not followed.raised(FLEET, ["team-a/b"])
    assert woken(followed, server.put("team-a", "a")) == []
    assert followed.raised(FLEET, ["team-a/a"])
    await read(followed, server, None)
    assert not followed.raised(FLEET, ["team-a/a"])
    assert woken(followed, server.put("team-a", "a")) == [FLEET]


async def test_of_many_that_changed_all_are_listed_rather_than_each_read() -> None:
    names = [f"c{n}" for n in range(MANY + 1)]
    server, followed, clock = Server(*names), FollowedClusters(), FakeClock()
    followed.follow(OTHER, [""], [])
    await read(followed, server, place="", clock=clock)
    for name in names:
        woken(followed, server.put("team-a", name))
    found, stale = await read(followed, server, None, place="", clock=clock)
    assert len(found) == len(names)
    assert not stale
    assert server.asked == {"list": 2}


async def test_who_follows_nothing_is_not_woken_and_nothing_is_kept() -> None:
    server, followed = Server("a"), FollowedClusters()
    assert woken(followed, server.put("team-a", "a")) == []
    followed.follow(FLEET, ["team-b"], [])
    assert woken(followed, server.put("team-a", "a")) == []
    followed.follow(OTHER, [""], ["team-a/a"])
    assert woken(followed, server.put("team-a", "a")) == [OTHER]
    followed.forget(FLEET)
    followed.forget(OTHER)
    assert not followed._known
    assert not followed._changed


async def test_what_cannot_be_read_is_not_taken_for_read() -> None:
    server, followed, clock = Server("a"), FollowedClusters(), FakeClock()
    followed.follow(FLEET, ["team-a"], ["team-a/a"])
    await read(followed, server, clock=clock)
    woken(followed, server.put("team-a", "a"))

    async def lost(*_: Any, **__: Any) -> None:
        raise OSError("lost")

    answers, server.get = server.get, lost  # type: ignore[method-assign,assignment]
    with contextlib.suppress(OSError):
        await read(followed, server, None, clock=clock)
    server.get = answers  # type: ignore[method-assign]
    found, _ = await read(followed, server, None, clock=clock)
    assert found["team-a/a"].resource_version == "2"


async def test_what_another_one_is_reading_is_waited_for() -> None:
    server, followed, clock = Server("a"), FollowedClusters(), FakeClock()
    followed.follow(FLEET, ["team-a"], ["team-a/a"])
    followed.follow(OTHER, ["team-a"], ["team-a/a"])
    await read(followed, server, clock=clock)
    assert woken(followed, server.put("team-a", "a")) == [FLEET, OTHER]
    asked, may_answer, answers = asyncio.Event(), asyncio.Event(), server.get

    async def slow(*given: Any, **more: Any) -> Any:
        asked.set()
        await may_answer.wait()
        return await answers(*given, **more)

    server.get = slow  # type: ignore[method-assign]
    first = asyncio.create_task(read(followed, server, {"team-a/a"}, clock=clock))
    await asked.wait()
    second = asyncio.create_task(read(followed, server, {"team-a/a"}, clock=clock))
    await settle()
    may_answer.set()
    for found, stale in (await first, await second):
        assert found["team-a/a"].resource_version == "2"
        assert not stale


async def test_a_list_that_fails_is_made_again_before_anything_is_said() -> None:
    names = [f"c{n}" for n in range(MANY + 1)]
    server, followed, clock = Server(*names), FollowedClusters(), FakeClock()
    followed.follow(FLEET, ["team-a"], [])
    await read(followed, server, clock=clock)
    for name in names:
        woken(followed, server.put("team-a", name))

    async def lost(*_: Any, **__: Any) -> None:
        raise OSError("lost")

    answers, server.list = server.list, lost  # type: ignore[method-assign,assignment]
    with contextlib.suppress(OSError):
        await read(followed, server, None, clock=clock)
    server.list = answers  # type: ignore[method-assign]
    found, _ = await read(followed, server, {"team-a/c0"}, clock=clock)
    assert {one.resource_version for one in found.values()} == {"2"}
