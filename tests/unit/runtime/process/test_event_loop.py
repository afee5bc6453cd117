"""The event loop knows for whom it works."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest

from kok.kube.budget.cpu_shares import NAMESPACE, STRETCH, CpuShares
from kok.runtime.process.event_loop import MeteredLoop, at_nobodys_expense


class Counting(CpuShares):
    """Notes what it is told, beside what it does with it."""

    def __init__(self) -> None:
        super().__init__(lambda: 0.0)
        self.worked_for: Counter[str] = Counter()
        self.owed: Counter[str] = Counter()

    def worked(self, namespace: str, seconds: float) -> None:
        self.worked_for[namespace] += 1
        super().worked(namespace, seconds)

    def owe(self, namespace: str, seconds: float) -> None:
        self.owed[namespace] += seconds
        super().owe(namespace, seconds)


class Processor:
    """Time that goes on by what is computed."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def processor() -> Processor:
    return Processor()


@pytest.fixture
def loop(processor: Processor) -> Iterator[MeteredLoop]:
    made = MeteredLoop(processor)
    made.shares = Counting()
    yield made
    made.close()


async def one(processor: Processor, seconds: float) -> str:
    processor.now += seconds
    await asyncio.sleep(0)
    processor.now += seconds
    return NAMESPACE.get()


def test_what_a_namespaces_tasks_compute_goes_to_its_account(
    loop: MeteredLoop, processor: Processor
) -> None:
    async def a_pass(namespace: str, seconds: float) -> None:
        NAMESPACE.set(namespace)
        # What a task begins is the same one's.
        await asyncio.gather(*(one(processor, seconds) for _ in range(3)))

    async def all_of_them() -> None:
        passes = [asyncio.create_task(a_pass("large", 10 * STRETCH))]
        passes += [asyncio.create_task(a_pass("small", STRETCH / 10))]
        await asyncio.gather(*passes)
        processor.now += 100  # the operator's own

    loop.run_until_complete(all_of_them())
    shares = loop.shares
    assert isinstance(shares, Counting)
    assert shares.owed["large"] == pytest.approx(3 * 2 * 9 * STRETCH)
    assert shares.owed.keys() == {"large"}
    assert shares.worked_for["small"] >= 6


def test_what_fails_is_paid_as_well(loop: MeteredLoop, processor: Processor) -> None:
    def fail() -> None:
        processor.now += 1
        raise ValueError("no")

    told: list[object] = []
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))

    async def main() -> None:
        NAMESPACE.set("bad")
        loop.call_soon(fail)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    loop.run_until_complete(main())
    assert len(told) == 1
    assert isinstance(loop.shares, Counting)
    assert loop.shares.owed["bad"] == 1 - STRETCH


def test_what_all_have_a_use_for_is_nobodys(loop: MeteredLoop, processor: Processor) -> None:
    async def main() -> str:
        NAMESPACE.set("first")
        return await at_nobodys_expense(one(processor, 1))

    assert loop.run_until_complete(main()) == ""
    assert isinstance(loop.shares, Counting)
    assert not loop.shares.owed
