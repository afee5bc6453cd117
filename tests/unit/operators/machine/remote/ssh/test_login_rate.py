"""However many Machines name a host that does not let them in, few logins in a minute fail there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import asyncssh
import pytest
from tests.unit.operators.machine.sshd import FakeHost, fake_host

from kok.kube.budget.cpu_shares import NAMESPACE
from kok.operators.machine.remote.session import Session
from kok.operators.machine.remote.ssh import (
    Connections,
    Credentials,
    Expected,
    HostError,
    HostHeld,
    HostKeyChanged,
    LoginRefused,
    Target,
    Timeouts,
)
from kok.operators.machine.remote.ssh.login_rate import (
    FORGET,
    LONGEST,
    PAUSE,
    PLACES,
    Pacing,
    place_of,
)
from kok.runtime.clock import FakeClock, settle

LIMIT = 60.0
SPELLINGS = ("127.0.0.1", "2130706433", "0x7f000001", "127.1", "0177.0.0.1", "localhost")
HERE, ELSEWHERE = ("192.0.2.1", 22), ("192.0.2.2", 22)


class Hosts:
    """Logins by a real pool at a real host, at times that the test decides on."""

    def __init__(self, host: FakeHost) -> None:
        self.host = host
        self.now = 1000.0
        patient = Timeouts(connect=LIMIT, login=LIMIT, alive=LIMIT, keepalive=LIMIT)
        self.pool = Connections(patient, lambda: self.now)
        self.stranger = Credentials(asyncssh.generate_private_key("ssh-ed25519"), None, "stranger")

    def target(self, namespace: str, address: str = "127.0.0.1", *, own: bool = False) -> Target:
        return Target(
            address,
            self.host.port,
            "root",
            f"{namespace}/ssh",
            Credentials(self.host.client, None, "owner") if own else self.stranger,
            Expected(self.host.fingerprint, "status"),
        )

    async def tried(self, uid: str, target: Target) -> HostError | None:
        try:
            await self.pool.get(uid, target)
        except HostError as error:
            return error
        return None


@pytest.fixture
async def hosts(tmp_path: Path) -> AsyncIterator[Hosts]:
    async with fake_host(tmp_path / "kok") as host:
        made = Hosts(host)
        yield made
        made.pool.close()


def wait_of(error: HostError | None) -> float:
    assert isinstance(error, HostHeld)
    return error.after


@pytest.mark.parametrize("namespaces", [1, 3])
async def test_few_logins_fail_at_one_host_whatever_it_is_called(
    hosts: Hosts, namespaces: int
) -> None:
    """As long as they like, and all of them each time that they may."""
    failed: list[float] = []
    begun = hosts.now
    while hosts.now < begun + 600:
        before, waits = len(hosts.host.logins), [LONGEST]
        for space in range(namespaces):
            for name in SPELLINGS:
                error = await hosts.tried(f"{space} {name}", hosts.target(f"team-{space}", name))
                waits += [error.after] if isinstance(error, HostHeld) else []
        failed += [hosts.now] * (len(hosts.host.logins) - before)
        hosts.now += min(waits)
    assert all(later - one >= PAUSE for one, later in pairwise(failed))
    settled = [at for at in failed if at >= begun + 300]
    assert 0 < len(settled) <= namespaces * (300 / LONGEST)


async def test_who_was_let_in_is_held_up_by_nobody(hosts: Hosts) -> None:
    owner = hosts.target("team-b", own=True)
    assert await hosts.tried("owner", owner) is None
    for _ in range(5):
        assert isinstance(await hosts.tried("x", hosts.target("team-a")), LoginRefused)
        held = await hosts.tried("y", hosts.target("team-a", "localhost"))
        (await hosts.pool.get("owner", owner)).close()
        assert await hosts.tried("owner", owner) is None
        still = await hosts.tried("y", hosts.target("team-a", "localhost"))
        assert wait_of(still) == wait_of(held), "nor does it let anybody in earlier"
        hosts.now += wait_of(held)


async def test_who_comes_for_the_first_time_waits_for_its_turn_only(hosts: Hosts) -> None:
    """Even after an operator has forgotten whom a host lets in."""
    for name in SPELLINGS * 4:
        await hosts.tried(f"x {name}", hosts.target("team-a", name))
        hosts.now += PAUSE * 2
    owner = hosts.target("team-b", own=True)
    hosts.now += LONGEST
    assert isinstance(await hosts.tried("x", hosts.target("team-a")), LoginRefused)
    held = await hosts.tried("owner", owner)
    assert 0 < wait_of(held) <= PAUSE
    assert "nothing to do" in str(held)
    assert "team-a" not in str(held)
    hosts.now += wait_of(held)
    for name in SPELLINGS:
        await hosts.tried(f"x {name}", hosts.target("team-a", name))
    assert await hosts.tried("owner", owner) is None


async def test_who_is_refused_after_all_counts_as_a_stranger_again(hosts: Hosts) -> None:
    owner = hosts.target("team-b", own=True)
    (await hosts.pool.get("owner", owner)).close()
    hosts.host.client = asyncssh.generate_private_key("ssh-ed25519")
    assert isinstance(await hosts.tried("owner", owner), LoginRefused)
    assert wait_of(await hosts.tried("owner", owner)) == PAUSE


async def test_other_credentials_were_not_let_in(hosts: Hosts) -> None:
    """That a Machine was let in once gives it nothing with another Secret."""
    (await hosts.pool.get("one", hosts.target("team-a", own=True))).close()
    stranger = hosts.target("team-a")
    assert isinstance(await hosts.tried("one", stranger), LoginRefused)
    assert wait_of(await hosts.tried("one", stranger)) == PAUSE


async def test_another_host_at_the_same_address_let_nobody_in(hosts: Hosts) -> None:
    """An address that is given to somebody else's host: who was let in before is a stranger there."""
    mine = hosts.target("team-a", own=True)
    (await hosts.pool.get("one", mine)).close()
    other = replace(mine, expected=Expected("SHA256:" + "x" * 43))
    assert isinstance(await hosts.tried("one", other), HostKeyChanged)
    assert wait_of(await hosts.tried("one", other)) == PAUSE


async def test_a_host_that_is_not_up_yet_costs_nobody_a_turn(hosts: Hosts) -> None:
    closed = replace(hosts.target("team-a", own=True), port=1)
    for _ in range(5):
        assert not isinstance(await hosts.tried("one", closed), HostHeld)


async def test_looks_at_keys_take_turns_and_hold_up_no_login(hosts: Hosts) -> None:
    NAMESPACE.set("team-a")
    port = hosts.host.port
    assert await hosts.pool.scan("127.0.0.1", port) == hosts.host.fingerprint
    with pytest.raises(HostHeld):
        await hosts.pool.scan("localhost", port)
    assert await hosts.tried("one", hosts.target("team-a", own=True)) is None
    assert await hosts.pool.scan("127.1", port) == hosts.host.fingerprint


async def test_a_key_that_does_not_match_takes_a_turn_as_well(hosts: Hosts) -> None:
    """The host counts whoever goes away without a login."""
    wrong = replace(hosts.target("team-a", own=True), expected=Expected("SHA256:x", "spec"))
    await hosts.tried("one", wrong)
    assert wait_of(await hosts.tried("two", wrong)) == PAUSE


async def test_a_session_tells_what_was_wrong_while_it_waits() -> None:
    clock = FakeClock()
    session = Session(clock.monotonic)

    async def fails(error: HostError) -> None:
        raise error

    for error in (HostHeld("later", 40.0), LoginRefused("wrong key"), HostHeld("later", 90.0)):
        session.start("look", fails(error), lambda: None)
        await settle()
    assert isinstance(session.memory.error, LoginRefused)
    assert session.wait() == 90.0
    assert session.memory.failures == 1


def test_one_address_is_one_place_however_it_is_written() -> None:
    assert place_of("::ffff:192.0.2.1", 22) == place_of("192.0.2.1", 22) == HERE
    assert place_of("2001:DB8:0:0::1", 22) == place_of("2001:db8::1", 22)


def test_namespaces_take_turns_in_the_order_in_which_they_asked() -> None:
    one = Pacing()
    assert one.turn(HERE, "a", 0.0) == 0
    waits = [one.turn(HERE, space, 1.0) for space in "bcbcd"]
    assert waits == [14.0, 29.0, 14.0, 29.0, 44.0]
    assert one.turn(ELSEWHERE, "b", 1.0) == 0
    # Who does not come in its time asks anew.
    assert one.turn(HERE, "c", 30.0) == 0
    assert one.turn(HERE, "b", 31.0) > 0


def test_nothing_is_remembered_for_ever_and_of_nobody_without_end() -> None:
    one = Pacing()
    for i in range(3 * PLACES):
        assert one.turn((f"2001:db8::{i:x}", 22), "a", 0.0) == 0
    assert len(one._tries["a"]) == PLACES
    one.turn(HERE, "b", LONGEST + FORGET + 1)
    assert list(one._tries) == ["b"]
    assert list(one._free) == [HERE]
