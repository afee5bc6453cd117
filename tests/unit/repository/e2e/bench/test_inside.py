"""What is measured of a way into a business cluster: the requests, and what is made of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from e2e.bench.inside import konnectivity
from e2e.bench.inside.requests import MEBIBYTE, Requests

POD = "/api/v1/namespaces/default/pods/talker"


async def exec_(request: web.Request) -> web.WebSocketResponse:
    """As an API server: what is printed in two pieces, then a status."""
    channel = web.WebSocketResponse(protocols=("v5.channel.k8s.io",))
    await channel.prepare(request)
    command = request.query.getall("command")
    for part in (b"ab", b"c"):
        await channel.send_bytes(b"\x01" + part)
    failed = command == ["false"]
    status = {"status": "Failure", "message": "exit code 1"} if failed else {"status": "Success"}
    await channel.send_bytes(b"\x03" + json.dumps(status).encode())
    await channel.close()
    return channel


async def log(request: web.Request) -> web.StreamResponse:
    """Lines as they are written."""
    answer = web.StreamResponse()
    await answer.prepare(request)
    stamped = request.query.get("timestamps") == "true"
    for number in range(5):
        stamp = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}123Z "
        await answer.write(f"{stamp if stamped else ''}said {number}\n".encode())
    return answer


@pytest.fixture
async def asked() -> AsyncIterator[Requests]:
    app = web.Application()
    app.router.add_get(f"{POD}/exec", exec_)
    app.router.add_get(f"{POD}/log", log)
    async with TestServer(app) as server, ClientSession() as session:
        yield Requests(session, str(server.make_url("")).rstrip("/"))


async def test_a_program_is_waited_for_and_what_it_prints_counted(asked: Requests) -> None:
    seconds, count = await asked.execute("talker", "head", "-c", "3", "/dev/zero")
    assert count == 3
    assert 0 < seconds < 60


async def test_a_program_that_fails_is_no_measurement(asked: Requests) -> None:
    with pytest.raises(AssertionError, match="exit code 1"):
        await asked.execute("talker", "false")


async def test_a_line_of_a_log_is_as_old_as_it_says(asked: Requests) -> None:
    found = await asked.delays("talker", 3)
    assert len(found) == 3
    assert all(0 <= one < 60 for one in found)
    with pytest.raises(AssertionError, match="ended"):
        await asked.delays("talker", 6)


async def test_a_whole_log_is_counted(asked: Requests) -> None:
    assert (await asked.whole_log("talker"))[1] == 5 * len("said 0\n")


async def test_an_answer_that_is_none_is_no_measurement(asked: Requests) -> None:
    with pytest.raises(AssertionError, match="404"):
        await asked.aggregated("/apis/inside.example.com/v1/greetings")


def test_ratios_are_of_rounds_beside_each_other_and_exec_alone_has_a_target() -> None:
    straight, through = konnectivity.Measured(), konnectivity.Measured()
    for number in (1.0, 2.0):
        for name in konnectivity.LATENCY:
            straight.latency[name].append([10 * number])
            through.latency[name].append([14 * number])
        for name in konnectivity.THROUGHPUT:
            straight.throughput[name].append([100.0])
            through.throughput[name].append([50.0])
    found = {one.name: one for one in konnectivity.figures(straight, through)}
    assert found["konnectivity-exec-ratio"].values == (1.4, 1.4)
    assert found["konnectivity-exec-ratio"].verdict == "pass"
    assert found["konnectivity-logs-ratio"].verdict == "-"
    assert found["konnectivity-api-rate"].value == 50.0


def test_bytes_that_are_missing_are_no_rate() -> None:
    assert konnectivity.rates([(2.0, 4 * MEBIBYTE)], 4 * MEBIBYTE) == [2.0]
    with pytest.raises(AssertionError, match="bytes"):
        konnectivity.rates([(2.0, 5)], 6)
