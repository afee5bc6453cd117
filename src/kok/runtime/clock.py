"""Time as a dependency, so that tests need not wait for it."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol


class Clock(Protocol):
    """Tells the time and waits."""

    def now(self) -> datetime:
        """The wall-clock time in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some fixed point, never going back."""
        ...

    async def wait(self, event: asyncio.Event, timeout: float) -> bool:
        """Waits until the event is set (True) or `timeout` seconds have passed (False)."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The machine's wall-clock time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since some moment before the process began; no change of the clock moves it."""
        return time.monotonic()

    async def wait(self, event: asyncio.Event, timeout: float) -> bool:
        """Waits until the event is set (True) or `timeout` seconds have passed (False)."""
        if event.is_set():
            return True
        try:
            async with asyncio.timeout(timeout):
                await event.wait()
        except TimeoutError:
            return event.is_set()
        return True


class FakeClock:
    """A clock that stands still until a test moves it with `advance`."""

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._start = start
        self._passed = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """The start, in UTC, and the seconds by which the clock was moved."""
        return self._start + timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        """Seconds by which the clock was moved."""
        return self._passed

    async def wait(self, event: asyncio.Event, timeout: float) -> bool:
        """Waits until the event is set (True) or `advance` has moved the clock so far (False)."""
        if event.is_set() or timeout <= 0:
            await asyncio.sleep(0)
            return event.is_set()
        alarm: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (self._passed + timeout, alarm)
        self._sleepers.append(entry)
        waiter = asyncio.ensure_future(event.wait())
        either: set[asyncio.Future[Any]] = {alarm, waiter}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiter.cancel()
            self._sleepers.remove(entry)
        return event.is_set()

    async def advance(self, seconds: float) -> None:
        """Moves the time on and lets everything that is due then run until it waits again."""
        end = self._passed + seconds
        await settle()
        while due := [entry for entry in self._sleepers if entry[0] <= end]:
            at, _ = min(due, key=lambda entry: entry[0])
            self._passed = max(self._passed, at)
            for when, alarm in due:
                if when <= self._passed and not alarm.done():
                    alarm.set_result(None)
            await settle()
        self._passed = end

    @property
    def waiting(self) -> int:
        """How many wait for the time to be moved."""
        return len(self._sleepers)

    @property
    def next_alarm(self) -> float | None:
        """Seconds until the earliest waiter is due, or None if nobody waits."""
        return min((at - self._passed for at, _ in self._sleepers), default=None)


async def settle(turns: int = 50) -> None:
    """Gives all other tasks of the loop a chance to run until they wait for something."""
    for _ in range(turns):
        await asyncio.sleep(0)
