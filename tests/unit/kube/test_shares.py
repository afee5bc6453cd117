"""What objects of one namespace cost to read delays those of no other."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from dataclasses import dataclass, field

import pytest
from tests.unit.fakeapi import FakeApi

from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.shares import FREE, Shares, Stopwatch

SHARE = 0.3
COST = 0.2
"""Seconds of processor time that a page costs here."""
ROUNDS = 400


@dataclass
class Machine:
    """One processor; time goes on by what is computed, and by what is slept if nothing is."""

    now: float = 0.0
    busy: float = 0.0
    used: Counter[str] = field(default_factory=Counter)
    slept: list[float] = field(default_factory=list)
    goal: float = math.inf
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, used: float) -> None:
        """Returns when so much was computed in all."""
        self.goal = used
        await self.reached.wait()

    def compute(self, namespace: str, seconds: float = COST) -> None:
        self.now += seconds
        self.busy += seconds
        self.used[namespace] += seconds
        if self.busy >= self.goal:
            self.reached.set()

    def clock(self) -> float:
        return self.now

    def cpu(self) -> float:
        return self.busy

    def shares(self, share: float | None = SHARE) -> Shares:
        return Shares(share, self.clock, self.cpu)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """All who sleep are woken in the order of their times, as by an event loop."""
    found, real = Machine(), asyncio.sleep
    sleeping: list[float] = []

    async def sleep(seconds: float) -> None:
        if seconds <= 0:
            return await real(0)
        until = found.now + seconds
        found.slept.append(seconds)
        sleeping.append(until)
        for _ in range(20):
            await real(0)
        while min(sleeping) < until:
            await real(0)
        found.now = max(found.now, until)
        sleeping.remove(until)
        return None

    monkeypatch.setattr("kok.kube.shares.asyncio.sleep", sleep)
    return found


async def reads(machine: Machine, shares: Shares, namespace: str, times: int = ROUNDS) -> None:
    for _ in range(times):
        async with shares.turn(namespace):
            with shares.reading(namespace):
                machine.compute(namespace)


async def test_who_is_expensive_to_read_gets_a_share_of_the_process(machine: Machine) -> None:
    shares = machine.shares()
    await asyncio.gather(*(reads(machine, shares, "bad", 30) for _ in range(12)))
    assert machine.used["bad"] > 50
    # Twelve at a time may have begun before it was known what they cost.
    assert machine.used["bad"] <= SHARE * machine.now + Shares.BURST + 12 * COST


async def test_all_of_them_together_get_that_share_and_each_the_same(machine: Machine) -> None:
    shares, many = machine.shares(), [f"bad{n}" for n in range(8)]
    await asyncio.gather(*(reads(machine, shares, name, 60) for name in many for _ in range(2)))
    used = sum(machine.used.values())
    assert used <= SHARE * machine.now + len(many) * (Shares.BURST + 2 * COST)


async def test_each_of_them_gets_the_same(machine: Machine) -> None:
    shares, many = machine.shares(), [f"bad{n}" for n in range(8)]
    tasks = [asyncio.create_task(reads(machine, shares, name)) for name in many]
    await machine.until(40)
    for task in tasks:
        task.cancel()
    # Who came first had a burst that went by faster.
    assert max(machine.used.values()) <= min(machine.used.values()) + Shares.BURST + 2 * COST


async def test_nobody_else_waits(machine: Machine) -> None:
    shares = machine.shares()
    bad = asyncio.create_task(reads(machine, shares, "bad"))
    await machine.until(5)
    before = len(machine.slept)
    for _ in range(20):
        async with shares.turn("good"):
            with shares.reading("good"):
                machine.compute("good", 0.001)
        async with shares.turn(None):
            pass
    assert len(machine.slept) == before
    bad.cancel()


async def test_what_was_used_is_paid_and_forgotten(machine: Machine) -> None:
    shares = machine.shares()
    await reads(machine, shares, "bad", 6)
    machine.now += (Shares.BURST + COST) / SHARE + 1
    before = len(machine.slept)
    await reads(machine, shares, "bad", 5)
    assert len(machine.slept) == before
    machine.now += 1000
    async with shares.turn(None):
        pass
    assert not shares._accounts


async def test_without_a_limit_nobody_waits(machine: Machine) -> None:
    await reads(machine, machine.shares(None), "own", 50)
    assert not machine.slept


async def test_a_watch_does_not_count_what_others_do_meanwhile(machine: Machine) -> None:
    watch = Stopwatch(machine.cpu)
    machine.compute("mine", 1)

    async def other() -> None:
        machine.compute("other", 5)

    task = asyncio.create_task(other())
    await watch.pause()
    await task
    machine.compute("mine", 2)
    # What ran between the pause and the task's end did so before the watch went on.
    assert watch.spent == pytest.approx(3)


async def test_large_answers_count_for_their_namespace_and_small_ones_for_nobody(
    api: FakeApi, kube: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = Shares(SHARE, lambda: 0.0, cpu := Ticking())
    monkeypatch.setattr(kube._transport, "_shares", shares)

    def config(namespace: str, size: int) -> None:
        meta = {"name": "it", "namespace": namespace}
        api.put(
            f"/api/v1/namespaces/{namespace}/configmaps/it",
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"x": "y" * size}},
        )

    config("small", 100)
    config("large", FREE)
    for namespace in ("small", "large"):
        await kube.get(kinds.CONFIGMAP, "it", namespace)
        assert len(await kube.list(kinds.CONFIGMAP, namespace)) == 1
    await kube.list(kinds.CONFIGMAP)
    assert cpu.read > 0
    assert set(shares._accounts) == {"large"}
    assert math.isfinite(shares._accounts["large"].due)


class Ticking:
    """A clock that goes on whenever it is read."""

    def __init__(self) -> None:
        self.read = 0.0

    def __call__(self) -> float:
        self.read += 0.001
        return self.read
