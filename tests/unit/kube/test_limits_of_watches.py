"""What the watches of an API server may make us read and keep."""

from __future__ import annotations

import asyncio
import itertools
import json

import pytest
from aiohttp import web
from tests.unit.fakeapi import FakeApi, refusal
from tests.unit.kube.limited_client import SMALL, always, lines, page, secret, told

from kok.kube import kinds
from kok.kube.client import Kube


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
async def test_whoever_watches_is_told_when_it_is_too_much_and_when_no_longer(
    api: FakeApi, tenant: Kube
) -> None:
    """There is no event that would tell it."""
    watched = itertools.count()

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return page([secret("a")])
        if next(watched) < 3:
            return web.Response(text="x" * (SMALL.line + 1))
        return lines(("ADDED", secret("end")))

    always(api, answer)
    turns: list[bool] = []
    tenant.turned = lambda: turns.append(tenant.excess is not None)
    await told(tenant, "end")
    assert turns == [True, False]


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
@pytest.mark.parametrize("ended", [True, False])
async def test_a_watch_whose_line_has_no_end_is_begun_anew_and_said_so(
    api: FakeApi, tenant: Kube, ended: bool
) -> None:
    watches = iter([" " + "x" * 200_000 + "\n" * ended])
    said: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return page([])
        endless = next(watches, None)
        if endless is None:
            said.append(str(tenant.excess_of(kinds.SECRET)))
            return lines(("ADDED", secret("last")))
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(endless.encode())
        await asyncio.sleep(0 if ended else 3600)
        return response

    always(api, answer)
    assert (await told(tenant, "last"))[-1] == ("ADDED", "last")
    assert "a line of more than 10000 bytes" in said[0]
    assert tenant.excess_of(kinds.SECRET) is None


@pytest.mark.usefixtures("no_delays")
async def test_a_watch_that_a_byte_now_and_then_keeps_up_is_begun_anew(
    api: FakeApi, tenant: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kok.kube.watch.WHOLE", 0.5)
    begun = itertools.count()

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            return page([])
        if next(begun):
            return lines(("ADDED", secret("last")))
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"\n")
            await asyncio.sleep(0.01)

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
