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
from tests.unit.operators.etcd.builders import CA, NOW, a_pod, a_world, formed, says

from kok.operators.etcd import layout, observe
from kok.operators.etcd.client import EtcdError, Trouble
from kok.operators.etcd.client.answers import clock_of, error_of
from kok.operators.etcd.members import View, view
from kok.operators.etcd.observe import Answer, World
from kok.pki import LeafSpec, issue, new_ca

UNTRUSTED = EtcdError(Trouble.UNTRUSTED, "does not agree on TLS with the operator")
ADDRESS = f"127.{os.getpid() % 200 + 20}.3.1"
THEN = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
DATE = "Thu, 26 Nov 2026 12:00:00 GMT"


def seen_at(clock: datetime | None, *, ready: bool = False, now: datetime = NOW) -> View:
    """A member that refuses the operator, and whose clock showed this."""
    obj = formed()
    answer = Answer(error=UNTRUSTED, clock=clock)
    world = a_world(obj, {0: says(0), 1: answer, 2: says(2)}, p1=a_pod(obj, 1, ready=ready))
    return view(obj, world, obj.status.members[1], now)


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
    leaf = issue(CA, LeafSpec("etcd", dns_names=[layout.client_host("shop-etcd", "team-a")]), NOW)
    other = new_ca("other", NOW).cert_pem
    for name, content in (("ca", other), ("crt", leaf.cert_pem), ("key", leaf.key_pem)):
        (tmp_path / name).write_bytes(content)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tmp_path / "ca"))
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    async with served() as app:
        await web.TCPSite(app, ADDRESS, layout.CLIENT_PORT, ssl_context=tls).start()
        await web.TCPSite(app, ADDRESS, layout.METRICS_PORT).start()
        yield


async def asked(*, ready: bool = True) -> Answer:
    obj = formed()
    world = World(a_world(obj, p0=a_pod(obj, 0, ready=ready, podIP=ADDRESS)).children)
    return (await observe.ask_members(obj, ["shop-etcd-0"], world))["shop-etcd-0"]


async def test_a_member_that_refuses_the_operator_is_asked_for_its_clock(tmp_path: Path) -> None:
    async with stranger(tmp_path):
        answer = await asked()

    assert answer.error is not None
    assert answer.error.trouble in {Trouble.UNTRUSTED, Trouble.BROKE_OFF}
    assert answer.clock == THEN


async def test_a_member_that_waits_for_its_peers_and_answers_nobody_shows_its_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(observe, "NOT_READY_DEADLINE", 0.3)
    async with served() as app:
        await web.TCPSite(app, ADDRESS, layout.METRICS_PORT).start()
        with socket.create_server((ADDRESS, layout.CLIENT_PORT)):
            answer = await asked(ready=False)

    assert answer.error is not None
    assert (answer.error.trouble, answer.clock) == (Trouble.SILENT, THEN)


async def test_a_member_that_does_not_listen_has_no_clock() -> None:
    answer = await asked()

    assert answer.error is not None
    assert (answer.error.trouble, answer.clock) == (Trouble.NOT_LISTENING, None)
