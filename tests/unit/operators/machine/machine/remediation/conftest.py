"""Fixtures: a host on which jobs are done by the real scripts in real shells."""

from __future__ import annotations

from tests.unit.operators.machine.remote.conftest import site

__all__ = ["site"]
