"""Hosts behind a bastion: how they are reached, and what people are told when they are not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.operators.machine.remote.ssh.connecting import LIMIT, PATIENT, target
from tests.unit.operators.machine.sshd import FakeHost, cut, fake_host

from kok.operators.machine.remote.ssh import (
    Connection,
    Connections,
    Credentials,
    Expected,
    HostError,
    HostKeyChanged,
    HostUnreachable,
    LoginRefused,
    Target,
    bastion,
)
from kok.operators.machine.remote.ssh.address_ranges import ANYWHERE, Bounds
from kok.operators.machine.remote.ssh.errors import HostForbidden
from kok.operators.machine.remote.ssh.inbound import BEFORE_LOGIN, Line


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[FakeHost]:
    """A bastion."""
    async with fake_host(tmp_path / "gate") as one:
        one.passes_on = True
        yield one


@pytest.fixture
async def hosts(tmp_path: Path) -> AsyncIterator[list[FakeHost]]:
    """Three hosts: logins of strangers at one of them would take turns."""
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(fake_host(tmp_path / f"kok-{n}")) for n in range(3)]


def behind(host: FakeHost, gate: FakeHost, **changes: object) -> Target:
    jump = target(
        gate, user="jump", secret="team-a/gate", expected=Expected(gate.fingerprint, "jump")
    )
    return target(host, jump=replace(jump, **changes))  # type: ignore[arg-type] # as there


def pool(bounds: Bounds = ANYWHERE) -> Connections:
    return Connections(PATIENT, asyncio.get_running_loop().time, bounds)


async def test_a_host_is_seen_and_worked_on_behind_its_bastion(
    host: FakeHost, gate: FakeHost
) -> None:
    connections, where = pool(), behind(host, gate)
    assert await connections.scan("127.0.0.1", host.port, where.jump) == host.fingerprint
    connection = await connections.get("m", where)
    assert await connection.run("head -c 500000 /dev/zero", deadline=LIMIT) == "\0" * 500_000
    assert connection.reached == "127.0.0.1", "by which its certificates are judged"
    assert gate.scripts == 0, "a bastion only passes on"
    connections.close()


async def test_hosts_share_the_logins_at_their_bastion(
    hosts: list[FakeHost], gate: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bastion, "HOSTS", 2)
    connections = pool()
    asked = [connections.get(f"m{n}", behind(host, gate)) for n, host in enumerate(hosts)]
    made = await asyncio.gather(*asked)
    answers = await asyncio.gather(*(one.run("echo in", deadline=LIMIT) for one in made))
    assert answers == ["in\n"] * 3
    assert (gate.connections, [host.connections for host in hosts]) == (2, [1, 1, 1])
    # Connections that carry none are closed after a while.
    monkeypatch.setattr(bastion, "IDLE", 0.0)
    for n in range(3):
        connections.drop(f"m{n}")
    async with asyncio.timeout(LIMIT):
        await gate.idle.wait()
    connections.close()


async def test_another_bastion_than_the_one_that_is_meant_gets_no_login(
    host: FakeHost, gate: FakeHost
) -> None:
    other = "SHA256:" + "A" * 43
    connections = pool()
    with pytest.raises(HostKeyChanged) as changed:
        await connections.get("m", behind(host, gate, expected=Expected(other, "jump")))
    assert changed.value.message == (
        f"bastion 127.0.0.1 port {gate.port} shows key {gate.fingerprint} but {other} is written in "
        "the spec; if the bastion was reinstalled, correct ssh.jump.hostKey"
    )
    assert (gate.logins, host.logins) == ([], [])
    connections.close()


async def test_what_keeps_a_host_from_being_reached_is_told_apart(
    host: FakeHost, gate: FakeHost
) -> None:
    connections = pool()
    with pytest.raises(
        LoginRefused, match="refuses user jump with the password of Secret team-a/g"
    ):
        await connections.get("a", behind(host, gate, credentials=Credentials(password="no")))
    connections = pool()
    with pytest.raises(
        HostUnreachable, match=r"bastion 127.0.0.1 cannot reach host 127.0.0.1 port 1"
    ):
        await connections.get("b", replace(behind(host, gate), port=1))
    gate.passes_on = False
    with pytest.raises(HostUnreachable, match="allow it by AllowTcpForwarding"):
        await connections.get("c", behind(host, gate))
    connections.close()


async def test_a_bastion_that_is_cut_off_takes_its_hosts_along_and_one_login_brings_them_back(
    hosts: list[FakeHost], gate: FakeHost
) -> None:
    connections = pool()
    told: list[HostError] = []
    all_told = asyncio.Event()

    def lost(error: HostError) -> None:
        told.append(error)
        if len(told) == len(hosts):
            all_told.set()

    async def all_in() -> list[Connection]:
        keys = [(f"m{n}", behind(host, gate)) for n, host in enumerate(hosts)]
        return await asyncio.gather(*(connections.get(key, to, lost) for key, to in keys))

    await all_in()
    once = len(gate.logins)
    await cut(gate)
    async with asyncio.timeout(LIMIT):
        await all_told.wait()
    made = await all_in()
    assert await made[2].run("echo back", deadline=LIMIT) == "back\n"
    assert len(gate.logins) == 2 * once
    connections.close()


async def test_a_host_must_be_at_an_allowed_address_behind_its_bastion_as_well(
    host: FakeHost, gate: FakeHost
) -> None:
    connections, where = pool(Bounds(closed=["10.0.0.0/8"])), behind(host, gate)
    with pytest.raises(HostForbidden, match=r"host 10.0.0.5 is where the administrator"):
        await connections.get("m", replace(where, address="10.0.0.5"))
    closed = pool(Bounds(closed=["127.0.0.0/8"]))
    with pytest.raises(HostForbidden, match="allows no hosts"):
        await closed.get("m", where)
    assert (gate.logins, host.logins) == ([], [])
    connections.close()


def test_the_connection_of_a_bastion_takes_what_its_hosts_send_and_no_more() -> None:
    with socket.socket() as sock:
        line = Line(sock, cost=lambda: 0.0)
        line.opened()
        for _ in range(10):
            line.carry(+1)
        line.take(10 * BEFORE_LOGIN, lambda: None)
        assert not line.flooded
        for _ in range(10):
            line.carry(-1)
        line.take(10 * BEFORE_LOGIN, lambda: None)
        assert line.flooded
