"""What members answer, as the JSON gateway writes it, and what becomes of failures."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from tests.unit.operators.etcd.builders import (
    CA,
    CLUSTER_ID,
    NOW,
    a_pod,
    a_world,
    formed,
    listed,
    report,
    says,
)

from kok.etcdclient.answers import alarm_of, listed_of, status_of
from kok.etcdclient.client import EtcdClient
from kok.etcdclient.model import Alarm, Credentials, EtcdError, Trouble
from kok.operators.etcd import pods
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.observed.answers import ask_members
from kok.operators.etcd.etcdcluster.observed.model import Answer, Observed
from kok.pki import LeafSpec, Usage, issue

LEAF = issue(CA, LeafSpec("etcd-client", usages=Usage.CLIENT), NOW)
WHO = Credentials(CA.cert_pem, LEAF.cert_pem, LEAF.key_pem, "shop-etcd-client.team-a.svc")


def test_a_status_has_its_numbers_as_text_and_no_zeros() -> None:
    said = status_of(
        {
            "header": {"cluster_id": "2071508613783729800", "member_id": "8464403420199209632"},
            "version": "3.6.10",
            "dbSize": "20480",
            "leader": "8464403420199209632",
            "raftIndex": "4",
            "raftTerm": "2",
            "raftAppliedIndex": "4",
            "dbSizeInUse": "16384",
            "storageVersion": "3.6.0",
        }
    )

    assert said.cluster_id == "1cbf7a1be1bdb688"
    assert said.member_id == said.leader == "75779a1078934aa0"
    assert (said.db_size, said.in_use, said.storage_version) == (20480, 16384, "3.6.0")
    assert (said.is_learner, said.revision, said.alarms) == (False, 0, ())


def test_a_member_without_leader_and_with_alarms() -> None:
    said = status_of(
        {
            "header": {"cluster_id": "1", "member_id": "2"},
            "isLearner": True,
            "errors": ["etcdserver: no leader", "memberID:31 alarm:NOSPACE "],
        }
    )

    assert said.leader is None
    assert said.is_learner
    assert said.alarms == (Alarm("1f", "NOSPACE"),)


@pytest.mark.parametrize("text", ["", "etcdserver: no leader", "memberID:x alarm:NOSPACE", "a:b"])
def test_other_errors_are_no_alarms(text: str) -> None:
    assert alarm_of(text) is None


def test_a_member_that_never_started_has_no_name() -> None:
    entry = listed_of({"ID": "255", "peerURLs": ["https://a:2380"]})

    assert (entry.id, entry.name, entry.started) == ("ff", "", False)
    assert listed_of({"ID": "255", "clientURLs": ["https://a:2379"]}).started


def test_credentials_do_not_show_their_key() -> None:
    assert "PRIVATE" not in repr(WHO)


@asynccontextmanager
async def member(answer: Any) -> AsyncIterator[str]:
    """A server that answers every question so."""
    app = web.Application()
    app.router.add_post("/{rest:.*}", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


async def trouble(answer: Any, *, deadline: float = 2.0) -> EtcdError:
    async with member(answer) as address, EtcdClient(WHO, deadline=deadline) as client:
        with pytest.raises(EtcdError) as raised:
            await client.members(address)
    return raised.value


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        ({"code": 14, "message": "etcdserver: no leader"}, 503, Trouble.NO_QUORUM),
        ({"code": 4, "message": "context deadline exceeded"}, 504, Trouble.NO_QUORUM),
        ({"code": 2, "message": "etcdserver: request timed out"}, 500, Trouble.NO_QUORUM),
        ({"code": 7, "message": "etcdserver: permission denied"}, 403, Trouble.DENIED),
        ({"code": 9, "message": "etcdserver: user name not found"}, 400, Trouble.DENIED),
        ({"code": 2, "message": "etcdserver: something else"}, 500, Trouble.REFUSED),
        ({"code": 14, "message": "etcdserver: unhealthy cluster"}, 503, Trouble.UNHEALTHY),
        ({"code": 9, "message": "etcdserver: not leader"}, 400, Trouble.NOT_LEADER),
        ({"code": 5, "message": "etcdserver: member not found"}, 404, Trouble.NOT_FOUND),
        ([], 200, Trouble.REFUSED),
    ],
)
async def test_refusals_are_told_apart(body: Any, status: int, expected: Trouble) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(body, status=status)

    assert (await trouble(answer)).trouble is expected


async def test_what_is_not_json_is_no_answer() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="<html>")

    assert (await trouble(answer)).trouble is Trouble.REFUSED


@pytest.mark.parametrize("status", [200, 500])
async def test_an_answer_that_does_not_end_is_given_up(status: int) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        while True:
            await response.write(b" " * 65536)

    error = await trouble(answer, deadline=60.0)
    assert error.trouble is Trouble.REFUSED
    assert error.message == "answers with more than etcd ever does"


async def test_interim_answers_without_end_are_given_up_however_long_a_call_may_take() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        while not transport.is_closing():
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
            await asyncio.sleep(0)
        return web.Response()

    error = await trouble(answer, deadline=60.0)
    assert error.trouble is Trouble.REFUSED
    assert error.message == "answers with more than etcd ever does"


async def test_a_compressed_answer_is_not_unpacked() -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        body = gzip.compress(b'{"members": []}' + b" " * 10**7)
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    assert (await trouble(answer)).trouble is Trouble.REFUSED


@pytest.mark.parametrize(
    "body",
    [
        '{"members": [{"ID": "x"}]}',
        '{"members": [1]}',
        '{"members": 1}',
        '{"members": [{"ID": ' + "9" * 30 + "}]}",
        '{"members": [{"ID": "1", "peerURLs": 7}]}',
        '{"members": [{"ID": Infinity}]}',
        "[" * 5000,
    ],
)
async def test_what_etcd_never_says_is_no_answer(body: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    assert (await trouble(answer)).trouble is Trouble.REFUSED


@pytest.mark.parametrize(
    "lie",
    [
        {"version": "x"},
        {"version": "3.6.10-\u0000"},
        {"version": "3." + "9" * 5000 + ".1"},
        {"version": ["3.6.10"]},
        {"storageVersion": "9"},
        {"dbSize": str(2**64 - 1)},
        {"dbSizeInUse": str(2**63)},
        {"dbSize": -5},
        {"raftIndex": str(2**64 - 1)},
        {"raftAppliedIndex": "-1"},
        {"raftTerm": str(2**64 - 1)},
        {"header": {"cluster_id": "1", "member_id": "2", "revision": str(2**63)}},
    ],
    ids=lambda lie: str(lie)[:40],
)
async def test_what_no_member_can_be_is_no_answer(lie: dict[str, Any]) -> None:
    """Its version and its sizes are recorded and reckoned with."""
    honest = {"header": {"cluster_id": "1", "member_id": "2"}, "version": "3.6.10"}

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({**honest, **lie})

    async with member(answer) as address, EtcdClient(WHO) as client:
        with pytest.raises(EtcdError) as raised:
            await client.status(address)
    assert raised.value.trouble is Trouble.REFUSED


def test_the_most_that_a_member_may_say_fits_into_the_status() -> None:
    most = str(2**62)
    said = status_of(
        {
            "header": {"cluster_id": str(int(CLUSTER_ID, 16)), "member_id": "1", "revision": most},
            "version": "3.999999.999999",
            "storageVersion": "3.999999.0",
            "leader": "1",
            **dict.fromkeys(("dbSize", "dbSizeInUse", "raftTerm", "raftIndex"), most),
            "errors": [f"memberID:{n} alarm:{'X' * 10_000}" for n in range(1000)],
        }
    )
    obj = formed()
    world = a_world(obj, {0: Answer(said, listed()), 1: says(1), 2: says(2)})

    report(Assessment.of(obj, world, NOW), None, None, None)

    written = json.loads(json.dumps(obj.status.manifest()), parse_int=fits_int64)
    assert written["members"][0]["dbSize"] == 2**62
    assert written["members"][0]["raftLag"] == 10**18
    assert len(json.dumps(written["alarms"])) < 10_000


def fits_int64(text: str) -> int:
    """What the API server takes for an integer."""
    assert -(2**63) <= int(text) < 2**63
    return int(text)


async def test_long_texts_of_members_are_cut() -> None:
    entry = {"ID": "1", "name": "n" * 10_000, "peerURLs": ["u" * 10_000] * 1000}
    long = "etcdserver: " + "x" * 10_000

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"members": [{**entry, "peerURLs": ["u" * 10_000]}] * 5})

    async def refuse(_: web.Request) -> web.Response:
        return web.json_response({"code": 2, "message": long}, status=500)

    async with member(answer) as address, EtcdClient(WHO, deadline=60.0) as client:
        (first, *_) = await client.members(address)
    assert (len(first.name), len(first.peer_urls[0])) == (512, 512)
    assert len(listed_of(entry).peer_urls) == 64
    assert len((await trouble(refuse)).message) < 400


async def test_silence_ends_with_the_deadline() -> None:
    async def answer(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    assert (await trouble(answer, deadline=0.05)).trouble is Trouble.SILENT


async def test_a_closed_port_is_told_without_its_number(unused_tcp_port: int) -> None:
    async with EtcdClient(WHO) as client:
        with pytest.raises(EtcdError) as raised:
            await client.status(f"http://127.0.0.1:{unused_tcp_port}")

    assert raised.value.trouble is Trouble.NOT_LISTENING
    assert str(unused_tcp_port) not in raised.value.message


async def test_unusable_credentials_are_told() -> None:
    with pytest.raises(EtcdError) as raised:
        EtcdClient(Credentials(b"nonsense", b"", b"", "x"))

    assert raised.value.trouble is Trouble.UNTRUSTED


async def test_without_a_certificate_members_are_not_asked_but_told_why() -> None:
    obj = formed()
    children = dict(a_world(obj).children)
    del children["Secret", "shop-etcd-client"], children["Secret", "shop-etcd-server"]

    answers = await ask_members(obj, ["shop-etcd-0"], Observed(children))

    error = answers["shop-etcd-0"].error
    assert error is not None
    assert "Secret shop-etcd-client holds no certificate" in error.message


async def test_without_the_clients_certificate_the_members_own_serves() -> None:
    obj = formed()
    children = dict(a_world(obj, p0=a_pod(obj, 0, podIP="127.0.0.1")).children)
    del children["Secret", "shop-etcd-client"]

    answers = await ask_members(obj, ["shop-etcd-0"], Observed(children))

    error = answers["shop-etcd-0"].error
    assert error is not None
    assert error.trouble is Trouble.NOT_LISTENING


@pytest.mark.parametrize(
    ("phase", "address"), [("Running", "10.0.0.1"), ("Succeeded", None), ("Failed", None)]
)
def test_only_pods_that_may_answer_are_asked(phase: str, address: str | None) -> None:
    assert pods.pod_address(a_pod(formed(), 0, phase=phase)) == address
    assert pods.pod_address(None) is None
