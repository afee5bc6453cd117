"""The step to which a decision comes."""

from __future__ import annotations

from typing import Any

from tests.unit.operators.machine.views import (
    machine_view,
)

from kok.operators.machine.machine import decide


def step(*args: Any, **kwargs: Any) -> Any:
    return decide.decide(machine_view(*args, **kwargs)).step
