"""Who may use a connection to an API server next, and how long it is worth waiting for one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ConnectionSlots:
    """As many requests and streams at a time as there are connections; others wait in order.

    A request's own time begins with its turn: a thousand that are sent at once to a server that
    answers each in time are not late because of each other. Who waits gives up when the server has
    answered nobody for as long as one answer may take.
    """

    def __init__(self, connections: int) -> None:
        """Needs a running event loop."""
        self._loop = asyncio.get_running_loop()
        self._free = asyncio.Semaphore(connections)
        self._answered = self._loop.time()

    def answered(self) -> None:
        """The server has answered somebody, to the end."""
        self._answered = self._loop.time()

    @asynccontextmanager
    async def one(self, patience: float) -> AsyncIterator[None]:
        """Holds a connection. `patience` is in seconds; raises `TimeoutError`."""
        await self._wait(patience)
        try:
            yield
        finally:
            self._free.release()

    async def _wait(self, patience: float) -> None:
        since = self._loop.time()
        while True:
            ends = max(since, self._answered) + patience
            try:
                async with asyncio.timeout_at(ends):
                    await self._free.acquire()
            except TimeoutError:
                if self._answered + patience <= self._loop.time():
                    raise
            else:
                return
