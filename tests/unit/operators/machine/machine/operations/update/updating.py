"""Machines that are changed in a way for which their node is drained."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.machine.operations.removals import JOINED
from tests.unit.operators.machine.views import (
    BOOTSTRAPPED,
    MEMBER,
    NODE,
    machine_view,
    observed,
    seen,
)

from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.remote.survey import Found

OURS = "team-a/shop-workers-w1"
OLD = replace(NODE, kubelet="1.36.4")
SINCE = NOW - timedelta(minutes=1)
CHANGE = {"job": "j", "before": "", "after": ""}


def view(node: Any = OLD, *, step: str = "", lacks: bool = True, **changes: Any) -> MachineView:
    """A Machine that serves with the kubelet of an earlier minor, which is still on its host."""
    memory = seen(identity=MEMBER)
    assert memory.survey
    if lacks:
        found = {**memory.survey.found, "kubelet": Found("1.36.4", {}, "old", begun=True)}
        memory.survey = replace(memory.survey, found=found)
    for name in ("emptied", "draining", "error"):
        if name in changes:
            setattr(memory, name, changes.pop(name))
    status: dict[str, Any] = {
        "conditions": [JOINED],
        "firstReady": "2026-11-02T11:00:00Z",
        "kubelet": "1.36.4",
        **changes.pop("status", {}),
    }
    if step:
        status["operation"] = {"type": "Update", "step": step, "since": SINCE, "reason": "why"}
    cluster = builders.cluster(status={"conditions": [BOOTSTRAPPED], **changes.pop("cluster", {})})
    around = observed(node=node, cluster=cluster, **changes.pop("objects", {}))
    return machine_view(memory=memory, objects=around, status=status, **changes)


CORDONED = replace(OLD, unschedulable=True, closed="8", cordoned_by=OURS)
PEOPLES = replace(OLD, unschedulable=True)


def done(how: str) -> tuple[str, str]:
    """The drain of that operation came to its end."""
    return f"{SINCE.isoformat()} {NODE.uid} {CORDONED.closed}", how
