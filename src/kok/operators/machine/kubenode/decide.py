"""What a KubeNode's Machines are to have, or why nothing can be done. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from kok.api.machine.kubenode import KubeNode
from kok.api.machine.machine import MachineComponent
from kok.operators.machine import cluster_version, reasons
from kok.operators.machine.kubenode import claims, software
from kok.operators.machine.kubenode.observe import KubeNodeView
from kok.runtime.controller.errors import Invalid, ReconcileStop, Wait

CLUSTER_AGAIN = 30.0
"""Seconds after which a Cluster that is missing is looked for again."""


@dataclass(frozen=True, slots=True)
class KubeNodeDecision:
    """The software of its Machines."""

    version: str = ""
    """Of Kubernetes; empty if it cannot be said."""
    software: tuple[MachineComponent, ...] = ()
    held: str = ""
    """Why no kubelet may change its version now, as a sentence."""
    few_addresses: str = ""
    """What is smaller than usual about the pod addresses of these nodes, as a sentence."""
    stop: ReconcileStop | None = None
    """Why nothing can be done."""


def decide(kubenode: KubeNode, view: KubeNodeView) -> KubeNodeDecision:
    """What the Machines are to have."""
    cluster = view.cluster
    if cluster is None or cluster.deleting:
        return KubeNodeDecision(stop=_without_cluster(kubenode, gone=cluster is None))
    if view.odd_mine:
        # Without it another host would be taken in its place, or others be disturbed with it.
        return KubeNodeDecision()
    try:
        version = software.kubernetes_version(kubenode, cluster)
    except Invalid as error:
        return KubeNodeDecision(stop=error)
    there = cluster.status.nodes.total if cluster.status.nodes is not None else 0
    nodes = max(there, claims.wanted_nodes(kubenode))
    few = software.pod_addresses(kubenode, cluster, nodes)
    try:
        wanted = software.software(kubenode, cluster, version, view.mine)
    except Invalid as error:
        return KubeNodeDecision(version, few_addresses=few, stop=error)
    held = cluster_version.held(cluster)
    return KubeNodeDecision(version, tuple(wanted), held, few)


def _without_cluster(kubenode: KubeNode, *, gone: bool) -> Wait:
    how = "does not exist" if gone else "is being deleted"
    return Wait(
        reasons.CLUSTER_MISSING if gone else reasons.CLUSTER_DELETING,
        f"Cluster {kubenode.namespace}/{kubenode.spec.cluster} {how}; create it, or "
        "delete this KubeNode",
        CLUSTER_AGAIN,
    )
