"""A business cluster that refuses what the operator writes there: its nodes go on serving."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import structlog
from aiohttp import web
from tests.unit.fakeapi import FakeApi, refusal
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.node.nodes_api import PATH
from tests.unit.operators.machine.views import MEMBER, NODE, machine_view, observed, seen

from kok.api.machine.machine import Machine
from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.operators.machine.machine import decide
from kok.operators.machine.machine.conditions.report import Outcome, report
from kok.operators.machine.machine_lists import MachineLists
from kok.operators.machine.node import labels_and_taints, nodes
from kok.operators.machine.node.certificates import JUDGED_AGAIN, Approver
from kok.operators.machine.node.nodes import NodeView
from kok.runtime.clock import FakeClock
from kok.runtime.conditions import Verdict
from kok.runtime.controller.reconciler import Pass
from kok.runtime.settings import Settings

WEBHOOK = 'failed calling webhook "check.example": connection refused'


@dataclass
class FakeConnection:
    """A business cluster as far as looking after a Node needs it."""

    kube: Kube
    nodes: dict[str, NodeView] = field(default_factory=dict)

    def saw(self, node: Manifest) -> NodeView:
        """Takes note of a Node as it is now."""
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
    p, connection = passing(machine), FakeConnection(kube)
    refused = await labels_and_taints.apply(p, connection, found)  # type: ignore[arg-type]
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
    done = await labels_and_taints.apply(p, connection, found)  # type: ignore[arg-type]
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
