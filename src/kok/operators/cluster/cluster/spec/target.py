"""Which version of Kubernetes, and of etcd with it, a Cluster is to have. Pure."""

from __future__ import annotations

from kok import versions
from kok.api.cluster.cluster import Cluster

number = versions.parsed
is_above = versions.is_above


def wanted_version(cluster: Cluster) -> str:
    """`spec.version`, or what a FleetUpgrade raised it to if that is higher.

    One that was raised stays so, also if its spec forbids that from then on: nothing goes down by it.
    """
    asked, raised = cluster.spec.version, cluster.status.raised
    if raised is not None and is_above(raised.to, asked):
        return raised.to
    return asked


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
