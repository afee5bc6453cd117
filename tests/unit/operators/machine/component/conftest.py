"""Fixtures: a host with a GPU."""

from __future__ import annotations

from tests.unit.operators.machine.component.gpu_host import host

__all__ = ["host"]
