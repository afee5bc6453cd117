"""From the Secrets of a Cluster to a connected Tenant: parts that are checked, never a kubeconfig."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kok.api import names
from kok.api.cluster.cluster import Cluster
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.http.access import AccessError
from kok.kube.objects.ownership import owned_by
from kok.operators.cluster.cluster.endpoint import Endpoint
from kok.operators.cluster.cluster.pki.credentials import leaf_in_kubeconfig
from kok.operators.cluster.inside.rbac import CLUSTER
from kok.operators.cluster.inside.tenants import Tenant, Tenants, way
from kok.operators.cluster.settings import ClusterSettings
from kok.pki import Leaf
from kok.workload.identity import Identity, Untrusted, identity_of


class Unusable(Exception):
    """A Secret does not hold what it should; the message says what is wrong."""


def working_server(settings: ClusterSettings, cluster: Cluster, endpoint: Endpoint) -> str:
    """Where the operator itself reaches the API: known to KOK, whatever any Secret says."""
    return (
        names.internal_url(cluster.namespace, cluster.name) if settings.internal() else endpoint.url
    )


def closed_ranges(settings: ClusterSettings, cluster: Cluster) -> Sequence[str]:
    """Where the public address must not lead: a host of somebody's choice stands for anything.

    What KOK found out by itself, such as addresses of meta nodes, may well lie in such a range.
    """
    return settings.forbidden_ranges if cluster.spec.endpoint.host else ()


async def connect(
    tenants: Tenants,
    settings: ClusterSettings,
    cluster: Cluster,
    endpoint: Endpoint,
    *,
    admin: Manifest | None,
    operator: Manifest | None,
    fingerprint: str | None = None,
) -> Tenant | None:
    """The Tenant by the admin's and the operator's Secret; None if one is missing.

    `fingerprint` is that of the CA, by default the one that the status records. Raises `Unusable`.
    """
    if admin is None or operator is None:
        return None
    try:
        ours = identity_of(operator, cluster, fingerprint)
        users = Identity(ours.ca, _users_leaf(admin, cluster))
        server = working_server(settings, cluster, endpoint)
        closed = closed_ranges(settings, cluster)
        found = way(ours, users, server=server, public=endpoint.url, closed=closed)
        return await tenants.connect((cluster.namespace, cluster.name), found)
    except (Untrusted, AccessError) as error:
        raise Unusable(str(error)) from None


def _users_leaf(admin: Manifest, cluster: Cluster) -> Leaf:
    """Certificate and key of a kubeconfig; nothing else of it counts."""
    name = f"Secret {cluster.namespace}/{admin['metadata']['name']}"
    if not owned_by(admin, cluster):
        raise Untrusted(f"{name} does not belong to {cluster}; delete it, it is made anew")
    leaf = leaf_in_kubeconfig(admin)
    if leaf is None:
        raise Untrusted(f"{name} holds no kubeconfig with a client certificate")
    return leaf


async def reconnect(
    kube: Kube, tenants: Tenants, settings: ClusterSettings, cluster: Cluster
) -> Tenant | None:
    """The Tenant of a Cluster, connected if it is not; None where that is not possible.

    For those who cannot wait for a pass over the Cluster, which may be going. Raises `KubeError`.
    """
    found = tenants.get((cluster.namespace, cluster.name))
    endpoint = Endpoint.parse(cluster.status.endpoint)
    if found is not None or endpoint is None:
        return found
    admin, operator = await asyncio.gather(
        *(kube.get(kinds.SECRET, secret, cluster.namespace) for secret in secrets_for(cluster.name))
    )
    try:
        return await connect(tenants, settings, cluster, endpoint, admin=admin, operator=operator)
    except Unusable:
        return None


def secrets_for(cluster: str) -> tuple[str, str]:
    """The Secrets of the admin and of the operator."""
    return names.admin_kubeconfig_secret(cluster), names.operator_secret(cluster, CLUSTER)
