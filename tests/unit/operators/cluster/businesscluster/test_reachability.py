"""Whether a business cluster answers its users."""

from __future__ import annotations

import pytest
from aiohttp import web
from tests.unit.fakeapi import FakeApi

from kok.kube.client import Kube
from kok.kube.http.access import Access
from kok.operators.cluster.businesscluster.reachability import probe, resolve


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "ok"),
        (404, "ok"),
        (403, "forbidden"),
        (401, "unauthorized"),
        (500, "unreachable"),
        (503, "unreachable"),
    ],
)
async def test_how_an_api_answers(status: int, outcome: str) -> None:
    api = await FakeApi().start()

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({"kind": "Status", "message": "why"}, status=status)

    api.script("GET", "/api/v1/namespaces/kube-system", answer)
    try:
        async with await Kube.from_kubeconfig(api.kubeconfig(), field_manager="t") as admin:
            found = await probe(admin)
            assert found.outcome == outcome
            assert found.answers is (outcome in {"ok", "forbidden"})
    finally:
        await api.close()


@pytest.mark.parametrize(("failures", "outcome"), [(1, "ok"), (2, "ok"), (3, "unreachable")])
async def test_one_lost_request_is_no_outage(failures: int, outcome: str) -> None:
    api = await FakeApi().start()
    answers = iter([500] * failures + [200] * 5)

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({}, status=next(answers))

    api.script("GET", "/api/v1/namespaces/kube-system", answer)
    try:
        async with await Kube.from_kubeconfig(api.kubeconfig(), field_manager="t") as admin:
            assert (await probe(admin, tries=3)).outcome == outcome
    finally:
        await api.close()


async def test_an_api_that_is_not_there_is_unreachable() -> None:
    async with Kube(Access("http://127.0.0.1:1"), field_manager="t") as admin:
        found = await probe(admin)
    assert found.outcome == "unreachable"
    assert "http://127.0.0.1:1" in found.message


async def test_hosts_are_resolved_and_addresses_are_what_they_are() -> None:
    assert await resolve("192.0.2.7") == ("192.0.2.7",)
    assert "127.0.0.1" in await resolve("localhost")
    assert await resolve("no-such-host.invalid") == ()
    assert await resolve("x" * 70 + ".invalid") == ()
