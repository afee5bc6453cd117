"""Whether an addon suits a cluster: the facts of the cluster against what the addon needs. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kok.addons.needs import Needs
from kok.api.cluster.cluster import Cluster
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


def facts_of(cluster: Cluster, gpus: int | None) -> ClusterFacts:
    """The facts of a Cluster; one that never answered has no nodes."""
    spec, status = cluster.spec, cluster.status
    return ClusterFacts(
        version=status.version or spec.version,
        nodes=status.nodes.total if status.nodes is not None else 0,
        gpus=gpus,
        tunnel=spec.network.tunnel,
        tunnelled=spec.network.tunnel == "Always" or status.tunnel is not None,
    )


def objection(needs: Needs, facts: ClusterFacts) -> str | None:
    """Why what needs that does not suit the cluster, and what to do about it; None if it does."""
    if needs.since and number.parse(facts.version).line < number.parse_minor(needs.since):
        return f"it needs Kubernetes {needs.since} or newer, and the cluster is at {facts.version}"
    if needs.tunnel and facts.tunnel == "Never":
        return "spec.network.tunnel is Never; it comes by itself with Always or Auto there"
    if needs.tunnel and not facts.tunnelled:
        return "spec.network.tunnel is Auto; it comes by itself once there is a tunnel"
    if needs.gpu and facts.gpus is None:
        return "nobody could say whether a host has a GPU: who asks may not list Machines"
    if needs.gpu and not facts.gpus:
        return "no Machine of the cluster has a GPU of NVIDIA (status.facts.gpu)"
    return None
