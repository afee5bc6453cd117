"""An operator as a process of its own, and what it takes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from e2e.bench.bare.control_plane import end, free_port, start
from e2e.framework.install import CHECKOUT

T = TypeVar("T")
LEASES = "kok-system"
ORDERLY = 30.0
"""Seconds for an end in order."""
SHOWN = 40
"""Lines of its log that are shown where something went wrong."""
_METRIC = re.compile(r"^(\w+)\{([^}]*)\} ([0-9.e+]+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
REQUESTS, PASSES = "kok_kube_requests_total", "kok_passes_total"


@dataclass(frozen=True, slots=True)
class Taken:
    """What it took since it was started."""

    cpu: float
    """Seconds of processor time."""
    requests: dict[str, int]
    """To the meta cluster's API, by method."""
    passes: dict[str, int]
    """By kind."""


@dataclass(frozen=True, slots=True)
class Operator:
    """One that runs."""

    process: asyncio.subprocess.Process
    port: int

    async def taken(self) -> Taken:
        """So far."""
        url = f"http://127.0.0.1:{self.port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            text = await answer.text()
        return Taken(self._cpu(), sums(text, REQUESTS, "verb"), sums(text, PASSES, "kind"))

    def resident(self) -> float:
        """MiB now."""
        return self._memory("VmRSS")

    def peak(self) -> float:
        """MiB at most since `forget_peak`."""
        return self._memory("VmHWM")

    def connections(self) -> int:
        """Sockets that are open."""
        return sum(1 for one in self._links() if one.startswith("socket:"))

    def forget_peak(self) -> None:
        """From now on the peak is that of what comes."""
        self._proc("clear_refs").write_text("5")

    async def beside(self, work: Coroutine[Any, Any, T]) -> T:
        """What comes of some work; raises `AssertionError` if the operator ends before."""
        task, ended = asyncio.create_task(work), asyncio.create_task(self.process.wait())
        try:
            await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise AssertionError(f"the operator has ended with {ended.result()}")
            return task.result()
        finally:
            task.cancel()
            ended.cancel()

    def _cpu(self) -> float:
        """Of the process and of children that have ended."""
        words = self._proc("stat").read_text().rpartition(")")[2].split()
        return sum(map(int, words[11:15])) / os.sysconf("SC_CLK_TCK")

    def _memory(self, what: str) -> float:
        found = re.search(rf"^{what}:\s+(\d+) kB$", self._proc("status").read_text(), re.MULTILINE)
        if found is None:
            raise AssertionError(f"the kernel does not tell {what} of the operator: has it ended?")
        return int(found[1]) / 1024

    def _links(self) -> Iterator[str]:
        """What the files that it has open are; one may be closed meanwhile."""
        for one in self._proc("fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                yield str(one.readlink())

    def _proc(self, name: str) -> Path:
        return Path(f"/proc/{self.process.pid}/{name}")


def sums(text: str, metric: str, by: str) -> dict[str, int]:
    """A metric's values in the text of all metrics, added up by one of its labels."""
    found: dict[str, int] = defaultdict(int)
    for name, labels, value in _METRIC.findall(text):
        if name == metric:
            found[dict(_LABEL.findall(labels))[by]] += int(float(value))
    return dict(found)


async def total(session: aiohttp.ClientSession, port: int, metric: str, kind: str) -> float:
    """A metric's value for one kind of object, of an operator that tells its metrics at a port."""
    async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        return of_kind(await answer.text(), metric, kind)


def of_kind(text: str, metric: str, kind: str) -> float:
    """A metric's value for one kind of object, in the text of all metrics."""
    return sum(
        float(value)
        for name, labels, value in _METRIC.findall(text)
        if name == metric and dict(_LABEL.findall(labels)).get("kind") == kind
    )


@asynccontextmanager
async def operator(
    home: Path, kubeconfig: Path, name: str = "cluster", settings: Mapping[str, str] | None = None
) -> AsyncIterator[Operator]:
    """At work from this checkout, by default settings but for its Lease and those that are given; its
    log lies in `home`."""
    port = free_port()
    environment = {
        "KUBECONFIG": str(kubeconfig),
        "PYTHONPATH": str(CHECKOUT / "src"),
        "KOK_LEASE_NAMESPACE": LEASES,
        # Longer than a busy machine may stall it: nobody would start it again.
        "KOK_LEASE_DURATION": "300",
        "KOK_LEASE_RENEW": "15",
        "KOK_HTTP_HOST": "127.0.0.1",
        "KOK_HTTP_PORT": str(port),
        **(settings or {}),
    }
    kok = Path(sys.executable).parent / "kok"
    log = home / "operator.log"
    command = (str(kok), "operator", name)
    process = await start(Path(sys.executable), *command, log=log, env=environment)
    try:
        yield Operator(process, port)
    except BaseException:
        sys.stderr.write("\n".join(["", *log.read_text().splitlines()[-SHOWN:], ""]))
        raise
    finally:
        await _ended(process)


async def _ended(process: asyncio.subprocess.Process) -> None:
    """In order, so that a successor finds the Lease free; by force if that takes too long."""
    with contextlib.suppress(ProcessLookupError, TimeoutError):
        process.terminate()
        async with asyncio.timeout(ORDERLY):
            await process.wait()
    await end(process)
