"""One root script on its way to a host, and what comes back of it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress

import asyncssh

_STDERR_KEPT = 16384
_STDERR_MOST = 2**20
STDOUT_MOST = 2**20
"""Characters that one script may print. A look at a host takes some tens of thousands."""


class Flood(Exception):
    """More came than a script may print."""


class Exchange:
    """What is said over the channel of one script.

    The script goes by standard input. So does a password for sudo, which is sent only when sudo asks
    for it, and before anything else: whoever needs none never gets to see it, and a wrong one is
    tried once.
    """

    def __init__(
        self,
        script: str,
        user: str,
        password: str | None,
        each: Callable[[str], None] | None = None,
        most: int | None = STDOUT_MOST,
    ) -> None:
        """`each` gets the lines as they come. Without `most` nothing is kept of them, and the shell
        is left its standard input, which ends with the connection."""
        token = secrets.token_hex(8)
        self._marker, self._rooted = f"@@kok-{token}", f"@@kok-root-{token}"
        self._prompt = f"kok-{token}: "
        self._text = _wrapped(script, self._marker)
        self._password = password if user != "root" else None
        self._user = user
        self._each = each
        self._most = most
        self._lines: list[str] = []
        self._size = self._errors_size = 0
        self._asked = 0
        self._root = self._ended = False
        self._news = asyncio.Event()
        self._said = ""
        self.begun = False
        """Whether the script has begun."""

    @property
    def command(self) -> str:
        """What is run on the host. It tells nothing of the script, nor of any password."""
        if self._user == "root":
            return "/bin/sh -s"
        if self._password is None:
            return "sudo -n -- /bin/sh -s"
        # Told apart from the script: a password that sudo does not ask for must never be read by
        # the shell.
        return f"sudo -S -p '{self._prompt}' -- /bin/sh -c 'echo {self._rooted}; exec /bin/sh -s'"

    @property
    def text(self) -> str:
        """All that the script printed so far, from its first own line on."""
        return "".join(self._lines)

    @property
    def errors(self) -> str:
        """The end of what came by standard error."""
        return self._said.replace(self._prompt, "").strip()

    @property
    def wrong_password(self) -> bool:
        """Whether sudo did not take the password."""
        return self._asked > 1 and not self._root

    @property
    def stuck(self) -> bool:
        """Whether sudo, given all that it may be given, does not let root's shell begin."""
        return self._password is not None and not self._root

    async def talk(self, process: asyncssh.SSHClientProcess[str]) -> None:
        """All of it, until the host has nothing more to say. Raises `Flood`, `OSError` and
        `asyncssh.Error`."""
        await asyncio.gather(
            self._read(process.stdout),
            self._read_errors(process.stderr),
            self._write(process.stdin),
        )

    async def _write(self, stdin: asyncssh.SSHWriter[str]) -> None:
        # Who is refused does not read; what it says tells why.
        with suppress(BrokenPipeError):
            given = False
            while self._password is not None and not self._root:
                await self._news.wait()
                self._news.clear()
                if self._ended or self.wrong_password:
                    stdin.write_eof()
                    return
                if self._asked and not given:
                    given = True
                    stdin.write(f"{self._password}\n")
            stdin.write(self._text)
            if self._most is not None:
                stdin.write_eof()

    async def _read(self, stream: asyncssh.SSHReader[str]) -> None:
        try:
            while line := await stream.readline():
                self._size += len(line)
                if self._most is not None and self._size > self._most:
                    raise Flood
                self._take(line)
        finally:
            self._ended = True
            self._news.set()

    def _take(self, line: str) -> None:
        """A line. Login shells may print before the first one of ours, and leave a line unended."""
        if self.begun:
            if self._most is not None:
                self._lines.append(line)
            if self._each is not None:
                self._each(line.rstrip("\n"))
        elif line.rstrip().endswith(self._marker):
            self.begun = True
        elif line.rstrip().endswith(self._rooted):
            self._root = True
            self._news.set()

    async def _read_errors(self, stream: asyncssh.SSHReader[str]) -> None:
        while text := await stream.read(_STDERR_KEPT):
            self._errors_size += len(text)
            if self._most is not None and self._errors_size > _STDERR_MOST:
                raise Flood
            self._said = (self._said + text)[-_STDERR_KEPT:]
            asked = self._said.count(self._prompt)
            if asked > self._asked:
                self._asked = asked
                self._news.set()


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
