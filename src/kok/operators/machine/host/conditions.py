"""Condition and phase of a Host: their one author."""

from __future__ import annotations

from kok.api.machine.host import Host
from kok.api.machine.machine import Machine
from kok.operators.machine import reasons
from kok.runtime.controller.reconciler import Pass


def report(p: Pass[Host], machine: Machine | None, dirty: str) -> None:
    """Sets `Ready` and the phase. `machine` uses the host; `dirty` says why it is not clean."""
    if machine is not None:
        p.status.phase = "Claimed"
        p.set_condition("Ready", True, reasons.CLAIMED, f"used by Machine {machine.name}")
    elif dirty:
        p.status.phase = "Dirty"
        p.set_condition("Ready", False, reasons.HOST_NOT_CLEAN, dirty)
    else:
        p.status.phase = "Free"
        p.set_condition("Ready", True, reasons.FREE, "no Machine uses it")
