"""Draining a node whose API refuses, ends or loses what it is asked."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from tests.unit.fakeapi import FakeApi, refusal
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.node.nodes_api import PATH

from kok.kube.client import Kube
from kok.kube.errors import Unreachable
from kok.operators.machine.node.drain import Drain, DrainTimings, concerns
from kok.runtime.clock import FakeClock, SystemClock


@pytest.mark.parametrize(
    ("pod", "leaves"),
    [
        ({}, True),
        ({"ownerReferences": [{"controller": True, "kind": "ReplicaSet"}]}, True),
        ({"ownerReferences": [{"controller": True, "kind": "DaemonSet"}]}, False),
        ({"annotations": {"kubernetes.io/config.mirror": "x"}}, False),
    ],
)
def test_which_pods_leave(pod: dict[str, Any], leaves: bool) -> None:
    assert concerns({"metadata": pod, "status": {"phase": "Running"}}) is leaves


def test_pods_that_ended_need_not_leave() -> None:
    assert not concerns({"metadata": {}, "status": {"phase": "Succeeded"}})


async def test_a_pod_that_a_webhook_keeps_is_not_said_to_be_protected_by_a_budget(
    api: FakeApi, kube: Kube
) -> None:
    api.put(PATH, {"metadata": {"name": "w1"}, "spec": {}})
    api.put("/api/v1/nodes/w2", {"metadata": {"name": "w2"}, "spec": {}})
    pod = {"name": "web", "namespace": "shop"}
    api.put("/api/v1/namespaces/shop/pods/web", {"metadata": pod, "spec": {"nodeName": "w1"}})

    async def refuse(_request: web.Request) -> web.StreamResponse:
        return refusal(403, "Forbidden", "not today")

    api.script("POST", "/eviction", refuse)
    said: asyncio.Queue[str] = asyncio.Queue()
    drain = Drain(
        kube=kube,
        clock=FakeClock(NOW),
        node="w1",
        alive=lambda: True,
        deadline=NOW,
        told=said.put_nowait,
    )
    draining = asyncio.create_task(drain.run())
    async with asyncio.timeout(30):
        assert await said.get() == "the API refuses to evict shop/web: not today"
    draining.cancel()
    await asyncio.gather(draining, return_exceptions=True)


async def test_ended_pods_hide_none_that_has_to_leave(api: FakeApi, kube: Kube) -> None:
    api.put(PATH, {"metadata": {"name": "w1"}, "spec": {}})
    for number in range(5):
        put_pod(api, f"a-{number}", status={"phase": "Failed"})
    put_pod(api, "web")
    api.put("/api/v1/nodes/w2", {"metadata": {"name": "w2"}, "spec": {}})
    evicted: asyncio.Queue[str] = asyncio.Queue()

    async def take(request: web.Request) -> web.StreamResponse:
        evicted.put_nowait((await request.json())["deleteOptions"]["preconditions"]["uid"])
        return web.json_response({}, status=201)

    api.script("POST", "/eviction", take)
    draining = asyncio.create_task(drain_of(kube, later=timedelta(hours=1), pods=3).run())
    first = asyncio.create_task(evicted.get())
    await asyncio.wait([draining, first], return_when=asyncio.FIRST_COMPLETED)
    assert not draining.done(), "a node with a running pod counted as empty"
    assert first.result() == "uid-web"
    draining.cancel()
    await asyncio.wait([draining])


async def test_no_eviction_goes_on_once_the_drain_has_ended(api: FakeApi, kube: Kube) -> None:
    api.put(PATH, {"metadata": {"name": "w1"}, "spec": {}})
    api.put("/api/v1/nodes/w2", {"metadata": {"name": "w2"}, "spec": {}})
    for name in ("a", "b", "c"):
        put_pod(api, name)

    over = asyncio.Event()

    async def lost(request: web.Request) -> web.StreamResponse:
        if "/a/" not in request.path:
            await over.wait()
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    api.script("POST", "/eviction", lost)
    before = asyncio.all_tasks()
    with pytest.raises(Unreachable):
        await drain_of(kube, later=timedelta(hours=1)).run()
    left = [one for one in asyncio.all_tasks() - before if "Drain._one" in repr(one)]
    over.set()
    assert not left


class Budgets:
    """Evictions that a budget forbids, and deletions."""

    def __init__(self, api: FakeApi) -> None:
        api.script("POST", "/eviction", self._refuse)

    async def _refuse(self, _request: web.Request) -> web.StreamResponse:
        cause = {
            "reason": "DisruptionBudget",
            "message": "The disruption budget guard needs 1 healthy pods and has 1 currently",
        }
        answer = {"kind": "Status", "status": "Failure", "code": 429, "reason": "TooManyRequests"}
        return web.json_response({**answer, "details": {"causes": [cause]}}, status=429)


def changing(kube: Kube, said: list[str], **more: Any) -> Drain:
    """Of a node that is drained for a change: its pods are never forced away."""
    clock = SystemClock()
    return Drain(
        kube=kube,
        clock=clock,
        node="w1",
        alive=lambda: True,
        deadline=None,
        told=said.append,
        timings=DrainTimings(again=0.01),
        cordons=False,
        **more,
    )


async def test_a_change_never_moves_pods_against_their_budgets(api: FakeApi, kube: Kube) -> None:
    """Not even where no other node could ever take them."""
    api.put(PATH, {"metadata": {"name": "w1"}, "spec": {}})
    put_pod(api, "web")
    Budgets(api)
    said: list[str] = []
    drain = changing(kube, said, lasts=0.2)
    await drain.run()
    assert not drain.emptied
    assert not drain.forced
    assert "/api/v1/namespaces/shop/pods/web" in api.objects
    assert api.objects[PATH]["spec"] == {}
    assert said[0] == (
        "1 pod is left; disruption budgets protect shop/web (the disruption budget guard needs 1 "
        "healthy pods and has 1 currently)"
    )


DNS = "/api/v1/namespaces/kube-system/pods/coredns"


@pytest.mark.parametrize("others", ["", "w2", "web"])
async def test_the_clusters_own_dns_leaves_the_last_node_last(
    api: FakeApi, kube: Kube, others: str
) -> None:
    """Of two of them the second was protected, on the only node, for ever."""
    api.put(PATH, {"metadata": {"name": "w1"}, "spec": {"unschedulable": True}})
    labels = {"k8s-app": "kube-dns"}
    meta = {"name": "coredns", "namespace": "kube-system", "uid": "u", "labels": labels}
    api.put(DNS, {"metadata": meta, "spec": {"nodeName": "w1"}})
    if others == "w2":
        api.put("/api/v1/nodes/w2", {"metadata": {"name": "w2"}, "spec": {}})
    elif others:
        put_pod(api, others)
    Budgets(api)
    drain = changing(kube, [], lasts=0.2)
    await drain.run()
    assert drain.emptied is (not others)
    assert (DNS in api.objects) is bool(others)


def put_pod(api: FakeApi, name: str, **more: Any) -> None:
    meta = {"name": name, "namespace": "shop", "uid": f"uid-{name}"}
    api.put(
        f"/api/v1/namespaces/shop/pods/{name}",
        {"metadata": meta, "spec": {"nodeName": "w1"}, **more},
    )


def drain_of(kube: Kube, *, later: timedelta, pods: int = 1000) -> Drain:
    return Drain(
        kube=kube,
        clock=FakeClock(NOW),
        node="w1",
        alive=lambda: True,
        deadline=NOW + later,
        told=lambda _: None,
        timings=DrainTimings(pods=pods),
    )
