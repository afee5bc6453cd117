"""A host for tests: a real SSH server in this process that runs real shells in a directory.

The scripts keep what they own below `KOK_HOME`, so that neither root nor a container is needed.
Between client and server stands a proxy that can fall silent, as a host does that hangs.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import asyncssh

PASSWORD = "let me in"


@dataclass
class FakeHost:
    """One host. Everything about it can be changed while it runs."""

    home: Path
    key: asyncssh.SSHKey
    """Its host key."""
    client: asyncssh.SSHKey
    """The private key that it accepts."""
    port: int = 0
    sudo: str = "yes"
    """`yes`, or what sudo says instead."""
    sudo_password: str = ""
    """What sudo asks for, if anything."""
    sessions: int | None = None
    """How many commands one connection may have at once (`MaxSessions`)."""
    passes_on: bool = False
    """Whether it lets connections through to others, as a bastion does."""
    banner: str = ""
    """What the login shell prints first."""
    flowing: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared: nothing comes through any more."""
    logins: list[str] = field(default_factory=list)
    """How users logged in: `key` or `password`."""
    passwords: list[str] = field(default_factory=list)
    """What sudo was given."""
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while nobody is connected."""
    connections: int = 0
    """How many are connected."""
    scripts: int = 0
    """How many scripts were begun."""
    _begun: asyncio.Condition = field(default_factory=asyncio.Condition)
    _pumps: set[asyncio.Task[None]] = field(default_factory=set)
    _streams: list[asyncio.StreamWriter] = field(default_factory=list)
    _shells: list[asyncio.subprocess.Process] = field(default_factory=list)

    @property
    def fingerprint(self) -> str:
        return self.key.get_fingerprint("sha256")

    async def ran(self, count: int) -> None:
        """Returns once so many scripts were begun."""
        async with self._begun:
            await self._begun.wait_for(lambda: self.scripts >= count)

    def read(self, path: str) -> str:
        """A file below the operator's directory."""
        return (self.home / path).read_text()


class _Server(asyncssh.SSHServer):
    def __init__(self, host: FakeHost) -> None:
        self._host = host
        self._sessions = 0

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._host.connections += 1
        self._host.idle.clear()

    def connection_lost(self, exc: Exception | None) -> None:
        self._host.connections -= 1
        if not self._host.connections:
            self._host.idle.set()

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> bool:
        if not self._host.passes_on:
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "open failed"
            )
        return True

    def session_requested(self) -> asyncssh.SSHServerProcess[bytes] | bool:
        if self._host.sessions is not None and self._sessions >= self._host.sessions:
            return False
        self._sessions += 1
        return asyncssh.SSHServerProcess(self._command, None, 3, False)

    async def _command(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        try:
            await _run(self._host, process)
        finally:
            self._sessions -= 1

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        self._host.logins.append("password")
        return password == PASSWORD

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        self._host.logins.append("key")
        return key == self._host.client.convert_to_public()


@asynccontextmanager
async def fake_host(home: Path, *, key: asyncssh.SSHKey | None = None) -> AsyncIterator[FakeHost]:
    """A running host."""
    host = FakeHost(
        home=home,
        key=key or asyncssh.generate_private_key("ssh-ed25519"),
        client=asyncssh.generate_private_key("ssh-ed25519"),
    )
    host.flowing.set()

    server = await asyncssh.create_server(
        lambda: _Server(host),
        "127.0.0.1",
        0,
        server_host_keys=[host.key],
        encoding=None,
        reuse_address=True,
    )
    inner = server.sockets[0].getsockname()[1]
    proxy = await asyncio.start_server(
        lambda reader, writer: _pass_on(host, reader, writer, inner), "127.0.0.1", 0
    )
    host.port = proxy.sockets[0].getsockname()[1]
    try:
        yield host
    finally:
        proxy.close()
        server.close()
        await cut(host)
        await server.wait_closed()
        await proxy.wait_closed()
        await _end_shells(host)


async def _run(host: FakeHost, process: asyncssh.SSHServerProcess[bytes]) -> None:
    command = process.command or ""
    if host.banner:
        process.stdout.write(host.banner.encode())
    if command.startswith("sudo "):
        if host.sudo != "yes":
            process.stderr.write(host.sudo.encode())
            process.exit(1)
            return
        asked = re.fullmatch(r"sudo (-n|-S -p '(?P<prompt>[^']*)') -- (?P<rest>.*)", command)
        assert asked, command
        command = asked["rest"]
        if host.sudo_password and not await _let_in(host, process, asked["prompt"]):
            process.exit(1)
            return
    async with host._begun:
        host.scripts += command.startswith("/bin/sh ")
        host._begun.notify_all()
    shell = await asyncio.create_subprocess_shell(
        command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"KOK_HOME": str(host.home), "PATH": os.environ["PATH"]},
        cwd=host.home.parent,
    )
    host._shells.append(shell)
    assert shell.stdin
    assert shell.stdout
    assert shell.stderr
    feeding = asyncio.create_task(_feed(process.stdin, shell.stdin))
    with suppress(asyncssh.Error, OSError):
        await asyncio.gather(
            _feed(shell.stdout, process.stdout), _feed(shell.stderr, process.stderr)
        )
    # As under a real sshd, a command goes on when its connection is gone.
    code = await shell.wait()
    feeding.cancel()
    await asyncio.gather(feeding, return_exceptions=True)
    with suppress(asyncssh.Error, OSError):
        process.exit(code)


async def _let_in(
    host: FakeHost, process: asyncssh.SSHServerProcess[bytes], prompt: str | None
) -> bool:
    """Whether sudo gets its password; it asks twice."""
    if prompt is None:
        process.stderr.write(b"sudo: a password is required\n")
        return False
    for _ in range(2):
        process.stderr.write(prompt.encode())
        given = (await process.stdin.readline()).decode().rstrip("\n")
        if not given:
            process.stderr.write(b"\nsudo: no password was provided\n")
            return False
        host.passwords.append(given)
        if given == host.sudo_password:
            return True
        process.stderr.write(b"Sorry, try again.\n")
    process.stderr.write(b"sudo: 2 incorrect password attempts\n")
    return False


async def _end_shells(host: FakeHost) -> None:
    """What is left of commands ends with the host, and its pipes with it."""
    for shell in host._shells:
        shell._transport.close()  # type: ignore[attr-defined]
        await shell.wait()
    # The pipes are closed in the loop's next rounds.
    for _ in range(3):
        await asyncio.sleep(0)


async def _feed(
    source: asyncssh.SSHReader[bytes] | asyncio.StreamReader,
    sink: asyncssh.SSHWriter[bytes] | asyncio.StreamWriter,
) -> None:
    try:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
    finally:
        if isinstance(sink, asyncio.StreamWriter):
            sink.close()


async def _pass_on(
    host: FakeHost, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int
) -> None:
    inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
    host._streams += [writer, inner_writer]
    for source, sink in ((reader, inner_writer), (inner_reader, writer)):
        task = asyncio.create_task(_pump(host, source, sink))
        host._pumps.add(task)
        task.add_done_callback(host._pumps.discard)


async def cut(host: FakeHost) -> None:
    """Ends all connections, and lets both ends take note of it."""
    for task in list(host._pumps):
        task.cancel()
    await asyncio.gather(*host._pumps, return_exceptions=True)
    for stream in host._streams:
        stream.transport.abort()
    await asyncio.sleep(0.01)


async def _pump(host: FakeHost, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            await host.flowing.wait()
            sink.write(data)
            await sink.drain()
    sink.close()
