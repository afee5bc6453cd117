"""Which version of Kubernetes, and of etcd with it, a Cluster is to have. Pure."""

from __future__ import annotations

from typing import Final

from kok import versions
from kok.api.cluster.cluster import Cluster
from kok.api.cluster.upgrade import NodesHeld, Raised

number = versions.parsed
is_above = versions.is_above


_NOTHING_CHANGED: Final = frozenset({"Preflight", "BackedOut"})
"""Steps of an upgrade at which the control plane runs what it did before."""


def wanted_version(cluster: Cluster) -> str:
    """`spec.version`, or what a FleetUpgrade raised it to if that is higher and still counts."""
    raised = raise_that_counts(cluster)
    return raised.to if raised is not None else cluster.spec.version


def raise_that_counts(cluster: Cluster) -> Raised | None:
    """What a FleetUpgrade raised the version to, if `spec.version` alone does not count.

    One that was raised stays so, also if its spec forbids that from then on: nothing goes down by it.
    But what has not been begun with, or went back, is given up by that: such a Cluster is to have what
    it runs.
    """
    asked, raised = cluster.spec.version, cluster.status.raised
    if raised is None or not is_above(raised.to, asked):
        return None
    if not _is_given_up(cluster, raised):
        return raised
    runs = cluster.status.version or asked
    return raised.model_copy(update={"to": runs}) if is_above(runs, asked) else None


def raise_to_keep(cluster: Cluster) -> Raised | None:
    """What is to stay on record of a raise: what counts, and what the spec is above but has not reached.

    A spec that is written back before it came to anything leaves the Cluster at what it was raised to.
    """
    asked, raised, runs = cluster.spec.version, cluster.status.raised, cluster.status.version
    if raised is not None and is_above(asked, raised.to) and is_above(asked, runs or ""):
        return raised
    return raise_that_counts(cluster)


def _is_given_up(cluster: Cluster, raised: Raised) -> bool:
    status, upgrade = cluster.status, cluster.status.upgrade
    if cluster.spec.upgrade.fleet != "Forbid" or upgrade is None or status.version is None:
        return False
    if upgrade.to != raised.to or upgrade.step not in _NOTHING_CHANGED:
        return False
    return not any(is_above(one.version or "", status.version) for one in status.components)


def nodes_held(cluster: Cluster) -> NodesHeld | None:
    """That nodes do not follow to the version that is wanted, as whoever raised it to that wants."""
    raised, known, wanted = (
        cluster.status.raised,
        cluster.status.nodes_held,
        wanted_version(cluster),
    )
    if raised is None or raised.to != wanted:
        return known if known is not None and known.to == wanted else None
    if raised.nodes == "Follow":
        return None
    return NodesHeld(to=raised.to, by=raised.by, nodes=raised.nodes)


def etcd_wanted(cluster: Cluster, made: str | None, kubernetes: str) -> str:
    """The version of etcd for a version of Kubernetes, where the one that was made is `made`.

    The default may differ for a later Kubernetes; an etcd that is new enough stays as it is. Raises
    `UnknownVersion`.
    """
    if cluster.spec.etcd.version is not None:
        return cluster.spec.etcd.version
    default = str(versions.default_etcd(kubernetes))
    if made is None or versions.check_etcd(kubernetes, made) is not None:
        return default
    return made
