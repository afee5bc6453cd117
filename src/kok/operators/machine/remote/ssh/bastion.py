"""Hosts behind bastions: few logins at a bastion, each of which carries many hosts.

sshd refuses logins at random when ten are under way at once (`MaxStartups`), and all hosts behind
a bastion may be asked for at the same time. So whoever wants through a bastion at the same time
shares one login, and its error if there is one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from kok.operators.machine.remote.ssh.connection import Connection, Target
from kok.operators.machine.remote.ssh.errors import (
    HostError,
    HostForbidden,
    HostKeyChanged,
    LoginRefused,
)
from kok.operators.machine.remote.ssh.inbound import Line
from kok.operators.machine.remote.ssh.login import LetIn, Logins, Through
from kok.operators.machine.remote.ssh.login_rate import Visit, place_of
from kok.runtime.fairness.slots import FairSlots

LOGINS = 8
"""Logins at bastions at once, a quarter of them for one namespace."""
HOSTS = 64
"""Hosts that are reached by one connection."""
IDLE = 60.0
"""Seconds after which a connection is closed that carries none."""
REMEMBERED = 256
"""Bastions, in use or not."""


@dataclass(slots=True, eq=False)
class _Way:
    """One connection to a bastion."""

    connection: Connection
    hosts: int = 0
    """How many are reached by it."""
    idle: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class _Bastion:
    ways: list[_Way] = field(default_factory=list)
    login: asyncio.Task[None] | None = None
    """The one under way."""
    let_in: LetIn | None = None


class Bastions:
    """The connections to all bastions. Those of different Secrets share none."""

    def __init__(self, logins: Logins) -> None:
        self._logins = logins
        self._slots = FairSlots(LOGINS, share=LOGINS // 4)
        self._known: dict[Target, _Bastion] = {}

    def through(self, jump: Target | None) -> Through | None:
        """How hosts behind a bastion are connected to; None: there is no bastion."""
        return None if jump is None else partial(self._dial, jump)

    def close(self) -> None:
        """Closes all."""
        for jump, bastion in list(self._known.items()):
            if bastion.login is not None:
                bastion.login.cancel()
            for way in list(bastion.ways):
                way.connection.close()
                self._drop(jump, way)

    async def _dial(self, jump: Target, address: str, port: int, visit: Visit | None) -> Line:
        if not self._logins.bounds.takes(address):
            raise HostForbidden(
                f"host {address} is where the administrator of the meta cluster allows no hosts; "
                f"{self._logins.bounds}"
            )
        if visit is not None:
            # Behind another bastion the same address is another host.
            behind = " behind ".join((place_of(address, port)[0], jump.place))
            visit.begin(behind, port)
        try:
            way = await self._way(jump)
            return await way.connection.passage(address, port, partial(self._over, jump, way))
        except BaseException:
            if visit is not None:
                visit.unheard()
            raise

    async def _way(self, jump: Target) -> _Way:
        """A connection with room for one host more, which is counted. Raises `HostError`."""
        bastion = self._known.setdefault(jump, _Bastion())
        self._tidy(jump)
        while True:
            for way in bastion.ways:
                if way.hosts < HOSTS and not way.connection.closed:
                    way.hosts += 1
                    return way
            if bastion.login is None:
                bastion.login = asyncio.create_task(self._log_in(jump, bastion), name="bastion")
                bastion.login.add_done_callback(_heard)
            # Who gives up leaves the others their login.
            await asyncio.shield(bastion.login)

    async def _log_in(self, jump: Target, bastion: _Bastion) -> None:
        try:
            async with self._slots.one(jump.namespace):
                made, bastion.let_in = await self._logins.connect(jump, bastion.let_in)
        except (LoginRefused, HostKeyChanged):
            bastion.let_in = None
            raise
        finally:
            bastion.login = None
        way = _Way(made)
        bastion.ways.append(way)
        made.lost = self._lost(jump, way)
        self._rest(jump, way)

    def _tidy(self, jump: Target) -> None:
        """Of a bastion in no use it is only remembered that it let us in, and of not too many."""
        for target, one in list(self._known.items()) if len(self._known) > REMEMBERED else ():
            if target != jump and not one.ways and one.login is None:
                del self._known[target]

    def _lost(self, jump: Target, way: _Way) -> Callable[[HostError], None]:
        def lost(error: HostError) -> None:
            # Each host that it carried tells of itself.
            del error
            self._drop(jump, way)

        return lost

    def _over(self, jump: Target, way: _Way) -> None:
        """A host is no longer reached by it."""
        way.hosts -= 1
        if way.hosts == 0:
            self._rest(jump, way)

    def _rest(self, jump: Target, way: _Way) -> None:
        """After a while it is closed if it still carries none."""
        if way.idle is not None:
            way.idle.cancel()

        def end() -> None:
            if way.hosts == 0:
                way.connection.close()
                self._drop(jump, way)

        way.idle = asyncio.get_running_loop().call_later(IDLE, end)

    def _drop(self, jump: Target, way: _Way) -> None:
        if way.idle is not None:
            way.idle.cancel()
        with suppress(KeyError, ValueError):
            self._known[jump].ways.remove(way)


def _heard(login: asyncio.Task[None]) -> None:
    """Whoever waits for it gets its error; there may be nobody any more."""
    if not login.cancelled():
        login.exception()
