"""Passes that hold much of what they read, and others that must not wait for them."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from tests.unit.fakeapi import FakeApi
from tests.unit.runtime.widgets import KEY, Bench, Widget

from kok.kube import kinds
from kok.kube.budget.limits import MIB
from kok.kube.budget.pass_memory import PassMemoryExceeded
from kok.kube.client import Kube
from kok.runtime.controller.reconciler import Pass
from kok.runtime.fairness.memory import MemoryTurns, PassSize
from kok.runtime.fairness.slots import GaveWay

SIZES = (PassSize(64 * 1024), PassSize(MIB, at_once=2, share=1))
MUCH, TOO_MUCH = 500_000, 2_000_000


META = {"metadata": {"namespace": "ns"}}


def put(api: FakeApi, *sizes: int) -> None:
    """Secrets of so many bytes."""
    for number, size in enumerate(sizes):
        path = f"/api/v1/namespaces/ns/secrets/s{number}"
        api.put(path, {"apiVersion": "v1", "kind": "Secret", "data": {"x": "x" * size}} | META)


@pytest.fixture
def room(api: FakeApi, kube: Kube) -> Bench:
    one = Bench(api, kube, MemoryTurns(SIZES))
    one.put()
    return one


async def reads(p: Pass[Widget]) -> None:
    await p.kube.list(kinds.SECRET, "ns")
    p.set_condition("Ready", True, "Read")


async def test_who_needs_more_room_has_it_and_lets_go_of_what_it_read_before(room: Bench) -> None:
    put(room.api, MUCH)
    assert (await room.run(reads)).end == "ok"
    assert room.ready[0] == "True"
    assert len(room.reconciler.passes) == 2, "begun anew with its turn"
    await room.run()
    assert len(room.reconciler.passes) == 3, "it is known by now"


async def test_who_needs_little_waits_for_nobody(room: Bench) -> None:
    put(room.api, 1000)
    assert (await room.run(reads)).end == "ok"
    assert len(room.reconciler.passes) == 1


@pytest.mark.parametrize("sizes", [[TOO_MUCH], [300_000] * 4], ids=["one", "several"])
async def test_what_is_too_much_together_is_told(room: Bench, sizes: list[int]) -> None:
    put(room.api, *sizes)

    async def one_by_one(p: Pass[Widget]) -> None:
        for number in range(len(sizes)):
            await p.kube.get(kinds.SECRET, f"s{number}", "ns")

    assert (await room.run(one_by_one)).end == "error"
    status, reason, message = room.ready
    assert (status, reason) == ("False", "AnswerTooLarge")
    assert "more than 1 MiB of memory together, the largest of it Secret ns/s" in message
    assert "make that smaller" in message


class Hall:
    """Passes that stay in their rooms until they are let go."""

    def __init__(self, memory_turns: MemoryTurns) -> None:
        self.memory_turns = memory_turns
        self.inside: Counter[str] = Counter()
        self.leave = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    async def enter(self, size: int, *namespaces: str) -> None:
        self.tasks += [
            asyncio.create_task(self._one(("Widget", (n, str(len(self.tasks) + i))), size))
            for i, n in enumerate(namespaces)
        ]
        for _ in range(20):
            await asyncio.sleep(0)

    async def _one(self, owner: tuple[str, tuple[str, str]], size: int) -> None:
        while True:
            try:
                async with self.memory_turns.one(owner) as memory:
                    memory.add(size, "it")
                    self.inside[owner[1][0]] += 1
                    try:
                        await self.leave.wait()
                    finally:
                        self.inside[owner[1][0]] -= 1
                    return
            except PassMemoryExceeded:
                self.memory_turns.grew(owner)


async def test_of_a_namespace_few_that_hold_much_are_there_at_a_time() -> None:
    hall = Hall(MemoryTurns(SIZES))
    await hall.enter(MUCH, *["loud"] * 10)
    assert hall.inside == {"loud": 1}
    await hall.enter(MUCH, "quiet", "third")
    assert hall.inside["loud"] + hall.inside["quiet"] + hall.inside["third"] == 2
    await hall.enter(10, "small", "loud")
    assert (hall.inside["small"], hall.inside["loud"]) == (1, 2), "who holds little goes on"
    hall.leave.set()
    await asyncio.gather(*hall.tasks)


async def test_who_holds_much_for_long_makes_room_and_says_so(api: FakeApi, kube: Kube) -> None:
    memory_turns = MemoryTurns((PassSize(64 * 1024), PassSize(MIB, at_once=1)), span=0.0)
    bench = Bench(api, kube, memory_turns)
    bench.put()
    put(api, MUCH)
    hall = Hall(memory_turns)

    async def slow(p: Pass[Widget]) -> None:
        await p.kube.list(kinds.SECRET, "ns")
        await hall.enter(MUCH, "other")
        await asyncio.Event().wait()

    assert (await bench.run(slow)).end == "error"
    hall.leave.set()
    status, reason, message = bench.ready
    assert (status, reason) == ("False", "NoRoom")
    assert "its next turn comes by itself" in message
    for task in hall.tasks:
        try:
            await task
        except GaveWay:
            pytest.fail("nobody waited for it")


async def test_an_object_that_is_large_itself_is_looked_after_in_its_turn(
    api: FakeApi, kube: Kube
) -> None:
    memory_turns = MemoryTurns(SIZES)
    room, hall = Bench(api, kube, memory_turns), Hall(memory_turns)
    room.put(annotations={"x": "x" * TOO_MUCH})
    await hall.enter(MUCH, "ns")
    one = asyncio.create_task(room.run())
    answered = asyncio.Event()

    async def waits(p: Pass[Widget]) -> None:
        assert hall.leave.is_set(), "another of its namespace has the turn"
        answered.set()

    room.reconciler.act = waits
    for _ in range(5):
        # What is asked before it is answered before it.
        await kube.get(kinds.SECRET, "none", "ns")
    hall.leave.set()
    assert (await one).end == "ok"
    assert answered.is_set()


async def test_room_that_is_needed_no_more_is_given_back(room: Bench) -> None:
    put(room.api, MUCH)
    await room.run(reads)
    put(room.api, 10)
    await room.run()
    before = len(room.reconciler.passes)
    put(room.api, MUCH)
    await room.run()
    assert len(room.reconciler.passes) == before + 2, "small again until it is known better"


async def test_nothing_is_remembered_of_what_is_gone(room: Bench) -> None:
    put(room.api, MUCH)
    await room.run(reads)
    room.passes.forget(KEY)
    before = len(room.reconciler.passes)
    await room.run()
    assert len(room.reconciler.passes) == before + 2
