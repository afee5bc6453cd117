"""The benchmarks by name; each yields figures."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

from e2e.bench import clusters
from e2e.bench.bare import control_plane
from e2e.bench.earlier import earlier
from e2e.bench.etcd import backup
from e2e.bench.etcd import clusters as etcd
from e2e.bench.figure import Figure, figure
from e2e.bench.inside import addons, konnectivity, many_addons
from e2e.bench.machine import adopted, nodes, recovery, rollout
from e2e.bench.machine.simulated import measure as simulated
from e2e.bench.standalone import apiclients, store, texts
from e2e.bench.standalone import demo as whole_demo
from e2e.bench.tenants import fairness
from e2e.bench.upgrades import fleet as upgraded_fleet
from e2e.bench.upgrades import one as upgraded_one
from e2e.bench.upgrades.standins import measure as upgraded_standins
from e2e.bench.usage import cores, mebibytes, usage
from e2e.framework.environment import Environment
from e2e.framework.follow import has
from e2e.framework.install import NAMESPACE as OPERATORS
from kok.api import Cluster

ROUNDS = 3
FLEET = 5
REST_SECONDS = 300.0
SETTLE_SECONDS = 60.0

Suite = Callable[[Environment], AsyncIterator[Figure]]
Alone = Callable[[], AsyncIterator[Figure]]


async def create(w: Environment) -> AsyncIterator[Figure]:
    """One cluster: from apply to a kubeconfig that works, against bare processes."""
    programs = w.lab.program("etcd"), w.lab.program("kube-apiserver")
    floors, edges, standards = [], [], []
    for n in range(ROUNDS):
        floors.append(await control_plane.measure(*programs))
        edges.append(await clusters.create(w, f"edge-{n}", clusters.EDGE))
        await clusters.delete(w, f"edge-{n}")
        standards.append(await clusters.create(w, f"standard-{n}", clusters.STANDARD))
        await clusters.delete(w, f"standard-{n}")
    base = statistics.median(floors)
    yield figure("floor", floors, "s", note="bare etcd and kube-apiserver until /readyz")
    for name, many, target in (("edge", edges, 3.5), ("standard", standards, 5.0)):
        net = [c.usable - c.volumes for c in many]
        yield figure(f"create-{name}", [c.usable for c in many], "s", note="volumes included")
        yield figure(f"create-{name}-volumes", [c.volumes for c in many], "s", note="their share")
        yield figure(
            f"create-{name}-ratio",
            [c.usable / base for c in many],
            "x-floor",
            target,
            note="volumes included",
        )
        yield figure(
            f"create-{name}-net-ratio",
            [s / base for s in net],
            "x-floor",
            target,
            note="without the volumes' share",
        )


async def fleet(w: Environment) -> AsyncIterator[Figure]:
    """Five clusters at once against one; then all at rest: writes, memory, CPU."""
    one = await clusters.create(w, "one", clusters.EDGE)
    await clusters.delete(w, "one")
    names = [f"fleet-{n}" for n in range(FLEET)]
    many = await asyncio.gather(*(clusters.create(w, n, clusters.EDGE) for n in names))
    slowest = max(c.usable for c in many)
    yield figure(f"{FLEET}-at-once", slowest, "s", note="until the last kubeconfig works")
    yield figure(f"{FLEET}-at-once-ratio", slowest / one.usable, "x-one", 3.0)
    for name in names:
        await w.until(Cluster.info.kind, clusters.NAMESPACE, name, has("Ready"), 180.0)
    async for found in _rest(w):
        yield found
    async for found in _control_plane(w):
        yield found
    await clusters.delete(w, *names)


async def _rest(w: Environment) -> AsyncIterator[Figure]:
    w.report.line(f"{SETTLE_SECONDS:.0f} s to settle, then {REST_SECONDS:.0f} s of watching")
    await asyncio.sleep(SETTLE_SECONDS)

    def ours(namespace: str, _pod: str) -> bool:
        return namespace == OPERATORS

    before, since = await usage(w.kube, ours), datetime.now(UTC)
    await asyncio.sleep(REST_SECONDS)
    writes = await w.lab.writes(since)
    after = await usage(w.kube, ours)
    by_operators = sum(n for agent, n in writes.items() if agent.startswith("kok-"))
    yield figure("rest-writes", by_operators, "writes", 0, note=f"in {REST_SECONDS:.0f} s")
    yield figure("rest-memory", mebibytes(after), "MiB", 300, note="all operators, resident")
    yield figure("rest-cpu", 100 * cores(before, after), "%-core", 2.0, note="all operators")


async def _control_plane(w: Environment) -> AsyncIterator[Figure]:
    found = await usage(w.kube, lambda namespace, _pod: namespace == clusters.NAMESPACE)
    for container in sorted({u.container for u in found}):
        values = [u.rss / 2**20 for u in found if u.container == container]
        yield figure(f"memory-{container}", values, "MiB", note="one pod, resident")


SUITES: dict[str, Suite] = {
    "create": create,
    "machine-join": nodes.join,
    "machine-adopted": adopted.adopted,
    "machine-many": nodes.many,
    "machine-recovery": recovery.recovered,
    "machine-rollout": rollout.rolled,
    "fleet": fleet,
    "fairness": fairness.fairness,
    "konnectivity": konnectivity.tunnel,
    "addons-node": addons.node,
    "earlier": earlier,
    "upgrade-one": upgraded_one.one,
    "upgrade-fleet": upgraded_fleet.fleet,
    "etcd-members": etcd.members,
    "etcd-upgrade": etcd.rolled,
    "etcd-replace": etcd.replaced,
    "etcd-backup": backup.saved,
    "etcd-fleet": etcd.fleet,
}
"""What is measured in a lab with KOK in it."""
ALONE: dict[str, Alone] = {
    "demo": whole_demo.warm,
    "demo-cold": whole_demo.cold,
    "demo-released": whole_demo.released,
    "texts": texts.texts,
    "apiclients": apiclients.apiclients,
    "store": store.store,
    "upgrade-standins": upgraded_standins.standins,
    "machine-hosts": simulated.hosts,
    "addons-many": many_addons.at_rest,
}
"""What brings a lab of its own or needs none, and is to have the machine for itself."""
GROUPS = {
    subject: tuple(name for name in {**ALONE, **SUITES} if name.startswith(f"{subject}-"))
    for subject in ("addons", "etcd", "machine", "upgrade")
}
"""Several that are measured under one name: all whose name begins with it."""
RARE = ("earlier", "machine-recovery")
USUAL = ("demo", "texts", *(name for name in SUITES if name not in RARE))
"""What is measured unless a name is given; `demo-cold` and the `RARE` ones take half an hour each."""
