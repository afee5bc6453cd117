"""What is said of the way from API servers into their business cluster. Pure."""

from __future__ import annotations

from kok.api.cluster.cluster import Cluster
from kok.operators.cluster import reasons
from kok.operators.cluster.businesscluster.reach import Reach
from kok.runtime.conditions import Verdict

_SHOWN = 3
"""Entries that a sentence names."""


def cluster_reachable(cluster: Cluster, inside: Reach) -> Verdict:
    """What is not reached, the worst first, and what to do about it."""
    return _lost(cluster, inside) or _reached(cluster, inside)


def _lost(cluster: Cluster, inside: Reach) -> Verdict | None:
    if inside.kubelets:
        text = f"API servers do not reach kubelets: {_some(inside.kubelets)}; {_advice(cluster)}"
        return Verdict(False, reasons.KUBELETS_UNREACHABLE, text)
    if inside.webhooks:
        text = (
            f"what webhooks have to be asked about is refused: {_some(inside.webhooks)}; mend or "
            f"remove them, or set failurePolicy: Ignore{_nowhere(cluster, inside)}"
        )
        return Verdict(False, reasons.WEBHOOKS_FAIL, text)
    if inside.apis:
        text = (
            f"aggregated APIs do not answer, and no namespace can be deleted meanwhile: "
            f"{_some(inside.apis)}; mend what serves them, or delete the APIService"
            f"{_nowhere(cluster, inside) or _tunnel(cluster)}"
        )
        return Verdict(False, reasons.APIS_UNAVAILABLE, text)
    return None


def _reached(cluster: Cluster, inside: Reach) -> Verdict:
    if inside.risks:
        text = (
            f"{_some(inside.risks)}: when it does not answer, nodes are lost, and it with them; "
            "exclude these by its rules, or set failurePolicy: Ignore"
        )
        return Verdict(True, reasons.WEBHOOKS_AT_NODES, text)
    if inside.pods:
        text = (
            f"API servers reach kubelets but no pods, so that webhooks and aggregated APIs inside "
            f"would not work: {_some(inside.pods)}; {_pods(cluster)}"
        )
        return Verdict(True, reasons.PODS_UNREACHABLE, text)
    if not inside.asked:
        text = f"there is no node yet to be reached{_nowhere(cluster, inside)}"
        return Verdict(True, reasons.WAITING_FOR_NODES, text)
    return Verdict(True, reasons.AS_WANTED, "API servers reach all that they were asked for")


def _advice(cluster: Cluster) -> str:
    if _has_tunnel(cluster):
        return "look at the Addon konnectivity-agent, and at what lies between agents and nodes"
    return "open port 10250 of the nodes to them, or set spec.network.tunnel: Always"


def _nowhere(cluster: Cluster, inside: Reach) -> str:
    """Why nothing inside can be reached by a tunnel before there is a node."""
    if inside.asked or not _has_tunnel(cluster):
        return ""
    return "; without a Ready node no agent runs by which pods and Services are reached"


def _tunnel(cluster: Cluster) -> str:
    if _has_tunnel(cluster):
        return ""
    return "; where API servers have no way to pods and Services set spec.network.tunnel: Always"


def _pods(cluster: Cluster) -> str:
    if _has_tunnel(cluster):
        return "look at the Addon konnectivity-agent, and at the network of pods"
    return "who needs these sets spec.network.tunnel: Always"


def _has_tunnel(cluster: Cluster) -> bool:
    return cluster.spec.network.tunnel == "Always" or cluster.status.tunnel is not None


def _some(entries: tuple[str, ...]) -> str:
    more = len(entries) - _SHOWN
    return "; ".join(entries[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")
