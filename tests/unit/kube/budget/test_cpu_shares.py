"""What objects of one namespace cost to read delays those of no other."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count

import pytest
from aiohttp import web
from tests.unit.fakeapi import FakeApi

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.budget.cpu_shares import BYTE, FREE, NAMESPACE, STRETCH, CpuShares, shares
from kok.kube.budget.limits import META, TENANT
from kok.kube.client import Kube

COST = 0.2
"""Seconds of processor time that a page costs here."""
COUNTED = COST - STRETCH
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

    def shares(self) -> CpuShares:
        return CpuShares(self.clock)


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

    monkeypatch.setattr("kok.kube.budget.cpu_shares.asyncio.sleep", sleep)
    return found


async def works(machine: Machine, shares: CpuShares, namespace: str, times: int = ROUNDS) -> None:
    """Passes of a namespace, each of which keeps the loop for `COST`."""
    for _ in range(times):
        await shares.rest(namespace)
        machine.compute(namespace)
        shares.worked(namespace, COST)
        await asyncio.sleep(0)


@asynccontextmanager
async def somebody(shares: CpuShares) -> AsyncIterator[None]:
    """Another namespace that is looked after, once a second, without any delay."""

    async def live() -> None:
        while True:
            shares.worked("good", 0.001)
            await asyncio.sleep(0)

    task = asyncio.create_task(live())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_who_keeps_the_loop_gets_a_share_of_it(machine: Machine) -> None:
    shares = machine.shares()
    async with somebody(shares):
        await asyncio.gather(*(works(machine, shares, "bad", 20) for _ in range(12)))
    assert machine.used["bad"] == pytest.approx(12 * 20 * COST)
    # Twelve at a time may have begun before it was known what they cost.
    counted = machine.used["bad"] * COUNTED / COST
    assert counted <= CpuShares.SHARE * machine.now + CpuShares.BURST + 12 * COST


async def test_all_of_them_together_get_that_share(machine: Machine) -> None:
    shares, many = machine.shares(), [f"bad{n}" for n in range(8)]
    async with somebody(shares):
        await asyncio.gather(*(works(machine, shares, name, 20) for name in many for _ in range(2)))
    counted = sum(machine.used.values()) * COUNTED / COST
    assert counted <= CpuShares.SHARE * machine.now + len(many) * (CpuShares.BURST + 2 * COST)


async def test_each_of_them_gets_the_same(machine: Machine) -> None:
    shares, many = machine.shares(), [f"bad{n}" for n in range(8)]
    async with somebody(shares):
        tasks = [asyncio.create_task(works(machine, shares, name)) for name in many]
        await machine.until(40)
        for task in tasks:
            task.cancel()
    # Who came first had a burst that went by faster.
    assert max(machine.used.values()) <= min(machine.used.values()) + CpuShares.BURST + 2 * COST


async def test_nobody_else_rests(machine: Machine) -> None:
    shares = machine.shares()
    shares.owe("bad", 100)
    shares.worked("good", 0.001)
    assert shares.left("bad") > 0
    for _ in range(1000):
        machine.compute("good", 0.01)
        shares.worked("good", 0.01)
        await shares.rest("good")
    assert not machine.slept
    assert shares.left("good") == 0


async def test_who_is_alone_rests_for_nobody(machine: Machine) -> None:
    shares = machine.shares()
    shares.worked("good", 0.001)
    machine.now += CpuShares.RECENT + 0.1
    await works(machine, shares, "large", 50)
    # Nor do those that keep the loop as well.
    await works(machine, shares, "as large", 50)
    assert not machine.slept
    shares.worked("good", 0.001)
    assert shares.left("large") > 0


async def test_many_on_a_slow_machine_who_are_a_bit_late_do_not_rest(machine: Machine) -> None:
    shares = machine.shares()
    for turn in range(30):
        for number in range(200):
            shares.worked(f"n{number}", STRETCH * 1.25)
        machine.now += 10
        assert not any(shares.left(f"n{number}") for number in range(200)), turn


async def test_who_rests_is_served_in_the_order_in_which_it_came(machine: Machine) -> None:
    shares, served = machine.shares(), list[int]()

    async def one(number: int) -> None:
        await shares.rest("bad")
        served.append(number)
        machine.compute("bad")
        shares.worked("bad", COST)

    shares.owe("bad", 3)
    async with somebody(shares):
        await asyncio.gather(*(one(number) for number in range(10)))
    assert served == list(range(10))


async def test_nobody_waits_for_what_another_owes(api: FakeApi, kube: Kube) -> None:
    shares().owe("bad", 1000)
    shares().worked("good", 0.001)
    meta = {"name": "it", "namespace": "bad"}
    api.put(
        "/api/v1/namespaces/bad/configmaps/it",
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta},
    )

    async def look(namespace: str) -> int:
        NAMESPACE.set(namespace)
        return len(await kube.list(kinds.CONFIGMAP, "bad"))

    # It is not its own work that waits: as when all Jobs are counted, or a host's owner is looked for.
    assert await asyncio.create_task(look("good")) == 1
    assert await asyncio.create_task(look("")) == 1
    own = asyncio.create_task(look("bad"))
    done, _ = await asyncio.wait({own}, timeout=0.3)
    assert not done
    own.cancel()


async def test_what_was_used_is_paid_and_forgotten(machine: Machine) -> None:
    shares = machine.shares()
    shares.owe("bad", CpuShares.BURST + 1)
    shares.worked("good", 0.001)
    assert shares.left("bad") > 0
    machine.now += (CpuShares.BURST + 1) / CpuShares.SHARE + 1
    shares.worked("good", 0.001)
    assert shares.left("bad") == 0
    assert not shares._accounts
    machine.now += CpuShares.RECENT + 1
    shares.owe("bad", CpuShares.BURST + 1)
    assert shares.left("bad") == 0
    assert not shares._seen


async def test_large_answers_count_for_their_namespace_and_small_ones_for_nobody(
    api: FakeApi, kube: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: dict[str, float] = {}
    monkeypatch.setattr(shares(), "owe", lambda name, cost: counted.update({name: cost}))

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
    assert set(counted) == {"large"}
    assert FREE * BYTE < counted["large"] < 1


async def test_a_page_that_is_too_large_counts_too_and_is_not_read_again_the_next_time(
    api: FakeApi, kube: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    kube._transport.limits = replace(META, answer=FREE * 4, page=64)
    for number in range(16):
        meta = {"name": f"c{number}", "namespace": "ns"}
        path = f"/api/v1/namespaces/ns/configmaps/c{number}"
        data = {"x": "y" * FREE}
        api.put(path, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data})
    limits: list[str] = []
    counted = 0.0

    async def listing(request: web.Request) -> web.StreamResponse:
        start, limit = int(request.query.get("continue", "0")), int(request.query["limit"])
        limits.append(str(limit))
        items = [o for p, o in sorted(api.objects.items()) if "/configmaps/" in p]
        more = str(start + limit) if start + limit < len(items) else ""
        found = items[start : start + limit]
        return web.json_response(
            {"metadata": {"resourceVersion": "1", "continue": more}, "items": found}
        )

    def owe(_: str, cost: float) -> None:
        nonlocal counted
        counted += cost

    monkeypatch.setattr(shares(), "owe", owe)
    api.script("GET", "configmaps", listing)
    assert len(await kube.list(kinds.CONFIGMAP, "ns")) == 16
    assert limits[0] == "64"
    assert counted > 16 * FREE * BYTE
    limits.clear()
    assert len(await kube.list(kinds.CONFIGMAP, "ns")) == 16
    assert "64" not in limits


async def test_a_business_clusters_namespaces_are_nobodys_account(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta = {"name": "it", "namespace": "ns"}
    data = {"x": "y" * FREE}
    api.put(
        "/api/v1/namespaces/ns/configmaps/it",
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data},
    )
    # On a machine that takes long to read what arrives.
    ticks = count()
    monkeypatch.setattr("kok.kube.http.inbound.cpu_seconds", lambda: float(next(ticks)))
    async with await Kube.from_kubeconfig(
        api.kubeconfig(), field_manager="test", limits=TENANT
    ) as tenant:
        await tenant.get(kinds.CONFIGMAP, "it", "ns")
        assert not shares()._accounts
        NAMESPACE.set("team-a")
        await tenant.get(kinds.CONFIGMAP, "it", "ns")
    assert list(shares()._accounts) == ["team-a"], "whose Cluster it is"


async def test_what_is_made_of_many_objects_is_paid_and_done_piece_by_piece(
    api: FakeApi, kube: Kube, monkeypatch: pytest.MonkeyPatch
) -> None:
    processor, turns, done, paid = [0.0], [0], list[int](), list[float]()
    monkeypatch.setattr(shares(), "owe", lambda _, seconds: paid.append(seconds))
    for number in range(12):
        api.put(
            f"/api/v1/namespaces/ns/configmaps/it-{number}",
            {"kind": "ConfigMap", "metadata": {"name": f"it-{number}", "namespace": "ns"}},
        )

    def keep(manifest: Manifest) -> Manifest:
        processor[0] += STRETCH / 2
        done.append(turns[0])
        return manifest

    async def others() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    monkeypatch.setattr("kok.kube.lists.collect.cpu_seconds", lambda: processor[0])
    beside = asyncio.create_task(others())
    NAMESPACE.set("ns")
    found = await kube.list(kinds.CONFIGMAP, "ns", keep=keep)
    beside.cancel()
    assert len(found) == 12
    assert max(map(done.count, done)) == 3, "others had no turn"
    assert sum(paid) > 4 * STRETCH
