"""Kinds that are not there yet, and kinds that kopf overlooks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from tests.unit.fakeapi import FakeApi, refusal

from kok.api.meta import Kind
from kok.kube import kinds
from kok.kube.client import Kube
from kok.runtime.clock import FakeClock
from kok.runtime.kopf.served_kinds import (
    CHECK,
    POLL,
    KindNotWatched,
    guard_watched,
    missing,
    until_served,
)

THING = Kind("a.example", "v1", "Thing", "things")


class Server:
    """What an API server serves, by group and version."""

    def __init__(self, api: FakeApi) -> None:
        self.serves: dict[str, list[str]] = {"v1": ["secrets"], "apps/v1": ["deployments"]}
        self.down = False
        api.script("GET", r"^/apis?(/[^/]+)*$", self._answer)

    async def _answer(self, request: web.Request) -> web.StreamResponse | None:
        if self.down:
            return refusal(503, "ServiceUnavailable", "starting")
        if request.path == "/apis":
            versions = [{"groupVersion": name} for name in self.serves if "/" in name]
            return web.json_response({"groups": [{"versions": versions}]})
        name = request.path.split("/", 2)[2]
        if name not in self.serves:
            return None
        resources = [{"name": plural} for plural in self.serves[name]]
        return web.json_response({"resources": resources})


@pytest.fixture
def server(api: FakeApi) -> Server:
    """An API server."""
    return Server(api)


async def test_missing_kinds_are_found(server: Server, kube: Kube) -> None:
    assert await missing(kube, [kinds.SECRET, kinds.DEPLOYMENT]) == []
    assert await missing(kube, [kinds.SECRET, THING, kinds.DAEMONSET]) == [THING, kinds.DAEMONSET]


class Bench:
    """A task on a clock moved by hand."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.told: list[str] = []
        self.task: asyncio.Task[None] | None = None

    async def rest(self) -> None:
        """Until the task waits for the time or has ended."""
        assert self.task is not None
        async with asyncio.timeout(60):
            # Nothing tells of the moment at which it waits for the time.
            while not self.clock.waiting and not self.task.done():  # noqa: ASYNC110
                await asyncio.sleep(0)

    async def go(self, seconds: float) -> None:
        """Moves the time on."""
        await self.rest()
        await self.clock.advance(seconds)
        await self.rest()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A clock."""
    one = Bench()
    yield one
    if one.task is not None:
        one.task.cancel()
        await asyncio.gather(one.task, return_exceptions=True)


async def test_missing_kinds_are_named_and_waited_for(
    server: Server, kube: Kube, bench: Bench
) -> None:
    waiting = until_served(kube, [THING], bench.clock, bench.told.append)
    bench.task = asyncio.create_task(waiting)
    await bench.go(POLL)
    server.down = True
    await bench.go(POLL)
    server.down = False
    assert not bench.task.done()
    server.serves["a.example/v1"] = ["things"]
    await bench.go(POLL)
    assert bench.task.done()
    assert bench.told[0] == "CustomResourceDefinitions that are not installed: things.a.example"
    assert "the API server: starting" in bench.told


async def test_a_kind_that_stays_unwatched_is_noticed(
    server: Server, kube: Kube, bench: Bench
) -> None:
    watched: set[Kind] = set()
    server.serves["a.example/v1"] = ["things"]
    guard = guard_watched(kube, [THING], lambda: watched, bench.clock)
    bench.task = asyncio.create_task(guard)
    await bench.go(CHECK)
    assert not bench.task.done(), "kopf may need a moment"
    await bench.go(CHECK)
    assert isinstance(bench.task.exception(), KindNotWatched)
    assert "things.a.example" in str(bench.task.exception())


async def test_what_is_watched_or_not_served_is_in_order(
    api: FakeApi, server: Server, kube: Kube, bench: Bench
) -> None:
    watched = {THING}
    guard = guard_watched(kube, [THING], lambda: watched, bench.clock)
    bench.task = asyncio.create_task(guard)
    for _ in range(5):
        await bench.go(CHECK)
    assert api.requests == [], "at rest nothing is asked"
    watched.clear()
    for _ in range(5):
        await bench.go(CHECK)
    assert not bench.task.done(), "a kind that was taken away cannot be watched"
