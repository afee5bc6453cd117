"""Fixtures: a host on which jobs are done by the real scripts in real shells."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.operators.machine.remote.job_site import (
    Site,
    _connect,
)
from tests.unit.operators.machine.sshd import fake_host


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with fake_host(tmp_path / "kok") as host:
        connection = await _connect(host)
        yield Site(host, connection, tmp_path)
        connection.close()
