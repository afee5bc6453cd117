"""Who leads, decided and tried out on a clock moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from aiohttp import web
from tests.unit.fakeapi import FakeApi, refusal

from kok.kube.client import Kube
from kok.runtime.clock import FakeClock
from kok.runtime.process.election import (
    HURRY,
    Elector,
    LeaseLost,
    Observed,
    deadline,
    decide,
    new_identity,
    observe,
    patience,
)

LEASE = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/l"


def lease(holder: str, renewed: str = "t1", duration: int = 15) -> dict[str, Any]:
    """A Lease."""
    spec = {"holderIdentity": holder, "renewTime": renewed, "leaseDurationSeconds": duration}
    api = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
    return {**api, "metadata": {"name": "l", "namespace": "ns"}, "spec": spec}


def test_a_lease_is_renewed_by_its_holder() -> None:
    assert decide(Observed("me", "t", 15, at=0), "me", now=1000) == "renew"


def test_a_free_lease_is_taken() -> None:
    assert decide(Observed("", "t", 15, at=0), "me", now=0) == "take"


def test_a_lease_of_another_is_taken_when_it_has_not_changed_for_its_duration() -> None:
    seen = Observed("other", "t", 15, at=100)
    assert decide(seen, "me", now=115) == "wait"
    assert decide(seen, "me", now=115.1) == "take"


def test_a_renewal_is_noticed_by_its_change_and_not_by_its_time() -> None:
    first = observe(lease("other", "1999"), None, now=0)
    same = observe(lease("other", "1999"), first, now=10)
    renewed = observe(lease("other", "1998"), same, now=12)
    assert (first.at, same.at, renewed.at) == (0, 0, 12)


@pytest.mark.parametrize(("duration", "renew"), [(15.0, 4.0), (3.0, 0.2), (15.0, 5.0), (60.0, 1.0)])
def test_a_leader_whose_requests_hang_stops_before_another_may_begin(
    duration: float, renew: float
) -> None:
    limit, passed, attempts = deadline(duration, renew), 0.0, 0
    while passed < limit:
        passed += patience(renew, passed, limit)  # the attempt
        passed += patience(renew * HURRY, passed, limit)
        attempts += 1
    assert passed < duration
    assert attempts > 1, "one lost request is not the end"


def test_no_two_processes_have_one_name() -> None:
    assert new_identity("pod") != new_identity("pod")


@pytest.fixture
async def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()


class Candidates:
    """Electors for one Lease."""

    def __init__(self, kube: Kube, clock: FakeClock) -> None:
        self.kube = kube
        self.clock = clock
        self.tasks: list[asyncio.Task[None]] = []

    def start(self, name: str) -> tuple[Elector, asyncio.Task[None]]:
        """One more candidate."""
        elector = Elector(
            self.kube,
            "l",
            "ns",
            name,
            clock=self.clock,
            duration=15,
            renew=4,
            log=structlog.stdlib.get_logger("test"),
        )
        self.tasks.append(asyncio.create_task(elector.run()))
        return elector, self.tasks[-1]

    async def go(self, seconds: int) -> None:
        """Moves the time on, second by second, as soon as all have done what they have to do."""
        for _ in range(seconds):
            await self._rest()
            await self.clock.advance(1)
        await self._rest()

    async def _rest(self) -> None:
        async with asyncio.timeout(60):
            # Nothing tells of the moment at which everybody waits for the time.
            while self.clock.waiting < sum(not task.done() for task in self.tasks):  # noqa: ASYNC110
                await asyncio.sleep(0)


@pytest.fixture
async def candidates(kube: Kube, clock: FakeClock) -> AsyncIterator[Candidates]:
    """Candidates, ended with the test."""
    one = Candidates(kube, clock)
    yield one
    for task in one.tasks:
        task.cancel()
    await asyncio.gather(*one.tasks, return_exceptions=True)


async def test_the_first_leads_and_the_second_waits(candidates: Candidates) -> None:
    first, _ = candidates.start("first")
    await candidates.go(1)
    second, _ = candidates.start("second")
    await candidates.go(60)
    assert first.leading.is_set()
    assert not second.leading.is_set()


async def test_a_released_lease_is_taken_within_one_interval(candidates: Candidates) -> None:
    first, task = candidates.start("first")
    await candidates.go(1)
    second, _ = candidates.start("second")
    await candidates.go(5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await first.release()
    await candidates.go(5)
    assert second.leading.is_set()


@pytest.mark.parametrize(("there", "method"), [(False, "POST"), (True, "PUT")])
async def test_whoever_is_stopped_while_it_takes_the_lease_gives_it_back(
    api: FakeApi, candidates: Candidates, there: bool, method: str
) -> None:
    if there:
        api.put(LEASE, lease(""))
    asked, answered = asyncio.Event(), asyncio.Event()

    async def slow(_: web.Request) -> None:
        asked.set()
        await answered.wait()

    api.script(method, "leases", slow)
    first, task = candidates.start("first")
    await asked.wait()
    task.cancel()
    asyncio.get_running_loop().call_later(0, answered.set)
    await asyncio.gather(task, return_exceptions=True)

    await first.release()

    assert task.cancelled()
    assert api.objects[LEASE]["spec"]["holderIdentity"] == ""


async def test_a_dead_leader_is_followed_after_the_duration(
    api: FakeApi, candidates: Candidates
) -> None:
    api.put(LEASE, lease("dead"))
    second, _ = candidates.start("second")
    await candidates.go(14)
    assert not second.leading.is_set()
    await candidates.go(6)
    assert second.leading.is_set()
    spec = api.objects[LEASE]["spec"]
    assert spec["holderIdentity"] == "second"
    assert spec["leaseTransitions"] == 1


async def test_a_leader_that_cannot_renew_stops_before_another_may_begin(
    api: FakeApi, candidates: Candidates
) -> None:
    elector, task = candidates.start("first")
    await candidates.go(1)
    assert elector.leading.is_set()

    async def fail(_: web.Request) -> web.StreamResponse:
        return refusal(503, "ServiceUnavailable", "down")

    api.script("*", "leases", fail)
    await candidates.go(8)
    assert not task.done(), "a short outage does no harm"
    await candidates.go(7)
    assert isinstance(task.exception(), LeaseLost)


async def test_a_leader_whose_lease_was_taken_stops_at_once(
    api: FakeApi, candidates: Candidates
) -> None:
    _, task = candidates.start("first")
    await candidates.go(1)
    api.put(LEASE, lease("thief", "t9"))
    await candidates.go(5)
    assert isinstance(task.exception(), LeaseLost)


async def test_of_two_at_the_same_time_one_leads(candidates: Candidates) -> None:
    first, _ = candidates.start("first")
    second, _ = candidates.start("second")
    await candidates.go(10)
    assert first.leading.is_set() != second.leading.is_set()
