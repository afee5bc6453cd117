"""Fixtures: a host that was a node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.operators.machine.host.former_node import OWNER, Site
from tests.unit.operators.machine.sshd import fake_host

from kok.operators.machine.remote.ssh import Credentials, Expected, Target, Timeouts
from kok.operators.machine.remote.ssh.login import connect


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with fake_host(tmp_path / "kok") as host:
        target = Target(
            address="127.0.0.1",
            port=host.port,
            user="root",
            secret="a/b",
            credentials=Credentials(key=host.client),
            expected=Expected(host.fingerprint),
        )
        connection = await connect(target, Timeouts())
        made = Site(host, connection, tmp_path / "root")
        host.home.mkdir()
        (host.home / "owner").write_text(f"{OWNER.text()}\n")
        for name in ("systemctl", "umount", "pgrep"):
            made.program(name)
        made.file("/proc/mounts", "")
        yield made
        connection.close()
