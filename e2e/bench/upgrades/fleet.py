"""A patch level for twelve Clusters: by one FleetUpgrade, one after another, by a loop of kubectl.

Beside them stands one Cluster that is alone. Each is timed until the control plane and the addons of all
are at the version and serve; a FleetUpgrade also until it says so itself. Of each span is said who took
the machine's CPU time. A FleetUpgrade only raises; the loop then goes back to the patch level of before,
which is the same work, so that nothing is rolled only to be rolled again.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from e2e.bench import clusters
from e2e.bench.clusters import NAMESPACE
from e2e.bench.figure import Figure, figure
from e2e.bench.upgrades.many import FLEET, each, only_by_spec, raise_all
from e2e.bench.upgrades.one import NEW, OLD, timed
from e2e.bench.upgrades.spending import Spending, spending
from e2e.fixtures import clusters as fixture
from e2e.framework.environment import Environment
from e2e.framework.follow import Predicate
from e2e.framework.install import NAMESPACE as OPERATORS
from e2e.lab.machine.commands import run

CLUSTERS, ROUNDS, TARGET = 12, 3, 4.0
LITTLE = {"resources": {"requests": {"cpu": "5m"}}}
"""So that the scheduler puts the pods of all, and those that replace them, on one machine."""
CONTROL_PLANES, META = "control-planes", "meta"


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds of one way to upgrade all, and who spent CPU time meanwhile."""

    seconds: float
    spent: Spending


async def fleet(w: Environment) -> AsyncIterator[Figure]:
    """Twelve edge Clusters by a patch level: a FleetUpgrade, in turn, a loop of kubectl; one alone."""
    await w.lab.want(kubernetes=f"v{OLD}")
    names = [f"fleet-{number:02}" for number in range(CLUSTERS)]
    await _make(w, names[:1])
    alone = await _alone(w, names[0])
    one = statistics.median(alone)
    yield figure("upgrade-fleet-one", alone, "s", note="one edge Cluster alone, by spec.version")

    await _make(w, names[1:])
    raised = await _measured(w, names, NEW, lambda: _raised(w))
    for found in _figures("", raised, one, "one FleetUpgrade with its default waves", TARGET):
        yield found
    await _by_spec(w, names)
    patched = await _measured(w, names, OLD, lambda: _patched(w, names, OLD))
    for found in _figures("loop", patched, one, "a shell loop of kubectl patch, back"):
        yield found
    turns = await _measured(w, names, NEW, lambda: _in_turn(w, names, NEW))
    for found in _figures("in-turn", turns, one, "one after another by spec.version"):
        yield found
    await clusters.delete(w, *names)


def _figures(
    name: str, took: Took, one: float, how: str, target: float | None = None
) -> Iterator[Figure]:
    whole = "-".join(filter(None, ("upgrade-fleet", name)))
    yield figure(whole, took.seconds, "s", note=f"{CLUSTERS} Clusters by {how}")
    yield figure(f"{whole}-ratio", took.seconds / one, "x-one", target)
    shares = took.spent.shares({OPERATORS: "operators", NAMESPACE: CONTROL_PLANES}, META)
    notes = {
        "operators": "of the CPU time of all cores in that span: all operators",
        CONTROL_PLANES: "the same: pods of the Clusters",
        META: "the same: the meta cluster's own pods",
        "measuring": "the same: this benchmark, kubectl included",
        "rest": "the same: kubelet, container runtime, kernel",
        "idle": "the same: nobody",
    }
    for who, percent in shares.items():
        yield figure(f"{whole}-cpu-{who}", percent, "%", note=notes[who])


# --- the ways


async def _alone(w: Environment, name: str) -> list[float]:
    """Seconds of one Cluster, forth each time."""
    await timed(w, name, NEW)  # Images are pulled and caches filled from here on.
    took = []
    for _ in range(ROUNDS):
        await timed(w, name, OLD)
        took.append(await timed(w, name, NEW))
    await timed(w, name, OLD)
    return took


async def _in_turn(w: Environment, names: Sequence[str], version: str) -> None:
    for name in names:
        await fixture.change(w, NAMESPACE, name, version=version)
        await fixture.at_rest(w, NAMESPACE, name, version)


async def _raised(w: Environment) -> None:
    """By a FleetUpgrade over all Clusters of the namespace, until it has ended well."""
    place, target = (NAMESPACE, "usual"), {"version": NEW}
    if left := await raise_all(w.kube, place, CLUSTERS * fixture.LONG, target=target):
        raise AssertionError(f"the FleetUpgrade leaves {len(left)} behind: {left[0]}")


async def _patched(w: Environment, names: Sequence[str], version: str) -> None:
    """As people do it by hand: all at once, without looking back."""
    kubectl = shlex.join([str(w.lab.program("kubectl")), f"--kubeconfig={w.lab.kubeconfig}"])
    patch = shlex.quote(json.dumps({"spec": {"version": version}}))
    change = f'{kubectl} patch cluster "$name" -n {NAMESPACE} --type=merge -p {patch}'
    await run("sh", "-ec", f"for name in {shlex.join(names)}; do {change}; done", timeout=120)


# --- how it is measured


async def _measured(
    w: Environment, names: Sequence[str], version: str, begin: Callable[[], Awaitable[None]]
) -> Took:
    """How long all take from a rest until all are at this version, and `begin` is through."""
    for name in names:
        await fixture.quiet(w, NAMESPACE, name)
    async with spending(w.kube) as spent:
        began = time.monotonic()
        await asyncio.gather(begin(), _all(w, names, fixture.settled(version)))
        seconds = time.monotonic() - began
    return Took(seconds, spent)


async def _make(w: Environment, names: Sequence[str]) -> None:
    parts = dict.fromkeys(("apiServer", "controllerManager", "scheduler", "etcd"), LITTLE)
    await w.apply(*(fixture.manifest(NAMESPACE, name, version=OLD, **parts) for name in names))
    await _all(w, names, fixture.settled(OLD))


async def _by_spec(w: Environment, names: Sequence[str]) -> None:
    """The specs catch up with what was raised, so that they may go back; no pod is rolled for it."""
    for name in names:
        await fixture.change(w, NAMESPACE, name, version=NEW)
    await _all(w, names, only_by_spec(NEW))
    for one in await w.kube.list(FLEET, NAMESPACE):
        await w.kube.delete(FLEET, one["metadata"]["name"], NAMESPACE)


async def _all(w: Environment, names: Iterable[str], holds: Predicate) -> None:
    # A limit for what never comes: one after another, on a slow machine, take long.
    many = [(NAMESPACE, name) for name in names]
    await each(w.kube, many, holds, CLUSTERS * fixture.LONG)
