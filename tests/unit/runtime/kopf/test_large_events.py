"""Who changes a large object again and again is not told of each time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kok.kube.budget.cpu_shares import FREE, CpuShares
from kok.runtime.kopf.large_events import HeldBack, place_of
from kok.runtime.kopf.partial_objects import _Lines

LARGE = "x" * FREE


def event(
    name: str = "a",
    version: int = 1,
    kind: str = "MODIFIED",
    *,
    namespace: str = "bad",
    large: bool = True,
    **meta: Any,
) -> bytes:
    found = {
        "annotations": {"namespace": "good"},
        **meta,
        "name": name,
        "namespace": namespace,
        "resourceVersion": str(version),
        "uid": f"u-{name}",
    }
    one = {"apiVersion": "kok.dev/v1alpha1", "kind": "Machine", "metadata": found}
    text = {"type": kind, "object": {**one, "spec": {"x": LARGE if large else ""}}}
    return json.dumps(text, separators=(",", ":")).encode()


@pytest.fixture
def shares() -> CpuShares:
    """In them `bad` has to rest, since `good` is looked after."""
    now = [0.0]
    found = CpuShares(lambda: now[0])
    found.clock = now  # type: ignore[attr-defined]
    found.owe("bad", 100)
    found.worked("good", 0.001)
    return found


def test_whose_event_it_is() -> None:
    assert place_of(event()) == ("bad", "a", "u-a")
    bare = (
        '{"type":"ADDED","object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1",'
        '"metadata":{"name":"a","namespace":"bad","uid":"u","labels":{"x":"' + LARGE * 4
    )
    assert place_of(bare.encode()) == ("bad", "a", "u")
    # What is said elsewhere in an object is not believed.
    odd = event(annotations={"x": LARGE * 2}, labels={"namespace": "good", "uid": "u"})
    assert place_of(odd) == ("bad", "a", "u-a")
    for text in (b"", b"{}", b'{"type":"BOOKMARK","object":{}}', event()[:40], b"\xff" * FREE):
        assert place_of(text) is None


def test_of_an_object_whose_namespace_rests_only_the_newest_is_told(shares: CpuShares) -> None:
    held = HeldBack(shares)
    assert [held.takes(event(version=n)) for n in range(50)] == [True] * 50
    assert held.takes(event("b"))
    assert not held.takes(event(namespace="good"))
    assert held.wait()
    assert not list(held.due())
    shares.clock[0] += 1000  # type: ignore[attr-defined]
    assert held.wait() == 0
    assert list(held.due()) == [event(version=49), event("b")]
    assert held.wait() is None


def test_what_is_newer_is_told_instead_however_small(shares: CpuShares) -> None:
    held = HeldBack(shares)
    assert held.takes(event(version=1))
    assert not held.takes(event("other", large=False))
    assert not held.takes(event(version=2, large=False))
    assert held.wait() is None, "what came before it is old"


def test_one_that_is_made_anew_is_another_object(shares: CpuShares) -> None:
    held = HeldBack(shares)
    assert held.takes(event(kind="DELETED"))
    assert held.takes(event().replace(b"u-a", b"u-c"))
    shares.clock[0] += 1000  # type: ignore[attr-defined]
    assert len(list(held.due())) == 2


def test_what_is_held_back_is_bounded(shares: CpuShares, monkeypatch: pytest.MonkeyPatch) -> None:
    held = HeldBack(shares)
    monkeypatch.setattr("kok.runtime.kopf.large_events.MOST", 2000)
    told = 0
    for number in range(100):
        held.takes(event(f"n{number}"))
        told += len(list(held.due()))
    assert 0 < told < 100
    assert shares.held <= 2000
    held.drop()
    assert shares.held == 0


class Content:
    """A stream as a test writes it."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.error: Exception | None = None

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        while (chunk := await self.queue.get()) is not None:
            for start in range(0, len(chunk), size):
                yield chunk[start : start + size]
        if self.error is not None:
            raise self.error


def versions(chunks: list[bytes]) -> list[tuple[str, str]]:
    metas = [json.loads(chunk)["object"]["metadata"] for chunk in chunks]
    return [(meta["name"], meta["resourceVersion"]) for meta in metas]


async def test_a_stream_tells_others_at_once_and_the_next_one_what_still_waits(
    shares: CpuShares, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kok.runtime.kopf.partial_objects.shares", lambda: shares)
    first, second = Content(), Content()
    lines: Any = _Lines(first)  # type: ignore[arg-type]
    again: Any = _Lines(second)  # type: ignore[arg-type]
    again.held = lines.held
    for number in range(20):
        first.queue.put_nowait(event(version=number) + b"\n")
    first.queue.put_nowait(event("b", 30, namespace="good") + b"\n")
    first.queue.put_nowait(None)
    async with asyncio.timeout(60):
        assert versions([chunk async for chunk in lines.iter_chunked(1000)]) == [("b", "30")]
        stream = again.iter_chunked(1000)
        shares.clock[0] += 1000  # type: ignore[attr-defined]
        assert versions([await anext(stream)]) == [("a", "19")]
        await stream.aclose()


async def test_a_listener_that_goes_leaves_nothing_behind(
    shares: CpuShares, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kok.runtime.kopf.partial_objects.shares", lambda: shares)
    content = Content()
    lines: Any = _Lines(content)  # type: ignore[arg-type]
    stream = lines.iter_chunked(1000)
    content.queue.put_nowait(event("b", namespace="good") + b"\n")
    async with asyncio.timeout(60):
        assert await anext(stream)
        waiting = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await stream.aclose()
    assert len(asyncio.all_tasks()) == 1
