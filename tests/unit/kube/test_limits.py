"""What an API server may make us read: nothing that it sends may grow without bound."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from tests.unit.fakeapi import FakeApi, refusal

from kok.kube import kinds
from kok.kube.access import from_kubeconfig
from kok.kube.client import Kube
from kok.kube.errors import KubeError, TooLarge, Unreachable, error_of
from kok.kube.limits import TENANT, weight
from kok.kube.transport import new_session
from kok.kube.watch import Pace

SMALL = replace(TENANT, answer=20_000, weight=200_000, listed=400_000, items=50, page=8)


@pytest.fixture
async def tenant(api: FakeApi) -> AsyncIterator[Kube]:
    """A client that takes little."""
    access = api.kubeconfig()
    async with await Kube.from_kubeconfig(access, field_manager="test", limits=SMALL) as kube:
        yield kube


def always(api: FakeApi, answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> None:
    api.script("GET", "secrets", answer)


def secret(name: str, text: str = "") -> dict[str, Any]:
    meta = {"name": name, "uid": name, "resourceVersion": "1"}
    return {"metadata": meta, "data": {"text": text}}


def page(items: list[dict[str, Any]], more: str = "") -> web.Response:
    return web.json_response(
        {"metadata": {"resourceVersion": "1", "continue": more}, "items": items}
    )


async def test_a_compressed_answer_is_refused_without_being_unpacked(
    api: FakeApi, tenant: Kube
) -> None:
    bomb = gzip.compress(b" " * 50 * 2**20)

    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.headers["Accept-Encoding"] == "identity"
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        return web.Response(body=bomb, headers=headers)

    always(api, answer)
    tracemalloc.start()
    try:
        with pytest.raises(Unreachable, match="an encoding that it was not asked for"):
            await tenant.get(kinds.SECRET, "a", "ns")
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()


async def test_nobody_who_uses_our_sessions_asks_for_compressed_answers(api: FakeApi) -> None:
    """Those of kopf as well, which could not read them."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Accept-Encoding", ""))
        return web.json_response({})

    always(api, answer)
    session = new_session(from_kubeconfig(api.kubeconfig()), limit=0)
    url = f"{api.address}/api/v1/secrets"
    async with session, session.get(url, headers={"Accept": "*/*"}):
        pass
    assert asked == ["identity"]


@pytest.mark.parametrize("announced", [True, False])
async def test_a_long_answer_is_given_up_where_the_limit_is(
    api: FakeApi, tenant: Kube, announced: bool
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if announced:
            return web.Response(body=b" " * (SMALL.answer + 1), content_type="application/json")
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(1000):  # 64 MB
            await response.write(b" " * 65536)
        return response

    always(api, answer)
    with pytest.raises(TooLarge, match="more than 20000 bytes"):
        await tenant.get(kinds.SECRET, "a", "ns")
    assert "20000 bytes" in str(tenant.excess)


async def test_what_was_too_large_is_forgotten_once_it_is_not(api: FakeApi, tenant: Kube) -> None:
    texts = itertools.chain(["x" * SMALL.answer], itertools.repeat("x"))

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(secret("a", next(texts)))

    always(api, answer)
    with pytest.raises(TooLarge):
        await tenant.get(kinds.SECRET, "a", "ns")
    assert tenant.excess is not None
    assert await tenant.get(kinds.SECRET, "a", "ns") is not None
    assert tenant.excess is None


@pytest.mark.parametrize(
    "body",
    [
        "[" * 15_000,
        '{"a":' * 3000 + "1" + "}" * 3000,
        "[" + ",".join(["{}"] * 6000) + "]",
        '{"a": ' + "9" * 6000 + "}",
        '"no object"',
        "\\xff\\xfe",
    ],
)
async def test_what_is_made_to_break_a_parser_is_an_error_like_any_other(
    api: FakeApi, tenant: Kube, body: str
) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body.encode(), content_type="application/json")

    always(api, answer)
    with pytest.raises(Unreachable):
        await tenant.get(kinds.SECRET, "a", "ns")
    with pytest.raises(Unreachable):
        await tenant.list(kinds.SECRET, "ns")


async def test_a_list_that_never_ends_is_given_up(api: FakeApi, tenant: Kube) -> None:
    numbers = itertools.count()

    async def answer(_: web.Request) -> web.StreamResponse:
        return page([secret(f"s{next(numbers)}")], more="more")

    always(api, answer)
    with pytest.raises(TooLarge, match="a list of more than 50 objects"):
        await tenant.list(kinds.SECRET, "ns")


async def test_a_list_of_empty_pages_is_given_up(api: FakeApi, tenant: Kube) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return page([], more="more")

    always(api, answer)
    with pytest.raises(Unreachable, match="empty page"):
        await tenant.list(kinds.SECRET, "ns")


async def test_large_objects_come_in_smaller_pages(api: FakeApi, tenant: Kube) -> None:
    asked: list[int] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        size, start = int(request.query["limit"]), int(request.query.get("continue", 0))
        asked.append(size)
        names = [f"s{n}" for n in range(start, min(start + size, 12))]
        more = str(start + size) if start + size < 12 else ""
        return page([secret(name, "x" * 5000) for name in names], more)

    always(api, answer)
    found = await tenant.list(
        kinds.SECRET, "ns", keep=lambda one: {"name": one["metadata"]["name"]}
    )
    assert [one["name"] for one in found] == [f"s{n}" for n in range(12)]
    assert asked[0] == 8
    assert set(asked[1:]) == {2}


async def test_a_list_that_is_kept_whole_has_a_limit_of_its_own(api: FakeApi, tenant: Kube) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        start = int(request.query.get("continue", 0))
        return page([secret(f"s{start}", "[" * 1000)], str(start + 1))

    always(api, answer)
    with pytest.raises(TooLarge, match="a list of"):
        await tenant.list(kinds.SECRET, "ns")


async def test_a_refusal_is_told_in_few_words() -> None:
    body = {"message": "m" * 100_000, "reason": "R" * 100, "details": {"retryAfterSeconds": 1e12}}
    error = error_of(429, json.dumps(body).encode())
    assert len(error.message) == 1024
    assert error.reason == "TooManyRequests"
    assert error.retry_after == 300.0


async def test_of_a_long_refusal_only_the_beginning_is_read(api: FakeApi, tenant: Kube) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=403)
        await response.prepare(request)
        for _ in range(1000):
            await response.write(b"x" * 65536)
        return response

    always(api, answer)
    with pytest.raises(KubeError) as caught:
        await tenant.get(kinds.SECRET, "a", "ns")
    assert caught.value.status == 403
    assert len(caught.value.message) <= 1024


async def told(kube: Kube, until: str, limit: int = 1000) -> list[tuple[str, str]]:
    """What a watch tells until it tells of that name or type."""
    found: list[tuple[str, str]] = []
    async with asyncio.timeout(60):
        async for event in kube.watch(kinds.SECRET, "ns"):
            found.append((event.type, event.object.get("metadata", {}).get("name", "")))
            if until in found[-1] or len(found) >= limit:
                break
    return found


def lines(*changes: tuple[str, Any]) -> web.Response:
    texts = [json.dumps({"type": what, "object": found}) for what, found in changes]
    return web.Response(text="".join(f"{text}\n" for text in texts))


@pytest.fixture
def no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(_: float) -> None:
        await real(0)

    real = asyncio.sleep
    monkeypatch.setattr("kok.kube.watch.asyncio.sleep", at_once)


@pytest.mark.usefixtures("no_delays")
async def test_what_went_while_the_watch_was_away_is_told_as_deleted(
    api: FakeApi, tenant: Kube
) -> None:
    lists = iter([["a", "b", "c"], ["b"]])
    watches = iter([lines(("ADDED", secret("d")), ("ERROR", {"code": 410})), None])

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            return next(watches) or refusal(500, "InternalError", "over")
        return page([secret(name) for name in next(lists)])

    always(api, answer)
    found: list[tuple[str, str]] = []
    async with asyncio.timeout(60):
        async for event in tenant.watch(kinds.SECRET, "ns"):
            found.append((event.type, event.object.get("metadata", {}).get("name", "")))
            if [what for what, _ in found].count("SYNCED") == 2:
                break
    known: set[str] = set()
    for what, name in found:
        if what == "DELETED":
            known.discard(name)
        elif name:
            known.add(name)
    assert known == {"b"}
    assert found[-1] == ("SYNCED", "")


@pytest.mark.usefixtures("no_delays")
async def test_a_watch_of_ever_new_objects_is_given_up_and_said_so(
    api: FakeApi, tenant: Kube
) -> None:
    numbers = itertools.count()

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            return lines(*(("ADDED", secret(f"s{next(numbers)}")) for _ in range(SMALL.items + 1)))
        return page([])

    always(api, answer)
    synced = 0
    async with asyncio.timeout(60):
        async for event in tenant.watch(kinds.SECRET, "ns"):
            synced += event.type == "SYNCED"
            if synced == 2:
                break
    assert "more than 50 secrets" in str(tenant.excess_of(kinds.SECRET))


@pytest.mark.usefixtures("no_delays")
@pytest.mark.parametrize(
    "wrong",
    [
        "text",
        {"type": "ADDED", "object": "text"},
        {"type": "ADDED", "object": {"metadata": {"name": 5}}},
        {"type": "ADDED", "object": {"metadata": {"name": "n" * 254}}},
        {"type": "ADDED", "object": {"metadata": {"name": "n", "labels": {"a": 1}}}},
        {"type": "ADDED", "object": {"metadata": {"name": "n"}, "spec": []}},
        {"type": "BOOKMARK", "object": {}},
        {"type": "ERROR", "object": []},
    ],
)
async def test_a_watch_outlives_whatever_it_is_sent(
    api: FakeApi, tenant: Kube, wrong: object
) -> None:
    watches = iter([web.Response(text=json.dumps(wrong) + "\n")])

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            return next(watches, None) or lines(("ADDED", secret("last")))
        return page([])

    always(api, answer)
    assert (await told(tenant, "last"))[-1] == ("ADDED", "last")


@pytest.mark.usefixtures("no_delays")
async def test_a_server_whose_versions_are_always_too_old_is_not_asked_in_a_tight_loop(
    api: FakeApi, tenant: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def noted(delay: float) -> None:
        waits.append(delay)

    monkeypatch.setattr("kok.kube.watch.asyncio.sleep", noted)

    async def answer(request: web.Request) -> web.StreamResponse:
        return lines(("ERROR", {"code": 410})) if "watch" in request.query else page([])

    always(api, answer)
    await told(tenant, "never", limit=6)
    assert len(waits) >= 4
    assert waits[-1] > waits[0]


async def test_a_flood_of_events_is_read_at_a_bounded_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now, slept = 0.0, 0.0

    async def sleeping(seconds: float) -> None:
        nonlocal now, slept
        now, slept = now + seconds, slept + seconds

    monkeypatch.setattr("kok.kube.watch.asyncio.sleep", sleeping)
    pace = Pace(100_000.0, lambda: now)
    for _ in range(1000):
        await pace.keep(9_000)
    assert now == pytest.approx(1000 * (9_000 + Pace.EVENT) / 100_000 - Pace.BURST, rel=0.01)
    now += 3600.0
    before = slept
    await pace.keep(9_000)
    assert slept == before  # Who was quiet may send a burst again.


@pytest.mark.parametrize(
    "text",
    [
        "[" + "{}," * 5000 + "{}]",
        "[" + "[]," * 5000 + "[]]",
        "{" + ",".join(f'"k{n}":{{}}' for n in range(5000)) + "}",
        "{" + ",".join(f'"k{n}":"v{n}"' for n in range(5000)) + "}",
        "[" + ",".join(f"{n}.5" for n in range(5000)) + "]",
        "[" + "[" * 500 + "]" * 500 + "]",
        json.dumps(["a" * 20_000 + "\U0001f600"]),
        json.dumps(["a" * 20_000 + "\U0001f600"], ensure_ascii=False),
        json.dumps([{"name": f"pod-{n}", "labels": {"app": "web"}} for n in range(500)]),
    ],
)
def test_the_weight_of_a_text_is_never_less_than_what_it_takes(text: str) -> None:
    raw = text.encode()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        found = json.loads(raw)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert found is not None
    assert taken <= weight(raw)
