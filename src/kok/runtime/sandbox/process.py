"""Work whose time and memory strangers decide, in a process of its own with limits.

A template of a user may loop for ever or ask for gigabytes. A thread cannot be ended, and it shares
its memory with all that the operator does; a process can, and does not. It also yields to the
operator wherever both want the processor.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import pickle
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_TOO_MUCH_MEMORY: Final = 3
_TOO_MUCH_OUTPUT: Final = 4
_TOO_MUCH_DEPTH: Final = 5
_BROKEN: Final = 6
_OWN_FAULT: Final = frozenset({_BROKEN, -signal.SIGSEGV, -signal.SIGABRT})
"""It raised something, or overflowed the stack: the same work would do the same again."""
TOO_DEEP: Final = "went too deep into what is nested or calls itself"
NICE: Final = 10
_NEEDED: Final = (
    *("LANG", "LC_ALL", "LD_LIBRARY_PATH", "MALLOC_ARENA_MAX"),
    *("PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONPATH"),
)
"""Variables that Python starts with. What else stands in the operator's environment, settings and
the ways to the API server, is nothing for a process that does what strangers say."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the work may take, beyond what its process takes by itself."""

    cpu: int = 5
    """Seconds of a processor's time."""
    memory: int = 96
    """MiB. `SandboxPool` runs three at a time beside an operator that has 512."""
    output: int = 4
    """MiB of the result as JSON."""
    wall: float = 60.0
    """Seconds after which it is given up, start of the process included."""
    programs: bool = False
    """Whether the work starts programs, each with the same limits of time and memory. Of memory then
    counts what may be written to: some programs set aside more addresses than there is memory."""


class TooMuch(Exception):
    """The work wanted more than it may have; says what, to be put after its name."""


class Unfinished(Exception):
    """The process ended for a reason of its own, or was too slow; another try may go well.

    `cpu` is how many seconds of a processor's time it had taken by then: little, if it was slow
    because the machine is busy.
    """

    def __init__(self, message: str, cpu: float = 0.0) -> None:
        super().__init__(message)
        self.cpu = cpu


async def run_limited(function: Callable[[Any], Any], argument: Any, limits: Limits) -> Any:
    """What the function returns, after a journey through JSON.

    It must be one of a module, its argument one that can be pickled. Raises `TooMuch`, for which
    the work is to blame, so that another try would come to the same; or `Unfinished`.
    """
    try:
        given = pickle.dumps(argument)
    except RecursionError:
        raise TooMuch(TOO_DEEP) from None
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "kok.runtime.sandbox.process",
            function.__module__,
            function.__name__,
        ),
        *map(str, (limits.cpu, limits.memory, limits.output, int(limits.programs))),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # A traceback could tell what the argument holds.
        stderr=asyncio.subprocess.DEVNULL,
        env={name: os.environ[name] for name in _NEEDED if name in os.environ},
        # What it starts ends with it.
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(limits.wall):
            # Nothing but JSON is taken from a process that did what a stranger told it.
            result, _ = await process.communicate(given)
    except TimeoutError:
        cpu = processor_time(process.pid)
        raise Unfinished(f"was given up after {limits.wall:.0f} s", cpu) from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    match process.returncode:
        case 0:
            return json.loads(result)
        case code if code == -signal.SIGXCPU:
            raise TooMuch(f"took longer than {limits.cpu} s")
        case code if code == _TOO_MUCH_MEMORY:
            raise TooMuch(f"took more than {limits.memory} MiB of memory")
        case code if code == _TOO_MUCH_OUTPUT:
            raise TooMuch(f"gave more than {limits.output} MiB")
        case code if code == _TOO_MUCH_DEPTH:
            raise TooMuch(TOO_DEEP)
        case code if code in _OWN_FAULT:
            raise TooMuch("broke down")
        case code:
            raise Unfinished(f"ended with {code}")


def processor_time(pid: int) -> float:
    """Seconds that a process has taken so far; none if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    # User and system time are fields 14 and 15 of proc(5), the name before `)` being the second.
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _limit(cpu: int, memory: int, *, programs: bool) -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    # The first limit ends the process with SIGXCPU, the second one with SIGKILL.
    seconds = int(used.ru_utime + used.ru_stime) + cpu + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 2))
    # All pages of the process come first in proc(5), those of its data sixth.
    pages = int(Path("/proc/self/statm").read_text().split()[5 if programs else 0])
    size = pages * resource.getpagesize() + memory * 2**20
    resource.setrlimit(resource.RLIMIT_DATA if programs else resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(argv: list[str]) -> int:
    """The other process: its exit code says how it went."""
    module, name, cpu, memory, output, programs = argv
    os.nice(NICE)
    function = getattr(importlib.import_module(module), name)
    argument = pickle.loads(sys.stdin.buffer.read())  # noqa: S301 - it comes from the operator
    _limit(int(cpu), int(memory), programs=bool(int(programs)))
    try:
        text = json.dumps(function(argument)).encode()
    except MemoryError:
        return _TOO_MUCH_MEMORY
    except RecursionError:
        return _TOO_MUCH_DEPTH
    except Exception:  # noqa: BLE001 - what it says may quote the argument
        return _BROKEN
    if len(text) > int(output) * 2**20:
        return _TOO_MUCH_OUTPUT
    sys.stdout.buffer.write(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
