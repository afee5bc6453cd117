"""The two clocks agree on what waiting means."""

from __future__ import annotations

import asyncio

import pytest

from kok.runtime.clock import Clock, FakeClock, SystemClock


@pytest.mark.parametrize("clock", [SystemClock(), FakeClock()], ids=["system", "fake"])
async def test_an_event_that_is_set_is_not_waited_for(clock: Clock) -> None:
    event = asyncio.Event()
    event.set()
    assert await clock.wait(event, 1000)
    assert not await clock.wait(asyncio.Event(), 0)


async def test_a_real_wait_ends_by_time_or_by_the_event() -> None:
    clock, event = SystemClock(), asyncio.Event()
    assert not await clock.wait(event, 0.001)
    asyncio.get_running_loop().call_soon(event.set)
    assert await clock.wait(event, 1000)


async def test_a_fake_wait_ends_when_the_time_is_moved() -> None:
    clock = FakeClock()
    early = asyncio.create_task(clock.wait(asyncio.Event(), 5))
    late = asyncio.create_task(clock.wait(asyncio.Event(), 50))
    await clock.advance(10)
    assert early.done()
    assert not late.done()
    assert clock.next_alarm == 40
    await clock.advance(40)
    assert late.result() is False
    assert clock.monotonic() == 50
