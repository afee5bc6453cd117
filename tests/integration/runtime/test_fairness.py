"""Objects of one namespace that do their worst, beside one of another namespace."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from tests.integration.apiserver import ApiServer
from tests.integration.runtime.conftest import LIMIT, World, running
from tests.integration.runtime.toy import TOY, toy

from kok.kube.client import Kube

CROWD = 50


async def test_objects_that_hang_keep_no_other_namespace_waiting(
    api_server: ApiServer, toys: None, kube: Kube, namespace: str, world: World
) -> None:
    loud = f"{namespace}-loud"
    await kube.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": loud}})
    for number in range(CROWD):
        await kube.create(toy(f"toy-{number}", loud, hang=True))
    async with running(
        api_server, namespace, namespaces=(namespace, loud), pass_timeout=3600, passes=4
    ) as process:
        await until_hanging(World(kube, loud), 3)

        await world.make("a", size=3)
        await world.until_ready("a", "Made", "True")

        alive, told = process.health.alive()
        assert alive, told
        assert max(told["pendingSeconds"].values()) < 60


async def until_hanging(world: World, count: int) -> None:
    """Until passes over that many Toys hang."""
    hanging: set[str] = set()
    watch = world.kube.watch(TOY, world.namespace)
    async with asyncio.timeout(LIMIT), aclosing(watch) as events:
        async for event in events:
            if event.type in {"ADDED", "MODIFIED"}:
                status = event.object.get("status") or {}
                if status.get("phase") == "Hanging":
                    hanging.add(event.object["metadata"]["name"])
            if len(hanging) >= count:
                return
