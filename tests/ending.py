"""The end of tasks that go on for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN = 1.0
"""Seconds after which a task that goes on is asked once more."""


async def ended(tasks: Iterable[asyncio.Task[Any]]) -> list[BaseException | None]:
    """Cancels tasks and waits for their ends: the error of each, None without.

    Where several things are awaited at once and one fails in the very moment of the cancellation, it
    is that error which arrives, and a task that bears it goes on as if nobody had asked: so it is
    asked until it ends.
    """
    every = list(tasks)
    while left := [task for task in every if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=AGAIN)
    return [None if task.cancelled() else task.exception() for task in every]
