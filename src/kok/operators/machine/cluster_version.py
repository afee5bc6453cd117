"""Which version of Kubernetes the nodes of a Cluster follow, and when they may change it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kok.api.cluster.cluster import Cluster
from kok.api.meta import Manifest

_STILL: Final = frozenset({"Nodes", "BackedOut"})
"""Steps of an upgrade at which the control plane stays at the version that it has."""


def control(cluster: Cluster) -> str:
    """What the control plane runs, by which the skew of kubelets is judged."""
    return cluster.status.version or cluster.spec.version


def followed(cluster: Cluster) -> str:
    """What nodes have that name no version: never what the control plane is not through with."""
    return cluster.status.nodes_version or control(cluster)


def crosses(one: str, other: str) -> bool:
    """Whether two kubelets are of different minor releases, or may be."""
    # A build of somebody's own has more behind a dash.
    return one.partition("-")[0].split(".")[:2] != other.partition("-")[0].split(".")[:2]


def held(cluster: Cluster | None) -> str:
    """Why no kubelet may change its version now, as a sentence; empty: it may.

    A control plane that has yet to be let begin, by mending what its preflight found, stays as it is
    for as long as that takes: to bring nodes up may be what mends it.
    """
    upgrade = cluster.status.upgrade if cluster is not None else None
    if cluster is None or upgrade is None or not _moves(upgrade.step, blocked=upgrade.blocked_by):
        return ""
    return (
        f"Cluster {cluster.namespace}/{cluster.name} is being upgraded to {upgrade.hop}, and no "
        "kubelet changes its version before its control plane is through"
    )


def gist(status: Mapping[str, Any]) -> object:
    """What matters of all that in the status of a Cluster as it is stored."""
    found = status.get("upgrade")
    upgrade: Manifest = found if isinstance(found, dict) else {}
    moves = bool(upgrade) and _moves(upgrade.get("step"), blocked=upgrade.get("blockedBy"))
    return status.get("nodesVersion"), moves and upgrade.get("hop")


def _moves(step: object, *, blocked: object) -> bool:
    return step not in _STILL and not (step == "Preflight" and blocked)
