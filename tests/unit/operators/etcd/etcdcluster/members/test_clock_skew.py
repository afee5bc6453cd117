"""Members whose clock is wrong: what the operator sees of them, and what it says."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from tests.unit.operators.etcd.builders import CA, NOW, a_pod, a_world, formed, says, without

from kok.api.etcd.etcdcluster import EtcdOperation
from kok.api.etcd.status import EtcdBackupSummary, EtcdHibernation, EtcdReplacement
from kok.api.etcd.store import EtcdBackupPolicy
from kok.etcdclient.answers import clock_of
from kok.etcdclient.connection_errors import error_of
from kok.etcdclient.model import EtcdError, Trouble
from kok.operators.etcd import naming
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.members.health import JudgedMember, judge_member
from kok.operators.etcd.etcdcluster.observed import answers
from kok.operators.etcd.etcdcluster.observed.model import Answer, Observed
from kok.operators.etcd.etcdcluster.operations import action, hibernation, roll, run, space
from kok.operators.etcd.etcdcluster.restores import rescue
from kok.operators.etcd.settings import Tuning
from kok.pki import LeafSpec, issue, new_ca
from kok.runtime.conditions import Verdict

UNTRUSTED = EtcdError(Trouble.UNTRUSTED, "does not agree on TLS with the operator")
ADDRESS = f"127.{os.getpid() % 200 + 20}.3.1"
THEN = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
DATE = "Thu, 26 Nov 2026 12:00:00 GMT"


def seen_at(clock: datetime | None, *, ready: bool = False, now: datetime = NOW) -> JudgedMember:
    """A member that refuses the operator, and whose clock showed this."""
    obj = formed()
    answer = Answer(error=UNTRUSTED, clock=clock)
    world = a_world(obj, {0: says(0), 1: answer, 2: says(2)}, p1=a_pod(obj, 1, ready=ready))
    return judge_member(obj, world, obj.status.members[1], now)


@pytest.mark.parametrize(
    ("ahead", "sentence"),
    [
        (
            timedelta(minutes=-30),
            "has been started, but its clock is 30 minutes behind the operator's, so that for it "
            "certificates are not valid yet: set the clock of node node-1",
        ),
        (
            timedelta(days=400),
            "has been started, but its clock is 400 days ahead of the operator's, so that for it "
            "certificates have ended: set the clock of node node-1",
        ),
        (timedelta(minutes=-9), "has been started, but does not agree on TLS with the operator"),
        (timedelta(hours=5), "has been started, but does not agree on TLS with the operator"),
        (None, "has been started, but does not agree on TLS with the operator"),
    ],
)
def test_a_clock_is_blamed_only_if_certificates_are_invalid_by_it(
    ahead: timedelta | None, sentence: str
) -> None:
    seen = seen_at(None if ahead is None else NOW + ahead)

    assert (seen.condition, seen.entry.message) == ("pending", sentence)


def test_no_clock_is_blamed_for_certificates_that_have_ended_by_the_operator_s_as_well() -> None:
    later = NOW + timedelta(days=400)

    message = seen_at(later, now=later).entry.message

    assert message == "has been started, but does not agree on TLS with the operator"


def test_a_sentence_about_a_clock_is_the_same_from_pass_to_pass() -> None:
    off = [NOW - timedelta(minutes=30, seconds=jitter) for jitter in (-20, 0, 20)]

    assert len({seen_at(clock).entry.message for clock in off}) == 1


def test_a_member_that_is_ready_by_a_wrong_clock_is_not_known_to_be_down() -> None:
    assert seen_at(NOW - timedelta(minutes=30), ready=True).condition == "unreachable"


@pytest.mark.parametrize(
    ("date", "clock"),
    [
        (DATE, THEN),
        (None, None),
        ("", None),
        ("half past ten", None),
        (DATE.replace("GMT", "+" + "9" * 20), None),
    ],
)
def test_a_clock_is_read_from_the_date_of_an_answer(
    date: str | None, clock: datetime | None
) -> None:
    assert clock_of(date) == clock


def test_a_certificate_that_is_refused_after_the_handshake_is_a_matter_of_tls() -> None:
    error = aiohttp.ClientOSError(1, "[SSL] tls alert")
    error.__cause__ = ssl.SSLError(1, "[SSL] tls alert")

    assert error_of(error).trouble is Trouble.UNTRUSTED
    assert error_of(aiohttp.ClientOSError(104, "reset")).trouble is Trouble.BROKE_OFF


@asynccontextmanager
async def served() -> AsyncIterator[web.AppRunner]:
    """What answers anything, and shows `DATE`."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({}, headers={"Date": DATE})

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        yield runner
    finally:
        await runner.cleanup()


@asynccontextmanager
async def stranger(tmp_path: Path) -> AsyncIterator[None]:
    """A member at `ADDRESS` that does not trust the operator's certificate, and shows `DATE`."""
    leaf = issue(CA, LeafSpec("etcd", dns_names=[naming.client_host("shop-etcd", "team-a")]), NOW)
    other = new_ca("other", NOW).cert_pem
    for name, content in (("ca", other), ("crt", leaf.cert_pem), ("key", leaf.key_pem)):
        (tmp_path / name).write_bytes(content)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "ca"))
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    async with served() as app:
        await web.TCPSite(app, ADDRESS, naming.CLIENT_PORT, ssl_context=tls).start()
        await web.TCPSite(app, ADDRESS, naming.METRICS_PORT).start()
        yield


async def asked(*, ready: bool = True) -> Answer:
    obj = formed()
    children = a_world(obj, p0=a_pod(obj, 0, ready=ready, podIP=ADDRESS)).children
    world = Observed(children, tuning=Tuning(not_ready_deadline=0.3))
    return (await answers.ask_members(obj, ["shop-etcd-0"], world))["shop-etcd-0"]


async def test_a_member_that_refuses_the_operator_is_asked_for_its_clock(tmp_path: Path) -> None:
    async with stranger(tmp_path):
        answer = await asked()

    assert answer.error is not None
    assert answer.error.trouble in {Trouble.UNTRUSTED, Trouble.BROKE_OFF}
    assert answer.clock == THEN


async def test_a_member_that_waits_for_its_peers_and_answers_nobody_shows_its_clock() -> None:
    async with served() as app:
        await web.TCPSite(app, ADDRESS, naming.METRICS_PORT).start()
        with socket.create_server((ADDRESS, naming.CLIENT_PORT)):
            answer = await asked(ready=False)

    assert answer.error is not None
    assert (answer.error.trouble, answer.clock) == (Trouble.SILENT, THEN)


async def test_a_member_that_does_not_listen_has_no_clock() -> None:
    answer = await asked()

    assert answer.error is not None
    assert (answer.error.trouble, answer.clock) == (Trouble.NOT_LISTENING, None)


# --- the clock that recorded a time


DAYS, LOOK_SOON = timedelta(days=300), timedelta(days=1)
THERE = {1: says(1, leader=1), 2: says(2, leader=1)}


def full() -> Assessment:
    obj = formed()
    return Assessment.of(obj, a_world(obj), NOW + LOOK_SOON)


def test_who_was_woken_by_a_clock_that_was_ahead_does_not_wake_for_days() -> None:
    obj = formed()
    obj.status.hibernation = EtcdHibernation(step="Waking", since=NOW + DAYS)
    obj.status.members[0].ready = False
    assert hibernation.following(obj, a_world(obj, THERE), [], NOW) is None
    obj.status.hibernation.since = NOW
    assert hibernation.following(obj, a_world(obj, THERE), [], NOW) == "Waking"


def test_room_that_a_clock_made_in_the_future_does_not_keep_it_from_being_made() -> None:
    for told in ({"freed_at": [NOW + DAYS] * 3}, {"no_room_at": NOW + DAYS}):
        s = full()
        for field, value in told.items():
            setattr(s.obj.status, field, value)
        assert space.may_begin(s)
    s = full()
    s.obj.status.freed_at = [s.now] * 3
    assert not space.may_begin(s)


def test_members_that_were_replaced_in_the_future_do_not_hold_up_the_next_one() -> None:
    obj = formed()
    gone = [EtcdReplacement(member=f"x{n}", at=NOW + DAYS, reason="lost") for n in range(3)]
    obj.status.replacements = gone
    world = without(a_world(obj, THERE, p0=None), ("PersistentVolumeClaim", "shop-etcd-0"))
    action = run.next_action(Assessment.of(obj, world, NOW))
    assert action.states == {"shop-etcd-0": "Leaving"}


def test_a_member_that_was_defragmented_in_the_future_is_so_again() -> None:
    obj = formed(maintenance={"defragAt": "50%"})
    large = {"db_size": 400 * 1024**2, "in_use": 1024**2}
    answers = {n: says(n, leader=0, **large) for n in range(3)}
    obj.status.members[1].defragmented_at = NOW + DAYS
    world = a_world(obj, answers)
    assert "shop-etcd-1" in {m.name for m in space.wanting(Assessment.of(obj, world, NOW))}


def test_an_attempt_of_the_future_is_not_waited_for() -> None:
    operation = EtcdOperation(
        type="Grow", since=NOW + DAYS, reason="spec.members is 3", step="Adding", attempts=2
    )
    assert action.backs_off(full(), operation) is None


def test_a_backup_of_the_future_is_none_of_the_last_day() -> None:
    s = full()
    store = {"volume": {"claim": "backups"}}
    s.obj.spec.backup = EtcdBackupPolicy.model_validate({"schedule": "0 * * * *", "store": store})
    s.obj.status.last_backup = EtcdBackupSummary(name="one", at=s.now, size=1)
    assert roll.backup_problems(s) == []
    s.obj.status.last_backup.at = NOW + DAYS
    assert "no backup of the last 24 hours" in roll.backup_problems(s)[0]


def test_a_member_that_has_been_unhealthy_since_the_future_is_so_from_now_on() -> None:
    obj = formed()
    obj.status.members[0].unhealthy_since = NOW + DAYS
    found = judge_member(obj, a_world(obj, THERE), obj.status.members[0], NOW)
    assert found.entry.unhealthy_since == NOW


def test_a_quorum_that_was_lost_in_the_future_is_so_from_now_on() -> None:
    obj = formed()
    obj.status.quorum_lost_at = NOW + DAYS
    rescue.note(obj, Verdict(False, "QuorumLost", "why"), NOW)
    assert obj.status.quorum_lost_at == NOW
