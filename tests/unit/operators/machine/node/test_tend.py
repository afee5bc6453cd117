"""A business cluster that refuses what the operator writes there: its nodes go on serving."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
import structlog
from aiohttp import web
from tests.unit.fakeapi import FakeApi, refusal
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.views import MEMBER, NODE, machine_view, observed, seen

from kok.api.machine.machine import Machine
from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.kube.errors import Unreachable
from kok.operators.machine.machine import decide
from kok.operators.machine.machine.conditions.report import Outcome, report
from kok.operators.machine.machine_lists import MachineLists
from kok.operators.machine.node import labels_and_taints, nodes
from kok.operators.machine.node.certificates import JUDGED_AGAIN, Approver
from kok.operators.machine.node.drain import Drain, DrainTimings
from kok.operators.machine.node.nodes import NodeView
from kok.runtime.clock import FakeClock
from kok.runtime.conditions import Verdict
from kok.runtime.controller.reconciler import Pass
from kok.runtime.settings import Settings

PATH = "/api/v1/nodes/w1"
WEBHOOK = 'failed calling webhook "check.example": connection refused'


@dataclass
class Tenant:
    """A business cluster as far as looking after a Node needs it."""

    kube: Kube
    nodes: dict[str, NodeView] = field(default_factory=dict)

    def saw(self, node: Manifest) -> NodeView:
        """See `Tenant` of the operator."""
        found = self.nodes[node["metadata"]["name"]] = nodes.view(node)
        return found


def passing(machine: Machine) -> Pass[Machine]:
    return Pass(
        obj=machine,
        status=machine.status.model_copy(deep=True),
        kube=None,  # type: ignore[arg-type] # the meta cluster is not asked
        clock=FakeClock(NOW),
        now=NOW,
        log=structlog.stdlib.get_logger(),
        settings=Settings(),
    )


async def test_refused_labels_are_told_and_a_serving_node_goes_on_serving(
    api: FakeApi, kube: Kube
) -> None:
    """It was Ready=False InternalError."""
    open_: list[bool] = []

    async def webhook(_request: web.Request) -> web.StreamResponse | None:
        return None if open_ else refusal(500, "InternalError", WEBHOOK)

    api.script("PATCH", PATH, webhook)
    found = nodes.view(api.put(PATH, {"metadata": {"name": "w1"}, "spec": {}}))
    machine = builders.machine(labels={"tier": "gold"})
    p, tenant = passing(machine), Tenant(kube)
    refused = await labels_and_taints.apply(p, tenant, found)  # type: ignore[arg-type]
    assert refused.after == labels_and_taints.REFUSED_AGAIN
    assert ready_then(machine, p, {"NodeMarked": refused.refused})["Ready"] == "True"
    told = p.status.condition("NodeMarked")
    assert told
    assert (told.status, told.reason) == ("False", "MarksRefused")
    assert told.message == (
        f"the API of Cluster shop refuses labels and taints of Node w1: {WEBHOOK}; correct "
        "spec.labels and spec.taints, or what refuses them there"
    )
    # A new Node does not count without them, and says why.
    p.status.drop_conditions(["NodeReady"])
    assert ready_then(machine, p)["NodeReady"] == "False"
    assert p.status.condition("NodeReady").message.startswith(
        "Node w1 is Ready, but the API of Cluster shop refuses labels and taints"
    )
    open_.append(True)
    done = await labels_and_taints.apply(p, tenant, found)  # type: ignore[arg-type]
    assert (done.after, done.done) == (0.0, True)
    ready_then(machine, p, {"NodeMarked": None})
    assert p.status.condition("NodeMarked") is None


def ready_then(
    machine: Machine, p: Pass[Machine], of_node: dict[str, Verdict | None] | None = None
) -> dict[str, Any]:
    """The conditions that a pass sets which has found that out."""
    if p.status.condition("Ready") is None:
        p.set_condition("NodeReady", True, "NodeReady")
    given = replace(
        machine_view(machine, memory=seen(machine, identity=MEMBER), objects=observed(node=NODE)),
        status=p.status.model_copy(deep=True),
    )
    report(p.status, given, decide.decide(given), Outcome(of_node or {}))
    return {c.type: c.status for c in p.status.conditions}


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
    assert await asyncio.wait_for(said.get(), 30) == (
        "the API refuses to evict shop/web: not today"
    )
    draining.cancel()
    await asyncio.gather(draining, return_exceptions=True)


def test_what_was_refused_is_not_judged_again_at_once() -> None:
    now = 100.0
    approver = Approver(MachineLists(lambda: now), lambda: now)
    assert approver.left("a", 1) == 0
    approver.refuse("a", 1)
    now = 101.0
    assert approver.left("a", 1) == JUDGED_AGAIN - 1
    assert approver.left("b", 1) == 0, "another Machine"
    assert approver.left("a", 2) == 0, "it asks for something else"
    now = 100.0 + JUDGED_AGAIN
    assert approver.left("a", 1) == 0
    approver.forget("a")
    assert not approver._refused


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
