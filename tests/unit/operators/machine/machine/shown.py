"""What is decided for a Machine, and what its status then says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.unit.operators.machine.views import (
    machine_view,
)

from kok.api.machine.machine import MachineStatus
from kok.operators.machine.machine import decide, record
from kok.operators.machine.machine.conditions.report import report
from kok.operators.machine.machine.view import MachineView


def step(*args: Any, **kwargs: Any) -> Any:
    return decide.decide(machine_view(*args, **kwargs)).step


def shown(given: MachineView) -> tuple[MachineStatus, Mapping[str, tuple[str, str]]]:
    decision = decide.decide(given)
    record.facts(given.status, given, decision)
    report(given.status, given, decision)
    return given.status, {c.type: (c.status, c.reason) for c in given.status.conditions}


def message(status: MachineStatus, kind: str = "Ready") -> str:
    condition = status.condition(kind)
    assert condition
    return condition.message
