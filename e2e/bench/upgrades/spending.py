"""Who spent the CPU time of this machine in a span: pods by namespace, what measures, and the rest.

Pods are read from the kernel's control groups, which know of every process that ever ran in them; what
kubelets tell of them is up to a quarter of a minute old, too old for a span of less than a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from e2e.bench.usage import Machine, machine
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube

EVERY = 1.0
"""Seconds between two looks; a pod that ends keeps what the last one saw."""
GROUPS = (Path("/sys/fs/cgroup/cpuacct"), Path("/sys/fs/cgroup"))
"""Where control groups lie that count CPU time: version 1, or else version 2."""
STATIC = "kubernetes.io/config.hash"
"""The annotation by which a static pod's control group is named."""
IDLE, MEASURING, REST = "idle", "measuring", "rest"


@dataclass
class Spending:
    """CPU seconds of this machine in a span, complete once the block has ended."""

    pods: dict[str, float] = field(default_factory=dict)
    """Of pods, by namespace."""
    own: float = 0.0
    """Of this process and those that it started."""
    busy: float = 0.0
    """Of all processes and the kernel."""
    total: float = 0.0
    """What there was to be had."""

    def shares(self, named: Mapping[str, str], others: str) -> dict[str, float]:
        """Percent of the machine: of namespaces by the name that each is given here, of the `others`
        together, of what measures, of the rest, and what nobody wanted."""
        found = dict.fromkeys([*named.values(), others, MEASURING, REST, IDLE], 0.0)
        for namespace, seconds in self.pods.items():
            found[named.get(namespace, others)] += seconds
        found[MEASURING] = self.own
        found[REST] = max(0.0, self.busy - sum(found.values()))
        found[IDLE] = self.total - self.busy
        return {name: 100 * seconds / self.total for name, seconds in found.items()}


@asynccontextmanager
async def spending(kube: Kube) -> AsyncIterator[Spending]:
    """What is spent as long as the block lasts; the pods must run on this machine."""
    found, pods = Spending(), _Pods()
    following = asyncio.create_task(pods.follow(kube))
    looking = None
    try:
        async with asyncio.timeout(60.0):
            await pods.synced.wait()
        pods.look(begins=True)
        looking = asyncio.create_task(pods.watch())
        before, own = machine(), sum(os.times()[:4])
        yield found
        found.busy, found.total = _seconds(before, machine())
        found.own = sum(os.times()[:4]) - own
        pods.look()
        found.pods = pods.spent()
    finally:
        for task in filter(None, (following, looking)):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def _seconds(before: Machine, after: Machine) -> tuple[float, float]:
    """CPU seconds that were used, and that there were."""
    tick = os.sysconf("SC_CLK_TCK")
    total = after.total - before.total
    return (total - (after.idle - before.idle)) / tick, total / tick


class _Pods:
    """Pods of this machine: the namespace of each, and what it has spent so far."""

    def __init__(self) -> None:
        self.synced = asyncio.Event()
        self._namespaces: dict[str, str] = {}
        self._before: dict[str, float] = {}
        self._last: dict[str, float] = {}
        root = next(path for path in GROUPS if path.is_dir())
        self._roots = sorted(root.glob("**/kubepods"))

    async def follow(self, kube: Kube) -> None:
        """Also those that come and go in between."""
        async with aclosing(kube.watch(kinds.POD)) as events:
            async for event in events:
                if event.type == "SYNCED":
                    self.synced.set()
                else:
                    self._namespaces[_group(event.object)] = event.object["metadata"]["namespace"]

    async def watch(self) -> None:
        """Looks again and again."""
        while True:
            await asyncio.sleep(EVERY)
            self.look()

    def look(self, *, begins: bool = False) -> None:
        """Takes down what each has spent by now."""
        for directory in self._directories():
            with contextlib.suppress(OSError):  # it ended under our eyes
                self._last[directory.name.removeprefix("pod")] = _spent(directory)
        if begins:
            self._before = dict(self._last)

    def spent(self) -> dict[str, float]:
        """Since the beginning, by namespace."""
        found: dict[str, float] = defaultdict(float)
        for uid, seconds in self._last.items():
            if (namespace := self._namespaces.get(uid)) is not None:
                found[namespace] += seconds - self._before.get(uid, 0.0)
        return dict(found)

    def _directories(self) -> Iterator[Path]:
        for root in self._roots:
            yield from root.glob("pod*")
            yield from root.glob("*/pod*")


def _group(pod: Manifest) -> str:
    meta = pod["metadata"]
    return str((meta.get("annotations") or {}).get(STATIC) or meta["uid"])


def _spent(directory: Path) -> float:
    """CPU seconds of a control group, those of processes that have ended included."""
    counted = directory / "cpuacct.usage"
    if counted.exists():
        return int(counted.read_text()) / 1e9
    first = (directory / "cpu.stat").read_text().split("\n", 1)[0]
    return int(first.removeprefix("usage_usec ")) / 1e6
