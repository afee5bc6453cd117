"""Objects that do their worst, beside others."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from tests.integration.apiserver import ApiServer
from tests.integration.runtime.conftest import LIMIT, World, running
from tests.integration.runtime.toy import TOY, toy

from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.http.access import from_kubeconfig
from kok.kube.http.session import new_session

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


async def test_an_object_that_no_parser_bears_stops_nobody(
    api_server: ApiServer, toys: None, kube: Kube, namespace: str, world: World
) -> None:
    levels = 3000
    spec = '{"size":1,"rest":' + '{"a":' * levels + "1" + "}" * levels + "}"
    meta = f'{{"name":"deep","namespace":"{namespace}"}}'
    text = f'{{"apiVersion":"{TOY.api_version}","kind":"Toy","metadata":{meta},"spec":{spec}}}'
    access = from_kubeconfig(api_server.kubeconfig())
    path = f"{access.server}/apis/{TOY.api_version}/namespaces/{namespace}/{TOY.plural}"

    async def create() -> None:
        async with (
            new_session(access) as session,
            session.post(path, data=text, headers={"Content-Type": "application/json"}) as answer,
        ):
            assert answer.status == 201, await answer.text()

    async with running(api_server, namespace):
        await world.make("before", size=1)
        await world.until_ready("before", "Made", "True")
        await create()
        await world.make("after", size=2)
        await world.until_ready("after", "Made", "True")
    async with running(api_server, namespace):
        await world.change("after", size=3)
        await world.until(kinds.CONFIGMAP, "after", lambda c: c and c["data"]["size"] == "3")
    assert {toy["metadata"]["name"] for toy in await kube.list(TOY, namespace)} == {
        *("before", "deep", "after")
    }


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
