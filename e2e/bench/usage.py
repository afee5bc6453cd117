"""Memory and CPU of pods, as the meta nodes' kubelets measure them; and of the whole machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kok.kube import kinds
from kok.kube.client import Kube


@dataclass(frozen=True, slots=True)
class Usage:
    """One container: where it is, resident bytes, and CPU seconds since it was started."""

    namespace: str
    pod: str
    container: str
    rss: int
    cpu_seconds: float
    at: float


async def usage(kube: Kube, wanted: Callable[[str, str], bool]) -> list[Usage]:
    """All containers of the pods for which `wanted(namespace, name)` holds."""
    nodes = [n["metadata"]["name"] for n in await kube.list(kinds.NODE)]
    pages = await asyncio.gather(
        *(kube.raw("GET", f"/api/v1/nodes/{n}/proxy/stats/summary") for n in nodes)
    )
    found = []
    for page in pages:
        for pod in page.get("pods") or ():
            namespace, name = pod["podRef"]["namespace"], pod["podRef"]["name"]
            if not wanted(namespace, name):
                continue
            for container in pod.get("containers") or ():
                memory, cpu = container.get("memory") or {}, container.get("cpu") or {}
                found.append(
                    Usage(
                        namespace=namespace,
                        pod=name,
                        container=container["name"],
                        rss=int(memory.get("rssBytes", 0)),
                        cpu_seconds=int(cpu.get("usageCoreNanoSeconds", 0)) / 1e9,
                        at=time.monotonic(),
                    )
                )
    return found


def mebibytes(found: list[Usage]) -> float:
    """Resident memory of all of them."""
    return sum(u.rss for u in found) / 2**20


def cores(before: list[Usage], after: list[Usage]) -> float:
    """Share of one core that they used between two looks; restarted ones count from zero."""
    earlier = {(u.namespace, u.pod, u.container): u for u in before}
    share = 0.0
    for now in after:
        then = earlier.get((now.namespace, now.pod, now.container))
        if then is not None and now.at > then.at:
            share += max(0.0, now.cpu_seconds - then.cpu_seconds) / (now.at - then.at)
    return share


@dataclass(frozen=True, slots=True)
class Machine:
    """What all cores did since the machine started, in ticks of its clock."""

    idle: int
    total: int

    def busy_since(self, before: Machine) -> float:
        """Percent of all cores that were busy since then."""
        total = self.total - before.total
        return 100 * (1 - (self.idle - before.idle) / total) if total else 0.0


def machine() -> Machine:
    """What all cores of this machine did so far, from `/proc/stat`."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return Machine(idle=ticks[3] + ticks[4], total=sum(ticks))
