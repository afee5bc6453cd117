"""The connections of the operator: one a host, opened when needed, reused, never shared."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from kok.kube.budget.cpu_shares import NAMESPACE
from kok.operators.machine.remote.ssh.address_ranges import ANYWHERE, Bounds
from kok.operators.machine.remote.ssh.connection import Connection, Target, Timeouts
from kok.operators.machine.remote.ssh.errors import HostError, HostKeyChanged, LoginRefused
from kok.operators.machine.remote.ssh.login import connect, scan
from kok.operators.machine.remote.ssh.login_rate import Pacing, Place, Visit
from kok.runtime.fairness.slots import FairSlots

CONNECTS = 128
"""Logins at once, a quarter of them for one namespace. Hosts that hang keep their place for one
time-out at most."""
IDLE = 900.0
"""Seconds after which an unused connection is closed."""


@dataclass(slots=True)
class _Entry:
    connection: Connection | None = None
    used: float = 0.0
    let_in: tuple[Place, str, str, str] | None = None
    """Where the last login went through, of which user, the digest of its credentials, and the host's
    key: at the same address there may be somebody else's host by now."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Connections:
    """Connections by an opaque key, the Machine's UID."""

    def __init__(
        self,
        timeouts: Timeouts,
        monotonic: Callable[[], float],
        bounds: Bounds = ANYWHERE,
    ) -> None:
        """`bounds` say at which addresses hosts may be."""
        self._timeouts = timeouts
        self._bounds = bounds
        self._monotonic = monotonic
        self._entries: dict[str, _Entry] = {}
        # A login comes right after the first look at the key: they take turns apart.
        self._scans, self._logins = Pacing(), Pacing()
        self._slots = FairSlots(CONNECTS, share=CONNECTS // 4)

    async def scan(self, address: str, port: int) -> str:
        """The fingerprint of the key that a host shows."""
        visit = Visit(self._scans, self._monotonic, NAMESPACE.get())
        async with self._slots.one(NAMESPACE.get()):
            return await scan(address, port, self._timeouts, bounds=self._bounds, visit=visit)

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
        """Logs in, when it is this one's turn; who was let in the last time always has it."""
        place, *whose = entry.let_in or (None, "", "")
        who = [target.user, target.credentials.digest, target.expected.fingerprint or ""]
        known = place if whose == who else None
        visit = Visit(self._logins, self._monotonic, target.namespace, known)
        try:
            made = await connect(target, self._timeouts, self._bounds, visit)
        except (LoginRefused, HostKeyChanged):
            visit.refused()
            entry.let_in = None
            raise
        # Who had no need of a turn opens none to strangers.
        if visit.place is not None and visit.place != known:
            user, credentials, key = who
            entry.let_in = (visit.place, user, credentials, key)
            for pacing in (self._scans, self._logins):
                pacing.let_in(visit.place, target.namespace, self._monotonic())
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

    def _close_idle(self) -> None:
        limit = self._monotonic() - IDLE
        for key, entry in list(self._entries.items()):
            if entry.used < limit and not entry.lock.locked():
                self.drop(key)
