"""How much is on the nodes of a business cluster, and in which zones these are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.errors import KubeError
from kok.operators.machine.kubenode.rollout.order import Load
from kok.operators.machine.node.cluster_connections import ClusterConnections
from kok.operators.machine.node.drain import concerns
from kok.runtime.controller.reconciler import Key

_ZONE: Final = "topology.kubernetes.io/zone"
_RUNS: Final = "status.phase!=Succeeded,status.phase!=Failed"
PODS_MOST: Final = 50_000
"""Pods of a cluster that are counted; a fleet of 300 nodes may have 33,000."""


class Loads:
    """Asks by the connections that Machines hold; asked only when a batch is chosen."""

    def __init__(self, clusters: ClusterConnections) -> None:
        self._clusters = clusters

    async def of(self, cluster: Key, nodes: Mapping[str, str]) -> dict[str, Load]:
        """What is known of nodes, by the names of their Machines; `nodes` has these by node.

        Empty where the cluster does not answer: nobody waits for that.
        """
        connection = self._clusters.get(cluster)
        if connection is None or connection.answers is not True:
            return {}
        try:
            listed = await connection.kube.list(
                kinds.POD, fields=_RUNS, keep=_where, most=PODS_MOST
            )
        except KubeError:
            return {}
        pods = Counter(str(pod["node"]) for pod in listed)
        found = {}
        for node, machine in nodes.items():
            view = connection.nodes.get(node)
            if view is not None:
                zone = str(view.labels.get(_ZONE) or "")
                found[machine] = Load(pods[node], zone)
        return found


def _where(pod: Manifest) -> Manifest | None:
    """The node of a pod that would have to leave it."""
    node = (pod.get("spec") or {}).get("nodeName")
    return {"node": node} if isinstance(node, str) and concerns(pod) else None
