"""From the kubeconfig Secrets of a Cluster to a connected Tenant."""

from __future__ import annotations

import asyncio

from kok import pki
from kok.api import names
from kok.api.cluster import Cluster
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.access import AccessError
from kok.kube.client import Kube
from kok.operators.cluster.business.tenants import Access, Tenant, Tenants
from kok.operators.cluster.credentials import KUBECONFIG
from kok.operators.cluster.endpoint import Endpoint
from kok.operators.cluster.settings import ClusterSettings


class Unusable(Exception):
    """A kubeconfig Secret does not hold what it should; the message says what is wrong."""


def kubeconfig_in(secret: Manifest | None) -> str | None:
    """The text of a kubeconfig Secret; None if it is not there."""
    text = pki.decode(secret, KUBECONFIG)
    return text.decode("utf-8", "replace") if text else None


async def connect(
    tenants: Tenants,
    settings: ClusterSettings,
    cluster: Cluster,
    endpoint: Endpoint,
    *,
    admin: Manifest | None,
    internal: Manifest | None,
) -> Tenant | None:
    """The Tenant by these two Secrets; None if one is missing. Raises `Unusable`."""
    for_users, for_us = kubeconfig_in(admin), kubeconfig_in(internal)
    if for_users is None or for_us is None:
        return None
    server = None if settings.internal() else endpoint.url
    key, access = (cluster.namespace, cluster.name), Access(for_us, for_users, server)
    try:
        return await tenants.connect(key, access)
    except (pki.PkiError, AccessError) as error:
        raise Unusable(f"the kubeconfig of {cluster} is unusable: {error}") from None


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
    admin, internal = await asyncio.gather(
        *(
            kube.get(kinds.SECRET, secret(cluster.name), cluster.namespace)
            for secret in (names.admin_kubeconfig_secret, names.internal_kubeconfig_secret)
        )
    )
    try:
        return await connect(tenants, settings, cluster, endpoint, admin=admin, internal=internal)
    except Unusable:
        return None
