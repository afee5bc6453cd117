"""Places in scripts where these wait for the test, and the test for them.

Named pipes, opened so that nobody blocks: a thread that waits for the other side cannot be ended, and
would keep the whole test run from its end.
"""

from __future__ import annotations

import os
from pathlib import Path

from e2e.polling import eventually

LIMIT = 180.0
"""Seconds after which nobody comes any more."""


async def read(fifo: Path, within: float = LIMIT) -> str:
    """The first that somebody writes into a named pipe; TimeoutError if nobody does."""
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        # Empty as long as nobody has opened it; an error while somebody has, and has not written.
        text = await eventually(lambda: os.read(reader, 4096), within, unless=(BlockingIOError,))
    finally:
        os.close(reader)
    return text.decode()


async def write(fifo: Path, text: str, within: float = LIMIT) -> None:
    """Writes for whoever reads a named pipe; TimeoutError if nobody does."""
    (writer,) = await eventually(
        lambda: [os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)], within, unless=(OSError,)
    )
    try:
        os.write(writer, text.encode())
    finally:
        os.close(writer)


class Gate:
    """One place: a script tells that it has come there, and goes on when it is told so."""

    def __init__(self, folder: Path) -> None:
        """Makes the pipes `reached` and `gate` in the folder."""
        self._reached, self._gate = folder / "reached", folder / "gate"
        os.mkfifo(self._reached)
        os.mkfifo(self._gate)
        self.script = f"echo >{self._reached}; cat {self._gate}"
        """What waits, for the shell."""

    async def reached(self) -> None:
        """Returns when the script has come here."""
        await read(self._reached)

    async def open(self) -> None:
        """Lets the script go on."""
        await write(self._gate, "go on\n")
