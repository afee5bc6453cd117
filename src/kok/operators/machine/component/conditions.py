"""The condition of a Component: its one author."""

from __future__ import annotations

from kok.api.machine.component import Component
from kok.operators.machine import reasons
from kok.runtime.controller.reconciler import Pass


def report(p: Pass[Component]) -> None:
    """It can be used. What is wrong with others is told by what their passes ended with."""
    p.set_condition("Ready", True, reasons.VALID, "templates and parameters can be used")
