"""A node that cannot be drained shows where alerts look, and only as long as it is so."""

from __future__ import annotations

import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

from prometheus_client import REGISTRY
from tests.unit.operators.machine.machine.operations.update.test_update import CORDONED, SINCE, view

from kok.operators.machine.machine import decide, record
from kok.operators.machine.machine.conditions.report import Outcome
from kok.operators.machine.machine.reconcile import MachineReconciler
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.machine_lists import MachineLists
from kok.operators.machine.settings import MachineSettings
from kok.runtime.sandbox.pool import SandboxPool

BLOCKED = {
    "step": "Draining",
    "draining": "1 pod is left; disruption budgets protect a/x",
    "now": SINCE + timedelta(minutes=5),
}


def told(reconciler: MachineReconciler, given: MachineView) -> float | None:
    """What a pass that saw this leaves in the metrics."""
    decision = decide.decide(given)
    record.facts(given.status, given, decision)
    p = cast("Any", SimpleNamespace(obj=given.machine, status=given.status, now=given.now))
    reconciler.conditions(p, given, decision, Outcome(), None)
    return value()


def value() -> float | None:
    labels = {"namespace": "team-a", "name": "shop-workers-w1"}
    return REGISTRY.get_sample_value("kok_machine_drain_blocked", labels)


async def test_a_node_that_cannot_be_drained_is_counted_until_it_can_or_its_machine_goes() -> None:
    reconciler = MachineReconciler(MachineSettings(), SandboxPool(), MachineLists(time.monotonic))
    in_time = {**BLOCKED, "now": SINCE + timedelta(minutes=4)}
    assert told(reconciler, view(CORDONED, **in_time)) is None
    assert told(reconciler, view(CORDONED, **BLOCKED)) == 1
    assert told(reconciler, view(CORDONED, step="Changing")) is None
    assert told(reconciler, view(CORDONED, **BLOCKED)) == 1
    reconciler.forget(("team-a", "shop-workers-w1"), "uid")
    assert value() is None
    await reconciler.close()
