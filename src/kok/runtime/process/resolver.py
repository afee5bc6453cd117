"""Look-ups of names in threads of their own, shared fairly by namespace.

A tenant decides on names (of hosts, endpoints, stores) and may own the server that answers for
them. The system's resolver waits for a silent one for most of a minute, in a thread that nothing
can end; by itself asyncio has six of them, for all look-ups and for all other work in threads.
"""

from __future__ import annotations

import asyncio
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from kok.kube.budget.cpu_shares import NAMESPACE
from kok.runtime.fairness.slots import FairSlots
from kok.runtime.process.event_loop import MeteredLoop

THREADS: Final = 64
EACH: Final = 4
"""Look-ups at a time for one namespace."""
PATIENCE: Final = "timeout:2 attempts:2"
"""What the system's resolver is told, unless the environment says otherwise."""


def shorten_lookups() -> None:
    """To be called before the first look-up of the process."""
    os.environ.setdefault("RES_OPTIONS", PATIENCE)


class ProcessLoop(MeteredLoop):
    """The event loop of the process: whatever library asks it for addresses, this is how."""

    def __init__(self) -> None:
        super().__init__()
        self._threads = ThreadPoolExecutor(THREADS, "lookup")
        self._slots = FairSlots(THREADS, share=EACH)

    async def getaddrinfo(self, host: Any, port: Any, **options: int) -> Any:
        """Addresses of a host, as `socket.getaddrinfo` has them; raises `OSError`.

        Looked up in a thread: `EACH` at a time for a namespace, for the operator as asyncio does.
        """
        work = partial(socket.getaddrinfo, host, port, **options)
        namespace = NAMESPACE.get()
        if not namespace:
            return await self.run_in_executor(None, work)
        begun = asyncio.Event()
        looking = self.create_task(self._look_up(namespace, work, begun))
        try:
            # Its thread goes on in any case, and keeps its place as long.
            return await asyncio.shield(looking)
        except asyncio.CancelledError:
            if not begun.is_set():
                looking.cancel()
            looking.add_done_callback(lambda task: task.cancelled() or task.exception())
            raise

    async def _look_up(self, namespace: str, work: Any, begun: asyncio.Event) -> Any:
        async with self._slots.one(namespace):
            begun.set()
            return await self.run_in_executor(self._threads, work)

    def close(self) -> None:
        """Closes the loop; look-ups that are under way are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        super().close()
