"""Hosts that talk without end, do not talk at all, or choose what work they make."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest
from tests.unit.operators.machine.remote.ssh.connecting import (
    LIMIT,
    PATIENT,
    QUICK,
    connected,
    target,
)
from tests.unit.operators.machine.sshd import FakeHost, fake_host

from kok.kube.budget.cpu_shares import NAMESPACE
from kok.operators.machine.remote.ssh import (
    Connections,
    Credentials,
    Expected,
    HostError,
    HostFloods,
    HostSilent,
    HostUnreachable,
    Target,
    Timeouts,
)
from kok.operators.machine.remote.ssh.inbound import (
    ANSWER,
    BEFORE_LOGIN,
    EFFORT,
    EFFORT_RATE,
    SLICE,
    UNASKED,
    Line,
)
from kok.operators.machine.remote.ssh.login import connect, scan
from kok.runtime.clock import settle


@pytest.mark.parametrize("where", ["1", "2"], ids=["output", "errors"])
@pytest.mark.parametrize("what", ["yes", "tr '\\0' x </dev/zero"], ids=["lines", "one line"])
async def test_a_host_that_never_stops_talking_is_cut_off(
    host: FakeHost, where: str, what: str
) -> None:
    connection = await connected(host)
    with pytest.raises(HostFloods, match="answers with more than 1 MiB") as flood:
        await connection.run(f"{what} >&{where}", deadline=LIMIT)
    assert flood.value.reason == "AnswerTooLarge"
    assert connection.closed


NOTHING = struct.pack(">IBBI", 12, 6, 2, 0) + bytes(6)
"""SSH_MSG_IGNORE of nothing: the smallest packet that there is."""


@asynccontextmanager
async def listener(first: bytes, then: bytes) -> AsyncIterator[int]:
    """The port of one that says something and then something else for ever."""

    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            writer.write(first)
            while True:
                writer.write(then)
                await writer.drain()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("first", "then"),
    [
        pytest.param(b"SSH-2.0-x\r\n", NOTHING * 65536, id="packets"),
        pytest.param(b"", b"no version\r\n" * 512, id="lines"),
    ],
)
async def test_who_talks_for_ever_before_any_login_is_cut_off_and_stops_nobody(
    first: bytes, then: bytes
) -> None:
    rollout = 0

    async def others() -> None:
        nonlocal rollout
        while True:
            rollout += 1
            await asyncio.sleep(0)

    async with listener(first, then) as port:
        busy = asyncio.create_task(others())
        with pytest.raises((HostFloods, HostUnreachable)):
            await scan("127.0.0.1", port, PATIENT)
        busy.cancel()
        # What is read in one go grows with what comes; here others had their turn in between.
        assert rollout >= 1024 * len(b"no version\r\n") // SLICE
        if first:
            where = Target(
                "127.0.0.1", port, "root", "a/b", Credentials(password="x"), Expected("SHA256:x")
            )
            with pytest.raises(HostFloods, match="more than 64 KiB before anybody is logged in"):
                await connect(where, PATIENT)


async def test_a_host_that_talks_without_being_asked_is_cut_off_and_told(host: FakeHost) -> None:
    class Talking(asyncssh.SSHServer):
        def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
            self.conn = conn

        def begin_auth(self, username: str) -> bool:
            return False

        def auth_completed(self) -> None:
            self.task = asyncio.create_task(self.talk())

        async def talk(self) -> None:
            while not self.conn.is_closed():
                for _ in range(100):
                    self.conn.send_debug("")
                await asyncio.sleep(0)

    server = await asyncssh.create_server(
        Talking, "127.0.0.1", 0, server_host_keys=[host.key], gss_host=None
    )
    async with server:
        ended: asyncio.Future[HostError] = asyncio.get_running_loop().create_future()
        pool = Connections(PATIENT, asyncio.get_running_loop().time)
        port = server.sockets[0].getsockname()[1]
        await pool.get("m", target(host, port=port), ended.set_result)
        async with asyncio.timeout(LIMIT):
            error = await ended
        assert isinstance(error, HostFloods)
        assert "sends without being asked" in error.message


@pytest.mark.parametrize(
    "way", ["diffie-hellman-group-exchange-sha256", "diffie-hellman-group18-sha512"]
)
async def test_no_key_is_exchanged_in_a_way_whose_work_a_host_chooses(way: str) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    server = await asyncssh.create_server(
        asyncssh.SSHServer, "127.0.0.1", 0, server_host_keys=[key], kex_algs=[way]
    )
    async with server:
        with pytest.raises(HostUnreachable, match="No matching key exchange algorithm"):
            await scan("127.0.0.1", server.sockets[0].getsockname()[1], PATIENT)


def test_an_answer_may_be_long_only_while_it_is_asked_for() -> None:
    with socket.socket() as sock:
        line = Line(sock, cost=lambda: 0.0)
        line.opened()
        with line.asked():
            line.take(ANSWER, lambda: None)
            assert not line.flooded
        line.take(ANSWER, lambda: None)
        assert line.flooded


def test_whose_packets_cost_much_has_to_rest() -> None:
    spent = 0.0

    def work() -> None:
        nonlocal spent
        spent += EFFORT / 2

    with socket.socket() as sock:
        line = Line(sock, cost=lambda: spent)
        rests = [line.take(1, work) for _ in range(3)]
        assert rests[0] == 0.0
        # What it took beyond is a small part of the time until the next.
        assert rests[2] > EFFORT / 2
        assert rests[2] * EFFORT_RATE <= EFFORT
    assert max(BEFORE_LOGIN, UNASKED) < ANSWER


async def test_a_frozen_host_ends_a_wait_by_its_missing_signs_of_life(host: FakeHost) -> None:
    connection = await connect(target(host), QUICK)
    running = asyncio.create_task(connection.run("sleep 600", deadline=10 * LIMIT))
    await asyncio.sleep(0)
    host.flowing.clear()
    with pytest.raises(HostSilent):
        async with asyncio.timeout(LIMIT):
            await running


async def test_a_host_that_accepts_but_never_speaks_is_given_up(host: FakeHost) -> None:
    host.flowing.clear()
    with pytest.raises(HostSilent, match="does not answer over SSH"):
        await connect(target(host), replace(PATIENT, login=0.5))


async def test_frozen_hosts_of_one_namespace_delay_no_other(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with fake_host(tmp_path / "a") as frozen, fake_host(tmp_path / "b") as lively:
        frozen.flowing.clear()
        pool = Connections(Timeouts(connect=10 * LIMIT, login=10 * LIMIT), loop.time)

        async def connect_to_frozen(number: int) -> None:
            NAMESPACE.set("loud")
            await pool.get(f"m{number}", target(frozen))

        stuck = [asyncio.create_task(connect_to_frozen(n)) for n in range(100)]
        await settle()
        async with asyncio.timeout(LIMIT):
            connection = await pool.get("other", target(lively))
        assert await connection.run("echo quick", deadline=LIMIT) == "quick\n"
        for task in stuck:
            task.cancel()
        await asyncio.gather(*stuck, return_exceptions=True)
        pool.close()
