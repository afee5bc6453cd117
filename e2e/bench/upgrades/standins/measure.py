"""A FleetUpgrade over hundreds of Clusters of which nothing runs: what the operator itself takes for it."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.bench.bare.control_plane import end, start
from e2e.bench.figure import Figure, figure
from e2e.bench.upgrades.many import Place, each, only_by_spec, raise_all
from e2e.bench.upgrades.standins.meta import client, furnish, meta
from e2e.bench.upgrades.standins.operator import LEASES, Operator, Taken, operator
from e2e.bench.usage import machine
from e2e.fixtures.clusters import KIND as CLUSTER
from e2e.framework.install import CHECKOUT
from kok.kube.client import Kube

CLUSTERS, EACH = 300, 10
"""How many, and how many of them in a namespace."""
OLD, NEW = "1.37.0", "1.37.1"
REST_SECONDS = 60.0
WITHIN = 1800.0


@dataclass(frozen=True, slots=True)
class Took:
    """What one FleetUpgrade took."""

    seconds: float
    operator: Taken
    share: float
    """Percent of the machine's CPU time that the operator had."""
    busy: float
    """Percent of it that anybody had."""
    resident: float
    """MiB of the operator before."""
    peak: float
    left: list[str]
    """Clusters that did not get through, and why."""


async def standins(count: int = CLUSTERS) -> AsyncIterator[Figure]:
    """A FleetUpgrade over 300 Clusters whose pods are stand-ins: what the operator takes for it."""
    places = [(f"team-{n // EACH:02}", f"shop-{n % EACH}") for n in range(count)]
    with tempfile.TemporaryDirectory(prefix="kok-standins-") as folder:
        home = Path(folder)
        async with meta(home) as kubeconfig, await client(kubeconfig, "bench") as kube:
            await furnish(kube, [LEASES, *dict.fromkeys(namespace for namespace, _ in places)])
            async with stand_ins(home, kubeconfig), operator(home, kubeconfig) as running:
                made = await running.beside(_make(kube, places))
                yield figure(
                    "upgrade-standins-made", made, "s", note=f"{count} Clusters, {EACH} at a time"
                )
                await asyncio.sleep(REST_SECONDS)
                usual = await running.beside(_measured(kube, running, "usual", ()))
                for found in _figures("", count, usual, "its default waves: 10 at a time"):
                    yield found
                await running.beside(_back(kube, places))
                await asyncio.sleep(REST_SECONDS)
                waves = [{"name": "all", "maxParallel": count}]
                at_once = await running.beside(_measured(kube, running, "all", waves))
                for found in _figures("at-once", count, at_once, "all in one wave, at once"):
                    yield found


def _figures(name: str, count: int, took: Took, how: str) -> Iterator[Figure]:
    whole = "-".join(filter(None, ("upgrade-standins", name)))
    text = f"FleetUpgrade over {count} Clusters created until its end, {how}"
    yield figure(whole, took.seconds, "s", note=text)
    why = took.left[0] if took.left else "Clusters that did not get through"
    yield figure(f"{whole}-failed", len(took.left), "Clusters", 0, note=why)
    yield figure(f"{whole}-cpu", took.operator.cpu, "s", note="CPU time of the operator")
    one = 1000 * took.operator.cpu / count
    yield figure(f"{whole}-cpu-each", one, "ms", note="the same for each Cluster")
    yield figure(f"{whole}-cpu-share", took.share, "%", note="the same of all cores' time")
    yield figure(f"{whole}-cpu-busy", took.busy, "%", note="what all processes had, these included")
    yield figure(f"{whole}-memory-before", took.resident, "MiB", note="resident, at rest")
    yield figure(f"{whole}-memory", took.peak, "MiB", note="resident, at the peak")
    for method, number in sorted(took.operator.requests.items()):
        text = "of the operator to the meta API; its watches apart"
        yield figure(f"{whole}-requests-{method.lower()}", number, "requests", note=text)
    for kind, number in sorted(took.operator.passes.items()):
        yield figure(f"{whole}-passes-{kind.lower()}", number, "passes")


# --- what is measured


async def _measured(kube: Kube, running: Operator, name: str, waves: Sequence[Any]) -> Took:
    """A FleetUpgrade, from its creation until it says that it has ended."""
    running.forget_peak()
    resident, before, cores = running.resident(), await running.taken(), machine()
    began = time.monotonic()
    spec = {"namespaces": ["*"], "target": {"version": NEW}, "waves": list(waves)}
    left = await raise_all(kube, (LEASES, name), WITHIN, **spec)
    seconds, after, now = time.monotonic() - began, await running.taken(), machine()
    taken = _difference(before, after)
    busy = now.busy_since(cores)
    had = (now.total - cores.total) / os.sysconf("SC_CLK_TCK")
    share = 100 * taken.cpu / had
    return Took(seconds, taken, share, busy, resident, running.peak(), left)


def _difference(before: Taken, after: Taken) -> Taken:
    def less(then: dict[str, int], now: dict[str, int]) -> dict[str, int]:
        return {key: value - then.get(key, 0) for key, value in now.items()}

    return Taken(
        after.cpu - before.cpu,
        less(before.requests, after.requests),
        less(before.passes, after.passes),
    )


# --- Clusters


async def _make(kube: Kube, places: Sequence[Place]) -> float:
    """Seconds until all are as their specs say."""
    began = time.monotonic()
    for some in _few(places):
        for namespace, name in some:
            await kube.create(
                {
                    "apiVersion": CLUSTER.api_version,
                    "kind": CLUSTER.kind,
                    "metadata": {"name": name, "namespace": namespace},
                    "spec": {"version": OLD, "profile": "edge"},
                }
            )
        await each(kube, some, only_by_spec(OLD), WITHIN)
    return time.monotonic() - began


async def _back(kube: Kube, places: Sequence[Place]) -> None:
    """To the version of before. The spec has to catch up with what was raised first."""
    for version in (NEW, OLD):
        for some in _few(places):
            for namespace, name in some:
                await kube.patch(CLUSTER, name, namespace, {"spec": {"version": version}})
            await each(kube, some, only_by_spec(version), WITHIN)


def _few(places: Sequence[Place]) -> Iterator[Sequence[Place]]:
    """Those of one namespace after another: what is not measured is to overload nothing."""
    for begin in range(0, len(places), EACH):
        yield places[begin : begin + EACH]


# --- processes


@asynccontextmanager
async def stand_ins(home: Path, kubeconfig: Path) -> AsyncIterator[None]:
    """All that stands in for the rest of Kubernetes, as a process of its own."""
    module = ("-m", "e2e.bench.upgrades.standins", str(kubeconfig))
    path = {"PYTHONPATH": f"{CHECKOUT / 'src'}:{CHECKOUT}"}
    process = await start(Path(sys.executable), *module, log=home / "stand-ins.log", env=path)
    try:
        yield
    finally:
        await end(process)
