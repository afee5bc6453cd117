"""The connections of the operator: one a host, opened when needed, reused, never shared."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from kok.kube.budget.cpu_shares import NAMESPACE
from kok.operators.machine.remote.ssh.address_ranges import ANYWHERE, Bounds
from kok.operators.machine.remote.ssh.bastion import Bastions
from kok.operators.machine.remote.ssh.connection import Connection, Target, Timeouts
from kok.operators.machine.remote.ssh.errors import HostError, HostKeyChanged, LoginRefused
from kok.operators.machine.remote.ssh.login import LetIn, Logins
from kok.runtime.fairness.slots import FairSlots

CONNECTS = 128
"""Logins at once, a quarter of them for one namespace. Hosts that hang keep their place for one
time-out at most."""
IDLE = 900.0
"""Seconds after which an unused connection is closed."""
OPEN = 2048
"""Connections that stay open; beyond these the longest unused ones are closed."""


@dataclass(slots=True)
class _Entry:
    connection: Connection | None = None
    used: float = 0.0
    let_in: LetIn | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Connections:
    """Connections by an opaque key, the Machine's UID."""

    def __init__(
        self,
        timeouts: Timeouts,
        monotonic: Callable[[], float],
        bounds: Bounds = ANYWHERE,
        most: int = OPEN,
    ) -> None:
        """`bounds` say at which addresses hosts may be."""
        self._most = most
        self._monotonic = monotonic
        self._entries: dict[str, _Entry] = {}
        self._logins = Logins(timeouts, bounds, monotonic)
        self._bastions = Bastions(self._logins)
        self._slots = FairSlots(CONNECTS, share=CONNECTS // 4)

    async def scan(self, address: str, port: int, jump: Target | None = None) -> str:
        """The fingerprint of the key that a host shows, behind a bastion if there is one."""
        async with self._slots.one(NAMESPACE.get()):
            return await self._logins.scan(address, port, self._bastions.through(jump))

    async def get(
        self, key: str, target: Target, lost: Callable[[HostError], None] | None = None
    ) -> Connection:
        """The connection of that key, opened if there is none or one to another target.

        `lost` is called with the reason if it ends without having been closed here.
        """
        entry = self._entries.setdefault(key, _Entry())
        async with entry.lock:
            entry.used = self._monotonic()
            held = entry.connection
            if held is not None and not held.closed and held.target == target:
                return held
            if held is not None:
                held.close()
            async with self._slots.one(NAMESPACE.get()):
                entry.connection = await self._connect(entry, target)
            entry.connection.lost = lost
            self._close_idle()
            return entry.connection

    async def _connect(self, entry: _Entry, target: Target) -> Connection:
        try:
            made, entry.let_in = await self._logins.connect(
                target, entry.let_in, self._bastions.through(target.jump)
            )
        except (LoginRefused, HostKeyChanged):
            entry.let_in = None
            raise
        return made

    def target_of(self, key: str) -> Target | None:
        """The target of a connection that can still be used."""
        entry = self._entries.get(key)
        held = entry.connection if entry is not None else None
        return held.target if held is not None and not held.closed else None

    def drop(self, key: str) -> None:
        """Closes and forgets a connection."""
        entry = self._entries.pop(key, None)
        if entry is not None and entry.connection is not None:
            entry.connection.close()

    def close(self) -> None:
        """Closes all."""
        for key in list(self._entries):
            self.drop(key)
        self._bastions.close()

    def _close_idle(self) -> None:
        limit = self._monotonic() - IDLE
        for key, entry in list(self._entries.items()):
            if entry.used < limit and not entry.lock.locked():
                self.drop(key)
        held = [
            (entry.used, entry.connection)
            for entry in self._entries.values()
            if entry.connection is not None and not entry.connection.closed
        ]
        if len(held) <= self._most:
            return
        for _, connection in sorted(held, key=lambda one: one[0])[: len(held) - self._most]:
            if not connection.busy:
                connection.close()
