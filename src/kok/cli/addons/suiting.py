"""Whether an addon suits a cluster: the facts of the cluster against what the addon needs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from kok.addons import AddonFacts, Need
from kok.api.cluster.cluster import Cluster
from kok.operators.cluster import reasons
from kok.versions import number


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What matters of a cluster."""

    version: str
    """Of Kubernetes, as it runs."""
    nodes: int
    """How many it has."""
    gpus: int | None
    """GPUs of its Machines; None if nobody could say."""
    tunnel: Literal["Never", "Always", "Auto"] = "Never"
    """`spec.network.tunnel`."""
    tunnelled: bool = False
    """Whether there is a tunnel."""
    unreached: str = ""
    """Why API servers do not reach pods, if they are known not to."""


def facts_of(cluster: Cluster, gpus: int | None) -> ClusterFacts:
    """The facts of a Cluster; one that never answered has no nodes."""
    spec, status = cluster.spec, cluster.status
    reach = status.condition(reasons.CLUSTER_REACHABLE)
    return ClusterFacts(
        version=status.version or spec.version,
        nodes=status.nodes.total if status.nodes is not None else 0,
        gpus=gpus,
        tunnel=spec.network.tunnel,
        tunnelled=spec.network.tunnel == "Always" or status.tunnel is not None,
        unreached=reach.message if reach is not None and reach.reason in _UNREACHED else "",
    )


def objection(asked: AddonFacts, facts: ClusterFacts) -> str | None:
    """Why what asks for that does not suit the cluster, and what to do about it; None if it does.

    What needs nodes and nothing else suits a cluster without: it waits for the first one.
    """
    if asked.since and number.parse(facts.version).line < number.parse_minor(asked.since):
        return f"it needs Kubernetes {asked.since} or newer, and the cluster is at {facts.version}"
    found = (_OBJECTIONS[need](facts) for need in asked.needs)
    return next((why for why in found if why is not None), None)


def _tunnel(facts: ClusterFacts) -> str | None:
    if facts.tunnelled:
        return None
    if facts.tunnel == "Never":
        return "spec.network.tunnel is Never; it comes by itself with Always or Auto there"
    return "spec.network.tunnel is Auto; it comes by itself once there is a tunnel"


def _gpu(facts: ClusterFacts) -> str | None:
    if facts.gpus is None:
        return "nobody could say whether a host has a GPU: who asks may not list Machines"
    if not facts.gpus:
        return "no Machine of the cluster has a GPU of NVIDIA (status.facts.gpu)"
    return None


def _reach(facts: ClusterFacts) -> str | None:
    if not facts.nodes:
        return (
            "there is no node yet to serve its API, and no namespace can be deleted while an API does "
            "not answer"
        )
    return facts.unreached or None


_UNREACHED: Final = frozenset({reasons.KUBELETS_UNREACHABLE, reasons.PODS_UNREACHABLE})
"""Reasons of `ClusterReachable` by which what serves an API inside would make things worse."""
_OBJECTIONS: Final[Mapping[Need, Callable[[ClusterFacts], str | None]]] = {
    "nodes": lambda _: None,
    "reach": _reach,
    "gpu": _gpu,
    "tunnel": _tunnel,
}
