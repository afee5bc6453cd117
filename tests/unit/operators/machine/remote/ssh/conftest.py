"""Fixtures: connections to hosts, for tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.operators.machine.sshd import FakeHost, fake_host


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[FakeHost]:
    async with fake_host(tmp_path / "kok") as running:
        yield running
