"""Commands of the machine, run without blocking the loop and never outliving the lab.

Each command is started below ``setpriv --pdeathsig``: when the lab is killed, even with SIGKILL,
the kernel ends the command too, so no orphan goes on writing into a half-built result.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from e2e.lab.errors import CommandError

_TAIL = 8192
# Where Debian keeps administrators' programs; the path of a root that came by `su` lacks it.
_ADMIN = "/usr/local/sbin:/usr/sbin:/sbin"


def search_path() -> str:
    """Where commands are looked for: as the environment says, then where administrators' are."""
    return os.pathsep.join(filter(None, (os.environ.get("PATH", os.defpath), _ADMIN)))


async def run(
    *argv: str | Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | bytes | None = None,
    log: Path | None = None,
    timeout: float | None = None,
    check: bool = True,
) -> str:
    """Run one command to its end and return its standard output as text.

    ``env`` is added to the process's own environment; ``timeout`` is in seconds. With ``log``
    both streams are appended to that file, and the result is empty.

    Raises CommandError when the command ends with a code other than 0 (unless ``check`` is
    false), TimeoutError when it takes longer than allowed.
    """
    words = [str(word) for word in argv]
    given = stdin.encode() if isinstance(stdin, str) else stdin
    with contextlib.ExitStack() as stack:
        out: int = asyncio.subprocess.PIPE
        err: int = asyncio.subprocess.PIPE
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            sink = stack.enter_context(log.open("ab"))
            sink.write(f"$ {' '.join(words)}\n".encode())
            sink.flush()
            out, err = sink.fileno(), asyncio.subprocess.STDOUT
        process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL", "--"),
            *words,
            cwd=cwd,
            env={**os.environ, "PATH": search_path(), **(env or {})},
            stdin=asyncio.subprocess.DEVNULL if given is None else asyncio.subprocess.PIPE,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(timeout):
                stdout, stderr = await process.communicate(given)
        except BaseException:
            await _end(process)
            raise
    code = process.returncode or 0
    if check and code:
        said = _tail(log) if log is not None else (stderr or stdout or b"")
        raise CommandError(words, code, said.decode(errors="replace"), log)
    return (stdout or b"").decode(errors="replace")


async def succeeds(*argv: str | Path, timeout: float | None = None) -> bool:
    """Whether a command ends with code 0 in time; its output is of no interest."""
    try:
        await run(*argv, timeout=timeout)
    except (CommandError, TimeoutError):
        return False
    return True


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a command with everything it started; it leads a session of its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - _TAIL))
        return file.read()
