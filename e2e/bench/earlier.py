"""The operators of an earlier tree and of this one, in turns in one lab: neither may be the worse.

A machine's noise lasts for minutes, so that one tree after the other would measure the noise. They take
turns, and each figure is compared with that of the same turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from e2e.bench import clusters
from e2e.bench.figure import Figure, figure
from e2e.bench.usage import cores, mebibytes, usage
from e2e.framework import earlier_release
from e2e.framework.environment import Environment
from e2e.framework.follow import has
from e2e.framework.install import CHECKOUT, install
from e2e.framework.install import NAMESPACE as OPERATORS

TURNS, ROUNDS, FLEET = 2, 2, 5
SETTLE_SECONDS, REST_SECONDS = 45.0, 120.0
NOISE = 1.05
"""What the median of a few turns differs by from one run to the next, of one and the same tree."""


@dataclass(slots=True)
class Turns:
    """What one tree did, a value for each of its turns."""

    edge: list[float] = field(default_factory=list)
    """Seconds until an edge Cluster could be used, without the volumes' share; the best of a turn."""
    standard: list[float] = field(default_factory=list)
    together: list[float] = field(default_factory=list)
    """Seconds until the last of several at once could be used."""
    memory: list[float] = field(default_factory=list)
    """MiB of all operators, resident, beside that many Clusters."""
    cpu: list[float] = field(default_factory=list)
    """Percent of one core, of all operators at rest."""
    writes: list[float] = field(default_factory=list)
    """Of all operators at rest."""


WHAT = {
    "edge": ("s", "one edge Cluster usable, without the volumes' share"),
    "standard": ("s", "one standard Cluster usable, without the volumes' share"),
    "together": ("s", f"{FLEET} edge Clusters at once, until the last is usable"),
    "memory": ("MiB", f"all operators beside {FLEET} Clusters, resident"),
    "cpu": ("%-core", f"all operators beside {FLEET} Clusters at rest"),
    "writes": ("writes", f"the same, in {REST_SECONDS:.0f} s"),
}


async def earlier(w: Environment) -> AsyncIterator[Figure]:
    """Operators of an earlier tree against those of this one, in turns."""
    trees = {"before": await earlier_release.tree(w.lab), "now": CHECKOUT}
    found = {name: Turns() for name in trees}
    try:
        for number in range(TURNS):
            # Who is first finds the machine as the other one has left it.
            for name in sorted(trees, reverse=bool(number % 2)):
                await _turn(w, name, trees[name], found[name])
    finally:
        await install(w.lab, w.report)
    for what, (unit, note) in WHAT.items():
        before, now = getattr(found["before"], what), getattr(found["now"], what)
        yield figure(f"earlier-{what}-before", before, unit, note=note)
        yield figure(f"earlier-{what}-now", now, unit, note=note)
        if what == "writes":
            yield figure("earlier-writes-more", max(now) - max(before), unit, 0)
        else:
            yield figure(f"earlier-{what}-ratio", _ratios(before, now), "x-before", NOISE)


def _ratios(before: Sequence[float], now: Sequence[float]) -> list[float]:
    """Of each turn."""
    return [new / old for old, new in zip(before, now, strict=True)]


async def _turn(w: Environment, name: str, tree: Path, turns: Turns) -> None:
    with w.report.step(f"the operators of {name}"):
        await install(w.lab, w.report, tree=tree)
        # The first one fills caches of operators that were just started.
        await clusters.create(w, "first", clusters.EDGE)
        await clusters.delete(w, "first")
    with w.report.step(f"Clusters one by one, {name}"):
        turns.edge.append(await _best(w, "edge", clusters.EDGE))
        turns.standard.append(await _best(w, "standard", clusters.STANDARD))
    with w.report.step(f"{FLEET} Clusters at once, {name}"):
        names = [f"fleet-{number}" for number in range(FLEET)]
        many = await asyncio.gather(*(clusters.create(w, n, clusters.EDGE) for n in names))
        turns.together.append(max(one.usable for one in many))
        for each in names:
            await w.until(clusters.CLUSTER, clusters.NAMESPACE, each, has("Ready"), 180.0)
    with w.report.step(f"at rest, {name}"):
        await _rest(w, turns)
    await clusters.delete(w, *names)


async def _best(w: Environment, name: str, spec: dict[str, object]) -> float:
    took = []
    for _ in range(ROUNDS):
        made = await clusters.create(w, name, spec)
        took.append(made.usable - made.volumes)
        await clusters.delete(w, name)
    return min(took)


async def _rest(w: Environment, turns: Turns) -> None:
    def ours(namespace: str, _pod: str) -> bool:
        return namespace == OPERATORS

    await asyncio.sleep(SETTLE_SECONDS)
    before, since = await usage(w.kube, ours), datetime.now(UTC)
    await asyncio.sleep(REST_SECONDS)
    writes = await w.lab.writes(since)
    after = await usage(w.kube, ours)
    turns.memory.append(mebibytes(after))
    turns.cpu.append(100 * cores(before, after))
    turns.writes.append(sum(n for agent, n in writes.items() if agent.startswith("kok-")))
