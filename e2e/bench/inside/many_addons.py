"""Addons of a hundred Clusters at rest: what the operator itself takes, and that it writes nothing.

Of the Clusters nothing runs, as where a FleetUpgrade over many of them is measured.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp

from e2e.bench.figure import Figure, figure
from e2e.bench.upgrades.standins.business import WRITES
from e2e.bench.upgrades.standins.operator import Taken
from e2e.bench.upgrades.standins.stage import EACH, Stage, cluster, staged
from e2e.fixtures.clusters import KIND as CLUSTER
from e2e.framework.follow import has
from e2e.polling import eventually
from kok.api import Addon, names
from kok.api.meta import Manifest
from kok.kube.client import Kube

CLUSTERS = 100
VERSION = "1.37.1"
BUILT_IN = ("local-path", "kube-network-policies")
"""Beside three by default, and one of the user's own: six in all."""
ADDONS = 6
ADDON = Addon.info.kind
SETTLE_SECONDS, REST_SECONDS = 120.0, 300.0
WITHIN = 1800.0
OWN = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: own, namespace: default}
data: {cluster: {{ cluster.name | json }}}
"""


async def at_rest(count: int = CLUSTERS) -> AsyncIterator[Figure]:
    """100 Clusters with 6 Addons each, whose pods are stand-ins: what the operator takes for them."""
    async with staged(count) as stage:
        made = await stage.running.beside(_made(stage))
        text = f"{count} Clusters with {ADDONS} Addons, {EACH} at a time"
        yield figure("addons-many-made", made, "s", note=text)
        await stage.running.beside(asyncio.sleep(SETTLE_SECONDS))
        async for found in _rest(stage, count):
            yield found


async def _rest(stage: Stage, count: int) -> AsyncIterator[Figure]:
    kube, running = stage.kube, stage.running
    running.forget_peak()
    before, inside = await running.taken(), await _writes_inside(kube)
    connections = []
    begin = time.monotonic()
    while (seconds := time.monotonic() - begin) < REST_SECONDS:
        connections.append(running.connections())
        await running.beside(asyncio.sleep(min(10.0, REST_SECONDS - seconds)))
    after, inside = await running.taken(), await _writes_inside(kube) - inside
    text = f"{count} x {ADDONS} Addons at rest, {seconds:.0f} s"
    writes = _writes(after) - _writes(before)
    yield figure("addons-many-writes", writes, "writes", 0, note=f"to the meta cluster; {text}")
    yield figure("addons-many-applied", inside, "writes", 0, note="to business clusters")
    share = 100 * (after.cpu - before.cpu) / seconds
    yield figure("addons-many-cpu", share, "%-core", note="of the operator, its Clusters included")
    yield figure("addons-many-memory", running.peak(), "MiB", 512, note="resident, at most")
    yield figure("addons-many-connections", connections, "sockets", note="open at a time")
    passes = after.passes.get(ADDON.kind, 0) - before.passes.get(ADDON.kind, 0)
    yield figure("addons-many-passes", passes, "passes", note="over Addons")


def _writes(taken: Taken) -> int:
    """Requests that change something, but for those that renew the Lease."""
    return sum(n for verb, n in taken.requests.items() if verb not in {"GET", "PUT"})


async def _writes_inside(kube: Kube) -> int:
    """How often the stand-ins of business clusters were asked to store something, all together."""
    count = 0
    async with aiohttp.ClientSession() as session:
        for cluster in await kube.list(CLUSTER):
            endpoint = cluster["status"]["endpoint"]
            async with session.get(f"{endpoint}/metrics", ssl=False) as answer:
                lines = (await answer.text()).splitlines()
            count += sum(int(line.split()[1]) for line in lines if line.startswith(WRITES))
    return count


# --- Clusters and Addons


async def _made(stage: Stage) -> float:
    """Seconds until all are Ready."""
    began = time.monotonic()
    await stage.make(_with_addons, VERSION, WITHIN)
    wanted = ADDONS * len(stage.places)

    async def all_ready() -> bool:
        ready = [has("Ready")(one) for one in await stage.kube.list(ADDON)]
        return len(ready) == wanted and all(ready)

    await eventually(all_ready, WITHIN, every=2.0)
    return time.monotonic() - began


def _with_addons(namespace: str, name: str) -> list[Manifest]:
    built_in = [{"name": one} for one in BUILT_IN]
    return [cluster(namespace, name, version=VERSION, addons=built_in), _own(namespace, name)]


def _own(namespace: str, cluster: str) -> Manifest:
    return {
        "apiVersion": ADDON.api_version,
        "kind": ADDON.kind,
        "metadata": {"name": names.cluster_addon(cluster, "own"), "namespace": namespace},
        "spec": {"cluster": cluster, "source": {"inline": OWN}},
    }
