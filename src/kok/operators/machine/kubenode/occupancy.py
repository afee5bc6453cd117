"""How many pods would have to move if a node went, asked only where it matters which one does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import structlog

from kok.api.cluster.cluster import Cluster
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.concurrency import asking
from kok.kube.errors import KubeError
from kok.operators.machine.kubenode.rollout.order import Load
from kok.operators.machine.node import drain
from kok.operators.machine.node.cluster_connections import ClusterConnection
from kok.workload.identity import Identity

PODS: Final = 1000
"""Pods of one node that are counted; kubelets run hundreds."""
AT_ONCE: Final = 16
"""Nodes of one cluster that are asked about at a time."""
PATIENCE: Final = 15.0
"""Seconds for all of them. Whoever asks for fewer nodes gets fewer, also of a cluster that is silent."""

_ZONE: Final = "topology.kubernetes.io/zone"

Connect = Callable[[Cluster | None, Identity | None], Awaitable[ClusterConnection | None]]
"""Leads into a business cluster, if there is a way."""
Occupancy = dict[str, int]
_log = structlog.stdlib.get_logger("kok.machine")


async def of_nodes(
    connect: Connect, cluster: Cluster | None, identity: Identity | None, nodes: Sequence[str]
) -> Occupancy:
    """Pods by node, of all these nodes; nothing at all where that cannot be known now.

    Pods of DaemonSets, of files, and those that have ended move nowhere: they do not count.
    """
    connection = await connect(cluster, identity) if nodes else None
    return await _counted(connection, nodes) if connection is not None else {}


async def loads(
    connect: Connect,
    cluster: Cluster | None,
    identity: Identity | None,
    machines: Mapping[str, str],
) -> dict[str, Load]:
    """The same, and in which zones the nodes are, by the names of their Machines; `machines` has these
    by node."""
    connection = await connect(cluster, identity) if machines else None
    if connection is None:
        return {}
    pods = await _counted(connection, [node for node in machines if node in connection.nodes])
    found = {}
    for node, count in pods.items():
        view = connection.nodes.get(node)
        zone = view.labels.get(_ZONE) if view is not None else None
        found[machines[node]] = Load(count, zone or "")
    return found


async def _counted(connection: ClusterConnection, nodes: Sequence[str]) -> Occupancy:
    if connection.answers is False:
        return {}
    limit = asyncio.Semaphore(AT_ONCE)
    try:
        async with asyncio.timeout(PATIENCE), asking() as group:
            asked = {n: group.create_task(_pods(connection.kube, n, limit)) for n in nodes}
    except (KubeError, TimeoutError) as error:
        _log.info("pods of nodes not counted", nodes=len(nodes), error=str(error))
        return {}
    return {node: task.result() for node, task in asked.items()}


async def _pods(kube: Kube, node: str, limit: asyncio.Semaphore) -> int:
    async with limit:
        listed = await kube.list(
            kinds.POD, fields=drain.running_on(node), keep=drain.moving, most=PODS
        )
    return len(listed)
