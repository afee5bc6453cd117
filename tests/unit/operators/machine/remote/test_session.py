"""The pauses between what is done on a host, also if the host says that all went well."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncssh
import pytest

from kok.operators.machine.remote import commands, jobs
from kok.operators.machine.remote.session import BURST, EVERY, Backoff, Session
from kok.operators.machine.remote.ssh import (
    Connection,
    Credentials,
    Expected,
    HostFloods,
    HostSilent,
    ScriptFailed,
    Target,
    Timeouts,
)
from kok.operators.machine.remote.ssh.login import connect
from kok.operators.machine.remote.survey import Owner
from kok.runtime.clock import FakeClock, settle

LIMIT = 60.0
OWNER = Owner("uid-1", "a/b", "a/c", "i")
JOB = jobs.removal_job(OWNER.uid, 1)


@asynccontextmanager
async def liar(answer: Callable[[], str]) -> AsyncIterator[tuple[Connection, list[str]]]:
    """A connection to a host that runs nothing and says that it did; what it was given."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    given: list[str] = []

    async def pretend(process: asyncssh.SSHServerProcess[str]) -> None:
        text = await process.stdin.read()
        given.append(text)
        marker = re.search(r"@@kok-[0-9a-f]+", text)
        assert marker is not None
        process.stdout.write(f"{marker.group()}\n{answer()}")
        process.exit(0)

    class Open(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return False

    server = await asyncssh.create_server(
        Open, "127.0.0.1", 0, server_host_keys=[key], process_factory=pretend
    )
    async with server:
        where = Target(
            "127.0.0.1",
            server.sockets[0].getsockname()[1],
            "root",
            "a/b",
            Credentials(password="x"),
            Expected(key.get_fingerprint("sha256")),
        )
        connection = await connect(where, Timeouts(LIMIT, LIMIT, LIMIT, LIMIT))
        yield connection, given
        connection.close()


async def until(clock: FakeClock, task: asyncio.Task[None], waits: int) -> list[float]:
    """Lets the work go on over so many pauses, or to its end; how long they were."""
    pauses: list[float] = []
    while not task.done() and len(pauses) < waits:
        if clock.next_alarm is None:
            await asyncio.sleep(0.001)
            continue
        pauses.append(clock.next_alarm)
        await clock.advance(clock.next_alarm)
    return pauses


async def test_a_host_that_tells_of_no_job_is_given_up() -> None:
    clock = FakeClock()
    async with liar(lambda: "") as (connection, given):
        task = asyncio.create_task(commands.work(connection, [JOB], OWNER, lambda _: None, clock))
        async with asyncio.timeout(LIMIT):
            await until(clock, task, 100)
        with pytest.raises(ScriptFailed, match="without a word about any of them"):
            await task
        assert len(given) == 3


async def test_a_host_that_does_not_wait_for_its_jobs_is_asked_ever_more_rarely() -> None:
    clock = FakeClock()
    told: list[jobs.JobResult] = []
    # More than once, too: that is no news.
    async with liar(lambda: f"running {JOB.id} \n" * 1000) as (connection, given):
        task = asyncio.create_task(commands.work(connection, [JOB], OWNER, told.append, clock))
        async with asyncio.timeout(LIMIT):
            pauses = await until(clock, task, 1000)
        with pytest.raises(ScriptFailed, match="although their time is over"):
            await task
    assert pauses[:6] == [2.0, 4.0, 8.0, 16.0, 32.0, jobs.PATIENCE]
    assert set(pauses[6:]) == {jobs.PATIENCE}
    assert sum(pauses) < 3 * JOB.timeout
    assert len(told) == len(given)


async def nothing() -> None:
    """An operation that goes through."""


async def began(session: Session, work: Callable[[], Awaitable[None]] = nothing) -> None:
    session.start("any", work(), lambda: None)  # type: ignore[arg-type] # coroutines all
    await settle()
    assert not session.doing


async def test_operations_that_go_through_one_after_the_other_come_to_a_pause() -> None:
    clock = FakeClock()
    session = Session(clock.monotonic)
    for _ in range(BURST):
        assert session.wait() == 0.0
        await began(session)
    await began(session)
    assert session.wait() == pytest.approx(EVERY)
    await clock.advance(BURST * EVERY)
    for _ in range(BURST):
        assert session.wait() == 0.0
        await began(session)


async def test_a_connection_that_is_lost_again_and_again_is_made_ever_more_rarely() -> None:
    clock = FakeClock()
    session = Session(clock.monotonic, Backoff(first=2.0, longest=60.0))
    gone = HostSilent("the connection was closed")
    waits = []
    for _ in range(8):
        session.memory.lost(gone, clock.monotonic())
        # A look that goes through in between does not count.
        await began(session)
        waits.append(session.wait())
        await clock.advance(waits[-1])
    assert waits[0] == 0.0
    assert waits[1:] == sorted(waits[1:])
    assert waits[1] > 0.0
    assert waits[-1] == 60.0
    await clock.advance(3600.0)
    session.memory.lost(gone, clock.monotonic())
    assert session.wait() == 0.0


async def test_a_host_that_floods_unasked_is_told_and_left_alone_for_a_moment() -> None:
    clock = FakeClock()
    session = Session(clock.monotonic)
    session.memory.lost(HostFloods("host w1 sends without being asked"), clock.monotonic())
    assert session.memory.error is not None
    assert session.memory.error.reason == "AnswerTooLarge"
    assert session.wait() > 0.0


async def test_nothing_waits_for_what_is_fetched_beforehand_and_it_gives_way() -> None:
    """A slow mirror kept a host from being changed, and its services from being started again."""
    session, ended = Session(lambda: 0.0), list[str]()

    async def lasts(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    session.start("fetch", lasts("fetch"), lambda: None, beside=True)
    await settle()
    assert session.doing == ""
    session.start("install", lasts("install"), lambda: None)
    await settle()
    assert (session.doing, ended) == ("install", ["fetch"])
    session.cancel()
    await settle()
