"""A FleetUpgrade over hundreds of Clusters of which nothing runs: what the operator itself takes for it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from e2e.bench.figure import Figure, figure
from e2e.bench.upgrades.many import each, only_by_spec, raise_all
from e2e.bench.upgrades.standins.operator import LEASES, Taken
from e2e.bench.upgrades.standins.stage import EACH, Stage, cluster, few, staged
from e2e.bench.usage import machine
from e2e.fixtures.clusters import KIND as CLUSTER
from kok.api.meta import Manifest

CLUSTERS = 300
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
    async with staged(count) as stage:
        running = stage.running
        made = await running.beside(stage.make(_cluster, OLD, WITHIN))
        yield figure("upgrade-standins-made", made, "s", note=f"{count} Clusters, {EACH} at a time")
        await asyncio.sleep(REST_SECONDS)
        usual = await running.beside(_measured(stage, "usual", ()))
        for found in _figures("", count, usual, "its default waves: 10 at a time"):
            yield found
        await running.beside(_back(stage))
        await asyncio.sleep(REST_SECONDS)
        waves = [{"name": "all", "maxParallel": count}]
        at_once = await running.beside(_measured(stage, "all", waves))
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


async def _measured(stage: Stage, name: str, waves: Sequence[Any]) -> Took:
    """A FleetUpgrade, from its creation until it says that it has ended."""
    running = stage.running
    running.forget_peak()
    resident, before, cores = running.resident(), await running.taken(), machine()
    began = time.monotonic()
    spec = {"namespaces": ["*"], "target": {"version": NEW}, "waves": list(waves)}
    left = await raise_all(stage.kube, (LEASES, name), WITHIN, **spec)
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


def _cluster(namespace: str, name: str) -> list[Manifest]:
    return [cluster(namespace, name, version=OLD)]


async def _back(stage: Stage) -> None:
    """To the version of before. The spec has to catch up with what was raised first."""
    for version in (NEW, OLD):
        for some in few(stage.places):
            for namespace, name in some:
                await stage.kube.patch(CLUSTER, name, namespace, {"spec": {"version": version}})
            await each(stage.kube, some, only_by_spec(version), WITHIN)
