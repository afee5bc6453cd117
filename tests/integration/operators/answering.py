"""A process that does with business clusters what operators do, and tells what that took.

Arguments: what to do, and addresses of API servers. It tells, as JSON, the most memory that it ever
had (bytes), what it could not take of each server, and how what it did with each of them ended.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from tests.integration.operators.swallowing import the_most_memory

from kok.kube.budget.limits import TENANT
from kok.kube.client import Kube
from kok.kube.errors import KubeError
from kok.kube.http.access import Access
from kok.operators.cluster.addon.applying.bring import Terms
from kok.operators.cluster.addon.applying.install import install, inventory_entries
from kok.operators.cluster.addon.applying.removal import remove
from kok.operators.cluster.addon.crashes import pod_error
from kok.operators.cluster.addon.health import Workload
from kok.operators.cluster.businesscluster import rbac
from kok.operators.cluster.businesscluster.apply import apply_all
from kok.operators.cluster.businesscluster.connections import WORKING
from kok.operators.cluster.cluster.render import bootstrap
from kok.operators.cluster.naming import LABEL_ADDON
from kok.operators.machine.node.cluster_connections import ClusterConnection
from kok.runtime.controller.errors import ReconcileStop
from kok.workload.availability import Availability

OBJECTS = 60
KINDS = 40
PATIENCE = 300.0
"""Seconds for one request: what is to be seen here is memory, not patience."""


def manifest(number: int, api: str, kind: str) -> dict[str, Any]:
    meta = {"name": f"o{number}", "namespace": "default", "labels": {LABEL_ADDON: "a"}}
    return {"apiVersion": api, "kind": kind, "metadata": meta}


async def addon(kube: Kube) -> str:
    """A pass over an Addon of many objects, and its end."""
    wanted = [manifest(number, "evil.example/v1", "Thing") for number in range(OBJECTS)]
    wanted += [manifest(number, "apps/v1", "Deployment") for number in range(OBJECTS)]
    known = [one for one in await inventory_entries(kube, wanted) if one is not None]
    found = (await install(kube, wanted, Terms("a"))).found
    await pod_error(kube, found)
    await remove(kube, known, "a", due=len(known))
    return f"{len(known)} objects, {len(found)} workloads"


async def discovery(kube: Kube) -> str:
    """An Addon with kinds of many groups."""
    wanted = [manifest(number, f"g{number}.example/v1", "Thing") for number in range(KINDS)]
    return f"{sum(one is not None for one in await inventory_entries(kube, wanted))} objects"


async def objects(kube: Kube) -> str:
    """What every business cluster gets."""
    wanted = [*rbac.objects(), *bootstrap._joining()]
    return f"{len(await apply_all(kube, wanted))} refused"


async def pods(kube: Kube) -> str:
    """Why workloads are not up."""
    sick = [Workload(f"Deployment {n}", 0, 1, "default", "a=b") for n in range(3)]
    return await pod_error(kube, sick)


async def nodes(kube: Kube) -> str:
    """The machine operator follows nodes until they are all known, or more than it takes.

    Machines are woken by either.
    """
    connection = ClusterConnection("", kube, Availability(asyncio.get_running_loop().time))
    woken = asyncio.Event()
    connection.on_node("n", "a Machine", woken.set)
    while not connection.synced.is_set() and connection.state().excess is None:
        await woken.wait()
        woken.clear()
    found = (
        f"{len(connection.nodes)} nodes, whole: {all(n.whole for n in connection.nodes.values())}"
    )
    await connection.close()
    return found


WORKS: dict[str, Callable[[Kube], Awaitable[str]]] = {
    work.__name__: work for work in (addon, discovery, objects, pods, nodes)
}


async def one(work: str, server: str) -> tuple[str, str | None]:
    kube = Kube(
        Access(server=server),
        field_manager="t",
        timeout=PATIENCE,
        connections=WORKING,
        limits=TENANT,
    )
    try:
        ended = await WORKS[work](kube)
    except (KubeError, ReconcileStop) as error:
        ended = f"{error.reason}: {error}"
    excess = kube.excess
    await kube.close()
    return ended, excess


async def main(work: str, servers: list[str]) -> None:
    """See above."""
    found = await asyncio.gather(*(one(work, server) for server in servers))
    told = {
        "memory": the_most_memory(),
        "ended": [e for e, _ in found],
        "excess": [x for _, x in found],
    }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
