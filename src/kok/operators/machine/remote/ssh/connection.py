"""One SSH connection: root scripts by standard input, deadlines, signs of life."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import asyncssh

from kok.operators.machine.remote.ssh import hostkey
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
from kok.operators.machine.remote.ssh.sentences import gist, last_line, not_root

_CHANNELS = 4
"""Commands at once on one connection; sshd allows 10 by default."""
_STDERR_KEPT = 16384
_STDERR_MOST = 2**20
_STDOUT_MOST = 2**20
"""Characters that one script may print. A look at a host takes some tens of thousands."""


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

    @property
    def namespace(self) -> str:
        """The namespace for which one logs in."""
        return self.secret.partition("/")[0]

    @property
    def place(self) -> str:
        """The host for sentences."""
        return self.address if self.port == 22 else f"{self.address} port {self.port}"


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
        self._channels = asyncio.Semaphore(_CHANNELS)
        self._ended = False
        self.target = target
        self.lost: Callable[[HostError], None] | None = None
        """Called once with the reason if the connection ends, and not by `close`."""

    @property
    def closed(self) -> bool:
        """Whether it can no longer be used."""
        return self._ended or self._connection.is_closed()

    @property
    def commands(self) -> int:
        """How many commands may run on it side by side."""
        return _CHANNELS

    @property
    def reached(self) -> str:
        """The IP address of the other side; empty if that is not known."""
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
        try:
            async with self._channels:
                with self._line.asked():
                    return await self._run(script, deadline, each)
        except ScriptFailed:
            raise
        except HostError:
            self.close()
            raise

    async def _run(self, script: str, deadline: float, each: Callable[[str], None] | None) -> str:
        place, marker = self.target.place, f"@@kok-{secrets.token_hex(8)}"
        output = _Output(marker, each)
        process: asyncssh.SSHClientProcess[str] | None = None
        try:
            async with asyncio.timeout(deadline):
                process = await self._connection.create_process(
                    self._shell(), encoding="utf-8", errors="replace"
                )
                # Who is refused does not read; what it says tells why.
                with suppress(BrokenPipeError):
                    process.stdin.write(_wrapped(script, marker))
                    process.stdin.write_eof()
                await asyncio.gather(
                    output.read(process.stdout), output.read_errors(process.stderr)
                )
                await process.wait_closed()
        except _Flood:
            # Nothing more of it is taken: the connection ends with the error.
            raise _floods(place, f"answers with more than {_STDOUT_MOST >> 20} MiB") from None
        except asyncio.CancelledError:
            # Nobody hears any more what it says.
            if process is not None:
                process.close()
            raise
        except TimeoutError as error:
            if process is not None:
                process.close()
            if await self.alive():
                raise ScriptFailed(
                    f"a step on host {place} was not through after {deadline:.0f} s", -1
                ) from error
            raise HostSilent(f"host {place} no longer answers over SSH") from error
        except (OSError, asyncssh.Error) as error:
            raise self._flood() or HostSilent(
                f"the connection to host {place} broke: {gist(error)}"
            ) from error
        return self._judged(process, output)

    def _judged(self, process: asyncssh.SSHClientProcess[str], output: _Output) -> str:
        code, place, user = process.exit_status, self.target.place, self.target.user
        if output.begun and code == 0:
            return output.text
        errors = output.errors.strip()
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

    def _shell(self) -> str:
        return "/bin/sh -s" if self.target.user == "root" else "sudo -n -- /bin/sh -s"


def _floods(place: str, how: str) -> HostFloods:
    return HostFloods(
        f"host {place} {how} where some KiB are to be expected; look what prints there, such as a "
        "login shell or a script of a Component"
    )


class _Flood(Exception):
    """More came than a script may print."""


class _Output:
    """What a script prints, from its first own line on: login shells may print before."""

    def __init__(self, marker: str, each: Callable[[str], None] | None) -> None:
        self._marker = marker
        self._each = each
        self._lines: list[str] = []
        self._size = self._errors_size = 0
        self.begun = False
        self.errors = ""

    @property
    def text(self) -> str:
        """All lines so far."""
        return "".join(self._lines)

    async def read(self, stream: asyncssh.SSHReader[str]) -> None:
        """Takes lines until the end. Raises `_Flood`."""
        while line := await stream.readline():
            self._size += len(line)
            if self._size > _STDOUT_MOST:
                raise _Flood
            if not self.begun:
                self.begun = line.strip() == self._marker
                continue
            self._lines.append(line)
            if self._each is not None:
                self._each(line.rstrip("\n"))

    async def read_errors(self, stream: asyncssh.SSHReader[str]) -> None:
        """Drains standard error, keeping its end. Raises `_Flood`."""
        while text := await stream.read(_STDERR_KEPT):
            self._errors_size += len(text)
            if self._errors_size > _STDERR_MOST:
                raise _Flood
            self.errors = (self.errors + text)[-_STDERR_KEPT:]


def _wrapped(script: str, marker: str) -> str:
    # A shell parses a group whole before it runs it: a script that arrives in part does nothing.
    return (
        "{\n"
        f"echo '{marker}'\n"
        "umask 077; LC_ALL=C; export LC_ALL\n"
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH\n"
        f"{script}\n"
        "} </dev/null\n"
    )
