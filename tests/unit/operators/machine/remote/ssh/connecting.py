"""Connections to hosts, for tests."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.operators.machine.sshd import FakeHost

from kok.operators.machine.remote.ssh import (
    Credentials,
    Expected,
    Target,
    Timeouts,
)
from kok.operators.machine.remote.ssh.connection import Connection
from kok.operators.machine.remote.ssh.login import connect

LIMIT = 60.0
"""Seconds after which what a test waits for counts as not happening."""


PATIENT = Timeouts(connect=LIMIT, login=LIMIT, alive=LIMIT, keepalive=LIMIT)


QUICK = replace(PATIENT, alive=0.5, keepalive=1.0)
"""Loses patience with a host that falls silent."""


def target(host: FakeHost, **changes: object) -> Target:
    base = Target(
        address="127.0.0.1",
        port=host.port,
        user="root",
        secret="team-a/ops-ssh",
        credentials=Credentials(key=host.client),
        expected=Expected(host.fingerprint, "status"),
    )
    return replace(base, **changes)  # type: ignore[arg-type] # a test may change any field


async def connected(host: FakeHost, **changes: object) -> Connection:
    return await connect(target(host, **changes), PATIENT)
