"""The S3 proxy, in front of a server that says what it was asked."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from e2e.faults.s3proxy import (
    CHUNK,
    Cut,
    ErrorInside,
    Flip,
    Hang,
    Proxy,
    Refuse,
    Slow,
    SwallowHalf,
    Truncate,
    served,
)
from e2e.lab.cluster.state import State
from e2e.lab.services import s3 as lab_s3
from e2e.lab.services.s3 import S3
from yarl import URL

HOST = "127.0.0.1"
BODY = bytes(range(256)) * 1024
STATE = State(
    name="kok",
    subnet=IPv4Network("172.20.1.0/24"),
    pod_cidr=IPv4Network("10.200.0.0/16"),
    service_cidr=IPv4Network("10.201.0.0/16"),
    password="secret",
)


async def _store(request: web.BaseRequest) -> web.StreamResponse:
    body = await request.read()
    told = {
        "X-Seen-Host": request.headers["Host"],
        "X-Seen-Path": request.raw_path,
        "X-Seen-Digest": hashlib.sha256(body).hexdigest(),
        "X-Seen-Size": str(len(body)),
    }
    return web.Response(body=BODY, headers=told)


@pytest.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[Proxy]:
    keys = tmp_path / "keys"
    lab_s3._ensure_keys(STATE, keys)
    server = S3("", "access", "secret", (keys / "ca.crt").read_text(), tmp_path, keys)
    runner = web.ServerRunner(web.Server(_store))
    await runner.setup()
    site = web.TCPSite(runner, HOST, 0, ssl_context=server.certificate(HOST))
    await site.start()
    server = replace(server, endpoint=f"https://{HOST}:{runner.addresses[0][1]}")
    async with served(server, HOST) as one:
        yield one
    await runner.cleanup()


@pytest.fixture
async def session(proxy: Proxy) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=proxy._s3.trust())
    async with aiohttp.ClientSession(proxy.endpoint, connector=connector) as one:
        yield one


async def test_what_was_signed_arrives_unchanged(
    proxy: Proxy, session: aiohttp.ClientSession
) -> None:
    path = "/b/a%20key%2B?partNumber=1&uploadId=x%3D"
    async with session.put(URL(path, encoded=True), data=BODY) as answer:
        assert answer.headers["X-Seen-Path"] == path
        assert answer.headers["X-Seen-Host"] == proxy.endpoint.removeprefix("https://")
        assert answer.headers["X-Seen-Digest"] == hashlib.sha256(BODY).hexdigest()
        assert await answer.read() == BODY
    assert (proxy.requests, proxy.hits) == (1, 0)


@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (503, "SlowDown")])
async def test_a_refusal_is_one_of_s3(
    proxy: Proxy, session: aiohttp.ClientSession, status: int, code: str
) -> None:
    with proxy.fault(Refuse(status)):
        async with session.put("/b/k", data=BODY) as answer:
            assert answer.status == status
            assert f"<Code>{code}</Code>" in await answer.text()
    assert proxy.hits == 1


async def test_an_error_can_hide_in_a_success(proxy: Proxy, session: aiohttp.ClientSession) -> None:
    with proxy.fault(ErrorInside(), method="POST", containing="uploadId="):
        async with session.post("/b/k?uploadId=1") as answer:
            assert answer.status == 200
            assert "<Error>" in await answer.text()
        async with session.get("/b/k?uploadId=1") as answer:
            assert await answer.read() == BODY


async def test_an_answer_breaks_off(proxy: Proxy, session: aiohttp.ClientSession) -> None:
    with proxy.fault(Truncate()):
        async with session.get("/b/k") as answer:
            with pytest.raises(aiohttp.ClientError):
                await answer.read()


async def test_an_answer_ends_too_early_without_a_sign(
    proxy: Proxy, session: aiohttp.ClientSession
) -> None:
    with proxy.fault(Truncate(quietly=True)):
        async with session.get("/b/k") as answer:
            assert await answer.read() == BODY[: len(BODY) // 2]


async def test_one_bit_differs(proxy: Proxy, session: aiohttp.ClientSession) -> None:
    with proxy.fault(Flip()):
        async with session.get("/b/k") as answer:
            got = await answer.read()
    assert len(got) == len(BODY)
    assert [n for n in range(len(BODY)) if got[n] != BODY[n]] == [len(BODY) // 2]


async def test_half_of_an_upload_disappears(proxy: Proxy, session: aiohttp.ClientSession) -> None:
    with proxy.fault(SwallowHalf()):
        async with session.put("/b/k", data=BODY) as answer:
            assert answer.headers["X-Seen-Size"] == str(len(BODY) // 2)


async def test_an_upload_breaks_off(proxy: Proxy, session: aiohttp.ClientSession) -> None:
    with proxy.fault(Cut(), method="PUT", ending="/k"):
        with pytest.raises(aiohttp.ClientError):
            await session.put("/b/k", data=BODY)
        async with session.put("/b/k.json", data=BODY) as answer:
            assert answer.headers["X-Seen-Size"] == str(len(BODY))
    await proxy.until(lambda: not proxy.under_way)
    assert proxy.hits == proxy.requests - 1


async def test_what_hangs_can_be_broken_off(proxy: Proxy, session: aiohttp.ClientSession) -> None:
    with proxy.fault(Hang()):
        asking = asyncio.create_task(session.post("/b/k", data=BODY).__aenter__())
        await proxy.until(lambda: bool(proxy.hits))
        proxy.break_off()
        with pytest.raises(aiohttp.ClientError):
            await asking


async def test_a_fault_befalls_as_many_as_it_is_told(
    proxy: Proxy, session: aiohttp.ClientSession
) -> None:
    seen = []
    with proxy.fault(Refuse(503), times=2):
        for _ in range(3):
            async with session.get("/b/k") as answer:
                seen.append(answer.status)
    assert seen == [503, 503, 200]


async def test_a_slow_server_still_serves(proxy: Proxy, session: aiohttp.ClientSession) -> None:
    with proxy.fault(Slow(rate=CHUNK * 100)):
        async with session.get("/b/k") as answer:
            assert await answer.read() == BODY
    assert proxy.hits == 1
