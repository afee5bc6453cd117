"""More requests at once than there are connections to an API server."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from tests.unit.fakeapi import FakeApi
from tests.unit.kube.limited_client import always

from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import Unreachable

TIMEOUT, LATENCY = 2.0, 0.5


async def test_requests_that_wait_for_each_other_are_not_late(api: FakeApi) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(LATENCY)
        return web.json_response({"metadata": {"name": request.path.rpartition("/")[2]}})

    always(api, answer)
    names = [f"a{n}" for n in range(6)]
    async with await _one_connection(api, TIMEOUT) as kube:
        found = await asyncio.gather(*(kube.get(kinds.SECRET, name, "ns") for name in names))
    assert [one["metadata"]["name"] for one in found if one is not None] == names


async def test_nobody_waits_for_a_server_that_answers_nobody(api: FakeApi) -> None:
    asked: list[str] = []
    over = asyncio.Event()

    async def never(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        await over.wait()
        return web.Response()

    always(api, never)
    async with await _one_connection(api, 0.2) as kube:
        waiting = [kube.get(kinds.SECRET, f"a{n}", "ns") for n in range(20)]
        found = await asyncio.gather(*waiting, return_exceptions=True)
        over.set()
    assert all(isinstance(one, Unreachable) for one in found)
    assert len(asked) < 5, "each has its own patience with a server that is silent"


async def test_an_answer_that_never_ends_is_none(api: FakeApi) -> None:
    asked: list[str] = []
    over = asyncio.Event()

    async def begun(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(b"{")
        await over.wait()
        return response

    always(api, begun)
    async with await _one_connection(api, 0.2) as kube:
        waiting = [kube.get(kinds.SECRET, f"a{n}", "ns") for n in range(20)]
        found = await asyncio.gather(*waiting, return_exceptions=True)
        over.set()
    assert all(isinstance(one, Unreachable) for one in found)
    assert len(asked) < 5


async def test_a_stream_has_a_connection_until_it_ends(api: FakeApi) -> None:
    begun = asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})
        response = web.StreamResponse()
        await response.prepare(request)
        begun.set()
        await asyncio.Event().wait()
        return response

    always(api, silent)
    async with await _one_connection(api, 0.2) as kube:
        watching = kube.watch(kinds.SECRET, "ns")
        assert (await anext(watching)).type == "SYNCED"
        following = asyncio.ensure_future(anext(watching))
        await begun.wait()
        with pytest.raises(Unreachable, match="did not answer in time"):
            await kube.get(kinds.SECRET, "a", "ns")
        following.cancel()
        await asyncio.wait([following])


async def _one_connection(api: FakeApi, timeout: float) -> Kube:
    return await Kube.from_kubeconfig(
        api.kubeconfig(), field_manager="t", timeout=timeout, connections=1
    )
