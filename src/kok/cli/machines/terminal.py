"""`kok machine shell`: a terminal on the host of a Machine."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

import asyncssh

from kok.cli.machines.logins import host_of, told
from kok.cli.options import KubectlOptions
from kok.cli.query import Refused

_CHUNK = 65536


async def attach(name: str, namespace: str | None, options: KubectlOptions) -> int:
    """Joins this terminal and the user's login shell there; its exit code. Raises `KubeError`."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Refused("a shell needs a terminal on both sides; for logs use kok machine logs")
    size, kind = shutil.get_terminal_size(), os.environ.get("TERM", "xterm")
    async with host_of(name, namespace, options) as connection:
        with told():
            async with connection.terminal(kind, (size.columns, size.lines)) as process:
                with _raw(), _typed(process):
                    while data := await process.stdout.read(_CHUNK):
                        os.write(sys.stdout.fileno(), data)
                    await process.wait_closed()
                return process.exit_status if process.exit_status is not None else 1


@contextmanager
def _raw() -> Iterator[None]:
    """Every key goes to the other side, also those that end programs here."""
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setraw(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


@contextmanager
def _typed(process: asyncssh.SSHClientProcess[bytes]) -> Iterator[None]:
    """What is typed meanwhile is passed on, and the size of the terminal."""
    loop, source = asyncio.get_running_loop(), sys.stdin.fileno()

    def typed() -> None:
        data = os.read(source, _CHUNK)
        if data:
            process.stdin.write(data)
        else:
            loop.remove_reader(source)
            process.stdin.write_eof()

    def resized() -> None:
        size = shutil.get_terminal_size()
        process.change_terminal_size(size.columns, size.lines)

    loop.add_reader(source, typed)
    loop.add_signal_handler(signal.SIGWINCH, resized)
    try:
        yield
    finally:
        loop.remove_reader(source)
        loop.remove_signal_handler(signal.SIGWINCH)
