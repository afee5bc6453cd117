"""Watches outlive what a real API server cannot be made to do at will."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web
from tests.unit.fakeapi import FakeApi, refusal

from kok.kube import kinds
from kok.kube.client import Kube

PATH = "/api/v1/namespaces/ns/secrets"


@pytest.fixture(autouse=True)
def no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once."""

    async def at_once(_: float) -> None:
        await real(0)

    real = asyncio.sleep
    monkeypatch.setattr("kok.kube.watch.asyncio.sleep", at_once)


def secret(name: str, version: int) -> dict[str, Any]:
    """A Secret at a version."""
    return {"metadata": {"name": name, "uid": name, "resourceVersion": str(version)}}


async def seen(kube: Kube, count: int) -> list[tuple[str, str]]:
    """The first events of a watch: type and name."""
    found: list[tuple[str, str]] = []
    async with asyncio.timeout(60):
        async for event in kube.watch(kinds.SECRET, "ns"):
            found.append((event.type, event.object.get("metadata", {}).get("name", "")))
            if len(found) == count:
                break
    return found


def streams(api: FakeApi, *contents: list[dict[str, Any]]) -> list[str]:
    """Answers one watch after the other; returns the versions from which they were asked."""
    asked: list[str] = []
    left = iter(contents)

    async def answer(request: web.Request) -> web.StreamResponse | None:
        if "watch" not in request.query:
            return None
        asked.append(request.query["resourceVersion"])
        lines = next(left, None)
        if lines is None:
            return None
        return web.Response(text="".join(json.dumps(line) + "\n" for line in lines))

    api.script("GET", "secrets", answer)
    return asked


async def test_a_watch_that_ends_goes_on_where_it_was(api: FakeApi, kube: Kube) -> None:
    asked = streams(
        api,
        [{"type": "ADDED", "object": secret("a", 100)}],
        [{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "150"}}}],
        [{"type": "MODIFIED", "object": secret("a", 200)}],
    )
    assert await seen(kube, 3) == [("SYNCED", ""), ("ADDED", "a"), ("MODIFIED", "a")]
    assert asked[1:] == ["100", "150"]


async def test_after_a_gap_everything_is_told_anew(api: FakeApi, kube: Kube) -> None:
    api.put(f"{PATH}/a", {"metadata": {"name": "a"}})
    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
    streams(api, [{"type": "ERROR", "object": gone}])

    assert await seen(kube, 4) == [("ADDED", "a"), ("SYNCED", ""), ("ADDED", "a"), ("SYNCED", "")]


async def test_a_server_that_fails_for_a_while_is_asked_again(api: FakeApi, kube: Kube) -> None:
    api.put(f"{PATH}/a", {"metadata": {"name": "a"}})
    failures = iter(range(3))

    async def fail(_: web.Request) -> web.StreamResponse | None:
        failing = next(failures, None) is not None
        return refusal(503, "ServiceUnavailable", "starting") if failing else None

    api.script("GET", "secrets", fail)
    assert await seen(kube, 2) == [("ADDED", "a"), ("SYNCED", "")]


async def test_a_list_that_breaks_off_is_read_from_its_start(api: FakeApi, kube: Kube) -> None:
    first = {"metadata": {"resourceVersion": "5", "continue": "more"}, "items": [secret("a", 1)]}
    last = {"metadata": {"resourceVersion": "9"}, "items": [secret("b", 2)]}
    answers = iter(
        [
            web.json_response(first),
            refusal(500, "InternalError", "oops"),
            web.json_response(first),
            web.json_response(last),
        ]
    )

    async def page(request: web.Request) -> web.StreamResponse | None:
        return None if "watch" in request.query else next(answers)

    api.script("GET", "secrets", page)
    told = await seen(kube, 4)
    assert told == [("ADDED", "a"), ("ADDED", "a"), ("ADDED", "b"), ("SYNCED", "")]


async def test_a_server_that_ends_watches_at_once_is_not_asked_in_a_tight_loop(
    api: FakeApi, kube: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def noted(delay: float) -> None:
        waits.append(delay)

    monkeypatch.setattr("kok.kube.watch.asyncio.sleep", noted)
    streams(api, [], [], [], [{"type": "ADDED", "object": secret("a", 1)}])

    await seen(kube, 2)

    assert len(waits) == 3
    assert waits[2] > waits[0] > 0


async def test_a_list_that_keeps_running_out_is_not_asked_in_a_tight_loop(
    api: FakeApi, kube: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def noted(delay: float) -> None:
        waits.append(delay)

    monkeypatch.setattr("kok.kube.watch.asyncio.sleep", noted)
    failures = iter(range(3))

    async def fail(_: web.Request) -> web.StreamResponse | None:
        return refusal(410, "Expired", "too old") if next(failures, None) is not None else None

    api.script("GET", "secrets", fail)

    await seen(kube, 1)

    assert len(waits) == 3
    assert waits[2] > waits[0] > 0
