"""Objects that take a hundred times their size in memory, if an operator lets them."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from tests.integration.runtime.conftest import LIMIT, SOON, Start, World, ready
from tests.integration.runtime.toy import TOY

from kok.kube import kinds

MANY = 15
LARGE = {"x": [{}] * 120_000}
"""Half a megabyte of JSON, and nine of Python's objects; twice that while they are handled. With
the whole that etcd takes of one object an API server is at work for minutes."""
ROOM = 40.0
"""MiB for all of them, in which five would not fit."""


async def test_fifteen_objects_of_very_many_values_do_not_fill_the_memory(
    start: Start, world: World
) -> None:
    first = await start()
    await world.make("small", size=1)
    await world.until_ready("small", "Made", "True")
    idle = first.peak()

    names = [f"large-{number}" for number in range(MANY)]
    for name in names:
        await world.make(name, size=1, rest=LARGE)
    await _told(world, set(names))
    assert first.peak() < idle + ROOM

    await first.kill()
    await world.change("small", size=2)
    second = await start(lease_renew=SOON)
    await world.until(kinds.CONFIGMAP, "small", lambda c: c and c["data"]["size"] == "2")
    await world.change(names[-1], rest=None)
    await world.until_ready(names[-1], "Made", "True")
    assert second.peak() < idle + ROOM


async def _told(world: World, names: set[str]) -> None:
    """Returns once all of these Toys say what is wrong with them."""
    watch = world.kube.watch(TOY, world.namespace)
    async with asyncio.timeout(2 * LIMIT), aclosing(watch) as events:
        async for event in events:
            condition = ready(event.object)
            if condition.get("reason") == "TooManyValues":
                assert "spec.rest" in condition["message"]
                names.discard(event.object["metadata"]["name"])
            if not names:
                return
