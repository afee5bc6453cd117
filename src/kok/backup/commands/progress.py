"""How far a command is: lines for the log at a bounded rate, and what it took in the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from kok.backup import log
from kok.backup.report import Usage

EVERY = 5.0
"""Seconds between two lines."""
_MIB = 1024**2


class Progress:
    """Counts the bytes of what streams; a context manager around each stretch of it."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._bytes = 0
        self._first = ""
        self._streamed = (0, 0.0)

    def count(self, size: int) -> None:
        """So many bytes more went by."""
        self._bytes += size

    @asynccontextmanager
    async def stretch(self, what: str, total: int | None = None) -> AsyncIterator[None]:
        """Logs how far it is meanwhile.

        The first stretch of a command gives its throughput, and the last one if it was repeated.
        """
        self._bytes = 0
        began = time.monotonic()
        teller = asyncio.create_task(self._tell(what, began, total))
        try:
            yield
        finally:
            teller.cancel()
        seconds = max(time.monotonic() - began, 1e-3)
        if what == (self._first or what):
            self._first, self._streamed = what, (self._bytes, seconds)
        self._log(what, seconds, total, done=True)

    def usage(self) -> Usage:
        """What the command took so far."""
        size, seconds = self._streamed
        return Usage(
            seconds=round(time.monotonic() - self._began, 3),
            bytes_per_second=round(size / seconds) if size else 0,
            peak_memory=peak_memory(),
        )

    async def _tell(self, what: str, began: float, total: int | None) -> None:
        while True:
            await asyncio.sleep(EVERY)
            self._log(what, time.monotonic() - began, total, done=False)

    def _log(self, what: str, seconds: float, total: int | None, *, done: bool) -> None:
        log.info(
            what,
            done=done,
            bytes=self._bytes,
            total=total,
            mib_per_second=round(self._bytes / _MIB / seconds, 1),
            peak_memory=peak_memory(),
        )


def peak_memory() -> int:
    """Most resident memory of this process so far, in bytes.

    Not from getrusage, which goes on counting from the process that started this one.
    """
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
