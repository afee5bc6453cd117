"""What is kept of an API server's answers, and of all of them together."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from tests.unit.fakeapi import FakeApi, refusal

from kok.kube import kinds
from kok.kube import watch as watching
from kok.kube.apply.untrusted import apply_untrusted
from kok.kube.budget.in_flight import AnswersInFlight
from kok.kube.budget.limits import TENANT
from kok.kube.client import Kube
from kok.kube.errors import KubeError, NotFound, Unreachable, without_traceback
from kok.kube.http.cache import BoundedCache
from kok.workload.csr import REQUESTS_MOST, Pending

SMALL = replace(TENANT, items=50, known=10_000, page=8)
THING = {"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "one"}}


@pytest.fixture
async def tenant(api: FakeApi) -> AsyncIterator[Kube]:
    access = api.kubeconfig()
    async with await Kube.from_kubeconfig(access, field_manager="test", limits=SMALL) as kube:
        yield kube


def secret(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "ns", "uid": "u", "resourceVersion": "1"}}


async def test_a_watch_goes_on_once_there_are_no_more_objects_than_are_known(
    api: FakeApi, tenant: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching.random, "uniform", lambda *_: 0.0)
    numbers, lists = itertools.count(), itertools.count()

    async def answer(request: web.Request) -> web.StreamResponse | None:
        if "watch" in request.query:
            return None
        many = next(lists) == 0
        items = [secret(f"{'x' * 240}{next(numbers)}") for _ in range(30 if many else 3)]
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": items})

    api.script("GET", "secrets", answer)
    there: set[str] = set()
    async for event in tenant.watch(kinds.SECRET, "ns"):
        if event.type == "SYNCED":
            break
        name = event.object["metadata"]["name"]
        there = there - {name} if event.type == "DELETED" else there | {name}
        if event.type == "DELETED":
            assert "names of more than 10000 bytes" in str(tenant.excess_of(kinds.SECRET))
    assert len(there) == 3
    assert next(lists) == 2


async def test_a_kind_is_asked_for_once_however_many_ask(api: FakeApi, tenant: Kube) -> None:
    asked = 0

    async def answer(_: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        named = [
            {"kind": k, "name": f"{k.lower()}s", "namespaced": True} for k in ("Thing", "Other")
        ]
        return web.json_response({"resources": [*named, [], {"kind": "Odd", "name": 7}]})

    api.script("GET", "/apis/example.org/v1$", answer)
    wanted = [{**THING, "kind": kind} for kind in ("Thing", "Other", "Thing")]
    found = await asyncio.gather(*map(tenant.resolve, wanted))
    assert [kind.plural for kind in found] == ["things", "others", "things"]
    assert asked == 1
    with pytest.raises(NotFound, match="no kind Odd"):
        await tenant.resolve({**THING, "kind": "Odd"})


async def test_a_list_of_kinds_that_is_too_large_is_told(api: FakeApi, tenant: Kube) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b" " * (TENANT.answer + 1), content_type="application/json")

    api.script("GET", "/apis/", answer)
    with pytest.raises(KubeError, match="more than"):
        await tenant.resolve(THING)
    assert tenant.excess is not None


async def test_an_object_that_is_there_is_not_sent_again(api: FakeApi, tenant: Kube) -> None:
    intent = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "one", "namespace": "ns", "finalizers": ["a/b"]},
        "data": {"a": "b"},
    }

    def data(live: dict[str, Any]) -> Any:
        return live["data"]["a"]

    assert await apply_untrusted(tenant, intent, data) == "b"
    writes = len(api.writes)
    assert await apply_untrusted(tenant, intent, data) == "b"
    assert len(api.writes) == writes
    path = "/api/v1/namespaces/ns/configmaps/one"
    api.put(path, {**intent, "metadata": {"finalizers": [{}, []]}, "data": {"a": "c"}})
    assert await apply_untrusted(tenant, intent, data) == "b"


async def test_what_a_server_insists_on_is_remembered_within_bounds(
    api: FakeApi, tenant: Kube
) -> None:
    """One that answers with another UID each time does not fill the memory."""
    numbers = itertools.count()

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            return refusal(404, "NotFound", "none", {"name": "one"})
        meta = {"name": "one", "namespace": "ns", "uid": f"u{next(numbers)}"}
        return web.json_response({"metadata": meta, "data": {"another": "v"}})

    api.script("*", "configmaps", answer)
    data = {f"{'k' * 500}{number}": "v" for number in range(1000)}
    meta = {"name": "one", "namespace": "ns"}
    intent = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
    for _ in range(40):
        await apply_untrusted(tenant, intent, lambda _: None)
    assert 0 < len(tenant.accepted) < 20


async def test_beyond_a_sum_only_the_oldest_answer_is_read() -> None:
    reading, order = AnswersInFlight(100), []

    async def read(name: str, pieces: int, begun: asyncio.Event) -> None:
        with reading.one() as answer:
            for _ in range(pieces):
                await reading.more(answer, 40)
                begun.set()
            order.append(name)

    begun = [asyncio.Event() for _ in range(3)]
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for name, pieces, event in zip("abc", (5, 2, 1), begun, strict=True):
            group.create_task(read(name, pieces, event))
    assert order[0] == "a"
    assert sorted(order) == ["a", "b", "c"]


def test_the_oldest_is_forgotten_where_all_take_too_much() -> None:
    known: BoundedCache[str, frozenset[str]] = BoundedCache(2000)
    for number in range(10):
        known[str(number)] = frozenset({"x" * 100})
    assert list(known)[-1] == "9"
    assert "0" not in known
    known["large"] = frozenset({"x" * 3000})
    assert not known


def test_requests_that_are_forgotten_are_told_until_few_wait() -> None:
    def request(number: int) -> dict[str, Any]:
        spec = {
            "signerName": "kubernetes.io/kubelet-serving",
            "username": f"system:node:n{number}",
        }
        return {"metadata": {"name": f"r{number}"}, "spec": spec}

    pending = Pending()
    for number in range(REQUESTS_MOST):
        pending.take(request(number), gone=False)
    assert not pending.overflowing
    pending.take(request(REQUESTS_MOST), gone=False)
    assert pending.overflowing
    for number in range(REQUESTS_MOST):
        pending.take(request(number), gone=True)
    assert not pending.overflowing


def test_an_error_keeps_nothing_of_where_it_came_from() -> None:
    def fail() -> None:
        try:
            raise ValueError("a very long text")
        except ValueError as error:
            raise Unreachable("away") from error

    try:
        fail()
    except Unreachable as error:
        bare = without_traceback(error)
    assert (bare.__cause__, bare.__context__, bare.__traceback__) == (None, None, None)
