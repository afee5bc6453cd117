"""Tasks end, also those that lost the first cancellation to an error that they bear."""

from __future__ import annotations

import asyncio

from tests.ending import ended


async def test_a_task_that_loses_a_cancellation_is_asked_again() -> None:
    begun, lost = asyncio.Event(), 0

    async def stubborn() -> None:
        nonlocal lost
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            lost += 1
        await asyncio.Event().wait()

    task = asyncio.create_task(stubborn())
    await begun.wait()
    assert await ended([task]) == [None]
    assert (lost, task.cancelled()) == (1, True)


async def test_what_a_task_failed_with_is_told() -> None:
    async def fails() -> None:
        raise ValueError

    task = asyncio.create_task(fails())
    await asyncio.wait([task])
    [error] = await ended([task])
    assert isinstance(error, ValueError)
