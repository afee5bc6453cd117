"""`kok node approve`: the serving certificates of a node that belongs to no Machine.

Whoever calls the command reads the Cluster and its admin kubeconfig as himself in the meta cluster;
inside the business cluster he is its admin. The rules are those of the operator.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from kok.api.cluster.cluster import Cluster
from kok.api.machine.machine import Machine
from kok.api.meta import Manifest
from kok.cli.options import KubectlOptions
from kok.cli.query import (
    FIELD_MANAGER,
    Refused,
    admin_kubeconfig,
    connected,
    named,
    namespace_of,
)
from kok.kube import kinds
from kok.kube.budget.limits import TENANT
from kok.kube.client import Kube
from kok.kube.decoding.truncation import FREE_FORM
from kok.kube.errors import Forbidden
from kok.kube.http.access import from_kubeconfig
from kok.kube.objects.machines import brief
from kok.workload import csr as certificates
from kok.workload import unmanaged_nodes
from kok.workload.csr import Request, by_node


async def approve(
    cluster: str, node: str, namespace: str | None, options: KubectlOptions
) -> list[str]:
    """Approves all that a node waits for; names of the requests. Raises `KubeError`."""
    access = from_kubeconfig(await admin_kubeconfig(cluster, namespace, options))
    around = await _around(cluster, namespace, options)
    for machine in around.machines:
        if machine.node == node:
            raise Refused(
                f"Node {node} belongs to {machine.name}; its condition CertificatesApproved says what "
                "becomes of its requests"
            )
    async with Kube(access, field_manager=FIELD_MANAGER, limits=TENANT) as kube:
        seen, asked = await asyncio.gather(kube.list(kinds.NODE), kube.list(kinds.CSR))
        waiting = waiting_of(node, asked)
        if not waiting:
            raise Refused(f"Node {node} of {around.cluster} waits for no serving certificate")
        nodes = {str(one["metadata"]["name"]): unmanaged_nodes.addresses(one) for one in seen}
        taken = unmanaged_nodes.taken(around.cluster, around.addresses, around.machines, nodes)(
            node
        )
        for request in waiting:
            why = unmanaged_nodes.objection(request, nodes, taken)
            if why is not None:
                raise Refused(
                    f"CertificateSigningRequest {request.name} of Node {node} is not approved: {why}"
                )
        for request in waiting:
            body = certificates.approval(request, datetime.now(UTC), "Node")
            await kube.patch(kinds.CSR, request.name, None, body, subresource="approval")
    return [request.name for request in waiting]


@dataclass(frozen=True, slots=True)
class _Around:
    """What the meta cluster knows that limits what a node may have."""

    cluster: Cluster
    machines: list[unmanaged_nodes.MachineNode]
    addresses: tuple[str, ...]


async def _around(cluster: str, namespace: str | None, options: KubectlOptions) -> _Around:
    async with await connected(options) as meta:
        where = namespace_of(meta, namespace)
        found = await named(meta, Cluster.info.kind, cluster, where, unread=FREE_FORM)
        parsed = Cluster.parse(found)
        listed = await meta.list(Machine.info.kind, where, unread=FREE_FORM, keep=brief)
        machines = unmanaged_nodes.machines_of(parsed, listed)
        return _Around(parsed, machines, await _meta_addresses(meta))


def waiting_of(node: str, listed: Iterable[Manifest]) -> list[Request]:
    """The undecided requests of a node for serving certificates."""
    found = (certificates.request_of(csr) for csr in listed)
    return [r for r in found if r is not None and r.asker == by_node(node)]


async def _meta_addresses(meta: Kube) -> tuple[str, ...]:
    """Of the meta cluster's nodes; none for who may not list them, who cannot know better."""
    try:
        listed = await meta.list(kinds.NODE)
    except Forbidden:
        return ()
    return tuple(host for one in listed for host in unmanaged_nodes.addresses(one))
