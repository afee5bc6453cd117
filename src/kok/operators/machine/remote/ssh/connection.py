"""One SSH connection: root scripts by standard input, deadlines, signs of life."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncssh

from kok.operators.machine.remote.ssh import hostkey
from kok.operators.machine.remote.ssh.channels import Channels
from kok.operators.machine.remote.ssh.credentials import Credentials
from kok.operators.machine.remote.ssh.errors import (
    HostError,
    HostFloods,
    HostSilent,
    LoginRefused,
    ScriptFailed,
    SudoRefused,
)
from kok.operators.machine.remote.ssh.inbound import Line
from kok.operators.machine.remote.ssh.script import STDOUT_MOST, Exchange, Flood
from kok.operators.machine.remote.ssh.sentences import (
    gist,
    last_line,
    no_session,
    not_passed_on,
    not_root,
    wrong_password,
)

_TRIED_FOR = 30.0
"""Seconds within which two commands that do nothing have to be through."""
_REFUSED_FIRST, _REFUSED_MOST = 0.05, 1.0
"""Seconds until a channel is asked for again where the host still counts one that is over, and up to
which that doubles: sshd answers what came in one packet before it tidies up."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds."""

    connect: float = 10.0
    """For the TCP connection."""
    login: float = 15.0
    """From then on until the login is through."""
    alive: float = 5.0
    """For the round trip that tells a slow command from a frozen host."""
    keepalive: float = 10.0
    """Between two requests for a sign of life on an idle connection; three may be lost."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where, as whom, and whose key must be shown. Two equal targets share a connection."""

    address: str
    port: int
    user: str
    secret: str
    """The Secret as `namespace/name`, for sentences."""
    credentials: Credentials = field(repr=False)
    expected: hostkey.Expected
    jump: Target | None = None
    """The bastion through which it is reached."""

    @property
    def namespace(self) -> str:
        """The namespace for which one logs in."""
        return self.secret.partition("/")[0]

    @property
    def place(self) -> str:
        """The host for sentences."""
        where = self.address if self.port == 22 else f"{self.address} port {self.port}"
        return where if self.jump is None else f"{where} (behind bastion {self.jump.address})"


class Connection:
    """A logged-in connection. Made by `connect`."""

    def __init__(
        self,
        connection: asyncssh.SSHClientConnection,
        target: Target,
        timeouts: Timeouts,
        line: Line,
    ) -> None:
        self._connection = connection
        self._line = line
        self._timeouts = timeouts
        self._channels = Channels()
        self._tried = False
        self._ended = False
        self.target = target
        self.lost: Callable[[HostError], None] | None = None
        """Called once with the reason if the connection ends, and not by `close`."""

    @property
    def closed(self) -> bool:
        """Whether it can no longer be used."""
        return self._ended or self._connection.is_closed()

    @property
    def busy(self) -> bool:
        """Whether anything is asked of the host right now."""
        return self._channels.busy

    @property
    def commands(self) -> int:
        """How many commands may run on it side by side, as far as is known."""
        return self._channels.most

    async def side_by_side(self) -> int:
        """How many commands may run on it side by side, once it was tried with two: a host tells of
        it by refusing. Raises `HostError`."""
        if not self._tried:
            self._tried = True
            both = (self.run("true\n", deadline=_TRIED_FOR) for _ in range(2))
            await asyncio.gather(*both)
        return self.commands

    @property
    def reached(self) -> str:
        """The IP address of the other side; empty if that is not known."""
        if self.target.jump is not None:
            return self.target.address
        peer = self._connection.get_extra_info("peername")
        return str(peer[0]) if peer else ""

    def close(self) -> None:
        """Ends it at once; what runs on the host goes on."""
        self._ended = True
        self._connection.abort()

    def note_end(self) -> None:
        """The other side, or nobody any more, ended it."""
        if not self._ended:
            self._ended = True
            if self.lost is not None:
                self.lost(self._flood("sends without being asked") or self._gone())

    async def alive(self) -> bool:
        """A round trip to the other side's SSH server, within a deadline."""
        try:
            async with asyncio.timeout(self._timeouts.alive):
                channel = await self._connection.create_process("true")
                await channel.wait_closed()
        except asyncssh.ChannelOpenError:
            # That it allows no more commands at once is an answer as well.
            return not self.closed
        except (OSError, TimeoutError, asyncssh.Error):
            return False
        return True

    def _flood(self, how: str = "answers with more than is taken from it") -> HostFloods | None:
        """The error if too much came and the connection was ended for that."""
        return _floods(self.target.place, how) if self._line.flooded else None

    def _gone(self) -> HostSilent:
        return HostSilent(f"the connection to host {self.target.place} was closed")

    async def run(
        self, script: str, *, deadline: float, each: Callable[[str], None] | None = None
    ) -> str:
        """Runs a POSIX shell script as root; its standard output.

        The script goes by standard input, so nothing of it shows in a list of processes, and not
        a line of it runs before the whole has arrived. `each` gets the lines as they come.
        `deadline` is in seconds. Raises `HostError`; `ScriptFailed` for an exit code that is not
        0. After any other error the connection is closed.
        """
        exchange = Exchange(script, self.target.user, self.target.credentials.sudo, each)
        await self._asked(exchange, deadline)
        return exchange.text

    async def follow(
        self, script: str, each: Callable[[str], None], *, deadline: float | None = None
    ) -> None:
        """Runs a root script that prints as much as it likes, for somebody who reads along, until it
        exits or this is cancelled: its shell then comes to the end of its standard input. Raises as
        `run` does."""
        user, password = self.target.user, self.target.credentials.sudo
        exchange = Exchange(script, user, password, each, most=None)
        await self._asked(exchange, deadline, endless=True)

    @asynccontextmanager
    async def terminal(
        self, kind: str, size: tuple[int, int]
    ) -> AsyncIterator[asyncssh.SSHClientProcess[bytes]]:
        """The user's login shell at a terminal, for somebody who sits there. `size` is columns and
        rows. Raises `HostError`."""
        await self._channels.take()
        try:
            with self._line.asked(endless=True):
                async with self._connection.create_process(
                    term_type=kind, term_size=size, encoding=None
                ) as process:
                    yield process
        except (OSError, asyncssh.Error) as error:
            raise HostSilent(
                f"the connection to host {self.target.place} broke: {gist(error)}"
            ) from error
        finally:
            self._channels.free()

    async def _asked(
        self, exchange: Exchange, deadline: float | None, *, endless: bool = False
    ) -> None:
        await self._channels.take()
        try:
            with self._line.asked(endless=endless):
                await self._run(exchange, deadline)
        except ScriptFailed:
            raise
        except HostError:
            self.close()
            raise
        finally:
            self._channels.free()

    async def _run(self, exchange: Exchange, deadline: float | None) -> None:
        place = self.target.place
        process: asyncssh.SSHClientProcess[str] | None = None
        try:
            async with asyncio.timeout(deadline):
                process = await self._opened(exchange.command)
                await exchange.talk(process)
                await process.wait_closed()
        except Flood:
            # Nothing more of it is taken: the connection ends with the error.
            raise _floods(place, f"answers with more than {STDOUT_MOST >> 20} MiB") from None
        except TimeoutError as error:
            if not await self.alive():
                raise HostSilent(f"host {place} no longer answers over SSH") from error
            if process is not None and exchange.stuck:
                raise SudoRefused(not_root(place, self.target.user, exchange.errors)) from error
            raise ScriptFailed(
                f"a step on host {place} was not through after {deadline or 0:.0f} s", -1
            ) from error
        except (OSError, asyncssh.Error) as error:
            raise self._flood() or HostSilent(
                f"the connection to host {place} broke: {gist(error)}"
            ) from error
        finally:
            if process is not None:
                process.close()
        self._judge(process, exchange)

    async def _opened(self, command: str) -> asyncssh.SSHClientProcess[str]:
        """A channel with a command, once the host allows one more."""
        pause = _REFUSED_FIRST
        while True:
            try:
                return await self._connection.create_process(
                    command, encoding="utf-8", errors="replace"
                )
            except asyncssh.ChannelOpenError as error:
                if self.closed:
                    raise
                if await self._channels.refused():
                    continue
                if pause > _REFUSED_MOST:
                    raise HostSilent(no_session(self.target.place, gist(error))) from error
            await asyncio.sleep(pause)
            pause *= 2

    async def passage(self, address: str, port: int, ended: Callable[[], None]) -> Line:
        """A TCP connection from here, a bastion, to a host behind it. `ended` is called when it is
        over, also if none came about. Raises `HostError`."""

        def over() -> None:
            self._line.carry(-1)
            ended()

        def session() -> Any:
            # No session by its type, but it is what asyncssh itself gives in the place of one.
            return asyncssh.SSHForwarder(inner)

        self._line.carry(+1)
        inner, loop = _Passage(over), asyncio.get_running_loop()
        loose: list[socket.socket] = []
        try:
            near, far = loose[:] = socket.socketpair()
            for end in loose:
                end.setblocking(False)
            await loop.create_connection(lambda: inner, sock=far)
            loose.remove(far)  # It is the transport's by now.
            async with asyncio.timeout(self._timeouts.connect):
                await self._connection.create_connection(session, address, port)
        except BaseException as error:
            for end in loose:
                end.close()
            inner.close()
            if not isinstance(error, OSError | TimeoutError | asyncssh.Error):
                raise
            if isinstance(error, TimeoutError) and not await self.alive():
                self.close()
            if self.closed:
                raise self._flood() or self._gone() from error
            where = address if port == 22 else f"{address} port {port}"
            raise not_passed_on(self.target.address, where, error) from error
        return Line(near, carrier=self._line)

    def _judge(self, process: asyncssh.SSHClientProcess[str], output: Exchange) -> None:
        code, place, user = process.exit_status, self.target.place, self.target.user
        if output.begun and code == 0:
            return
        errors = output.errors
        if output.wrong_password:
            raise SudoRefused(wrong_password(place, user, self.target.secret))
        if not output.begun and "sudo" in errors:
            raise SudoRefused(not_root(place, user, errors))
        if not output.begun and code is not None:
            raise LoginRefused(
                f"the login shell of user {user} on host {place} does not run commands"
                + (f" ({last_line(errors)})" if errors else "")
            )
        if code is None or code < 0:
            # The connection or the command was cut off: what it did is not known.
            raise self._flood() or HostSilent(f"host {place} ended a command without telling how")
        raise ScriptFailed(
            f"a step on host {place} ended with code {code}: {last_line(errors) or 'no message'}",
            code,
            output.text,
        )


class _Passage(asyncssh.SSHForwarder):
    """The end of a passage on this side; tells once when it is over."""

    def __init__(self, over: Callable[[], None]) -> None:
        super().__init__()
        self._over: Callable[[], None] | None = over

    def close(self) -> None:
        """Ends it, on both sides."""
        over, self._over = self._over, None
        super().close()
        if over is not None:
            over()


def _floods(place: str, how: str) -> HostFloods:
    return HostFloods(
        f"host {place} {how} where some KiB are to be expected; look what prints there, such as a "
        "login shell or a script of a Component"
    )
