"""How many commands run at once on one connection: no more than the host's sshd allows."""

from __future__ import annotations

import asyncio

MOST = 4
"""sshd allows 10 by default (`MaxSessions`), and an administrator may allow fewer, down to one."""


class Channels:
    """Places for commands on one connection. How many there are is found out by being refused."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._taken = 0
        self._freed = asyncio.Event()

    @property
    def busy(self) -> bool:
        """Whether any command is under way."""
        return self._taken > 0

    @property
    def most(self) -> int:
        """How many there are, as far as is known."""
        return self._most

    async def take(self) -> None:
        """Waits for a place; `free` gives it back."""
        while self._taken >= self._most:
            self._freed.clear()
            await self._freed.wait()
        self._taken += 1

    def free(self) -> None:
        """A command has ended."""
        self._taken -= 1
        self._freed.set()

    async def refused(self) -> bool:
        """The host opened no channel for a place that was taken: it is taken anew, among fewer.

        False, at once, if there were no others: then the host still counts one that is over, or
        allows none.
        """
        if self._taken <= 1:
            return False
        self._most = min(self._most, self._taken - 1)
        self.free()
        await self.take()
        return True
