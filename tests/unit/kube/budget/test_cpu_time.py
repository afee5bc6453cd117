"""Who is charged with processor time is not charged with garbage collections."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator

import pytest

from kok.kube.budget.cpu_shares import NAMESPACE, STRETCH
from kok.kube.budget.cpu_time import cpu_seconds
from kok.runtime.process.event_loop import MeteredLoop


@pytest.fixture(scope="module")
def crowd() -> Iterator[list[object]]:
    """So much that a full collection takes much longer than a step that is not counted."""
    held: list[object] = []
    while collecting() < 5 * STRETCH:
        held.extend([n, [n]] for n in range(100_000))
    yield held
    held.clear()


def collecting() -> float:
    """Seconds that a full collection takes."""
    began = time.thread_time()
    gc.collect()
    return time.thread_time() - began


@pytest.mark.parametrize("generation", [0, 1, 2])
def test_a_collection_is_nobodys(crowd: list[object], generation: int) -> None:
    gc.disable()
    crowd.extend([n, [n]] for n in range(100_000))
    gc.enable()
    before, began = cpu_seconds(), time.thread_time()
    gc.collect(generation)
    counted, passed = cpu_seconds() - before, time.thread_time() - began
    assert counted < passed / 5


def test_all_else_counts() -> None:
    before, began = cpu_seconds(), time.thread_time()
    while time.thread_time() - began < STRETCH:
        pass
    assert cpu_seconds() - before >= STRETCH


def test_what_another_thread_collects_is_not_taken_off_this_ones(crowd: list[object]) -> None:
    before = cpu_seconds()
    thread = threading.Thread(target=gc.collect)
    thread.start()
    thread.join()
    assert cpu_seconds() >= before


def test_a_namespace_in_whose_work_a_collection_comes_need_not_rest(crowd: list[object]) -> None:
    async def work() -> float:
        NAMESPACE.set("unlucky")
        shares = loop.shares
        # As many as come in some minutes.
        for _ in range(20):
            await asyncio.sleep(0)
            gc.collect()
        await asyncio.sleep(0)
        shares.worked("another", 0.0)
        return shares.left("unlucky")

    loop = MeteredLoop()
    try:
        assert loop.run_until_complete(loop.create_task(work())) == 0.0
    finally:
        loop.close()
