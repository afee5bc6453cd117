"""Nodes that belong to no Machine: what they ask for is told, or granted where the spec says so."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from kok.api.cluster.cluster import Cluster
from kok.api.machine.machine import Machine
from kok.kube import kinds
from kok.kube.decoding.truncation import FREE_FORM
from kok.kube.errors import Conflict, KubeError, NotFound
from kok.kube.objects.machines import brief
from kok.operators.cluster.businesscluster.connections import Connection
from kok.operators.cluster.businesscluster.watches import Watches
from kok.runtime.controller.reconciler import Pass
from kok.workload import csr, unmanaged_nodes
from kok.workload.csr import Request, by_node
from kok.workload.reserved_names import is_address

AT_ONCE = 64
"""Approvals in one pass; the next ones follow in another."""


@dataclass(frozen=True, slots=True)
class UnmanagedNodes:
    """Nodes that belong to no Machine and wait for serving certificates."""

    waiting: tuple[str, ...] = ()
    """Their names."""
    refused: str | None = None
    """Why the first of them is not given what it asks for, as a sentence, where that was judged."""


async def handle_requests(
    p: Pass[Cluster],
    connection: Connection,
    watches: Watches,
    meta: tuple[str, ...],
    *,
    at_once: int = AT_ONCE,
) -> UnmanagedNodes | None:
    """Looks at the requests that wait; None until all are known. Raises `KubeError`.

    `meta` are addresses of the meta cluster's nodes; `at_once` requests are approved at most.
    """
    if watches.requests is None or watches.nodes is None:
        return None
    names = watches.requests.nodes()
    if not names:
        return UnmanagedNodes()
    # Listed now: what was known a moment ago could call the node of a new Machine foreign.
    listed = await p.kube.list(Machine.info.kind, p.obj.namespace, unread=FREE_FORM, keep=brief)
    machines = unmanaged_nodes.machines_of(p.obj, listed)
    waiting = sorted(names - {machine.node for machine in machines})
    if p.obj.spec.nodes.foreign == "Manual":
        return UnmanagedNodes(tuple(waiting))
    left, refused, granted = [], None, 0
    of_meta = [one for one in meta if is_address(one)]
    addresses = watches.addresses
    of_others = unmanaged_nodes.taken(p.obj, of_meta, machines, addresses)
    for name in waiting:
        await asyncio.sleep(0)  # Signatures are checked; there may be many.
        taken = of_others(name)
        for request in watches.requests.of(by_node(name)):
            why = unmanaged_nodes.objection(request, addresses, taken)
            if why is None and granted < at_once:
                granted += 1
                why = await _grant(p, connection, watches, request)
            if why is not None:
                left.append(name)
                refused = refused or (
                    f"CertificateSigningRequest {request.name} of Node {name}, which belongs to no "
                    f"Machine, is not approved: {why}"
                )
    if granted == at_once:
        p.wake()
    return UnmanagedNodes(tuple(dict.fromkeys(left)), refused)


async def _grant(
    p: Pass[Cluster], connection: Connection, watches: Watches, request: Request
) -> str | None:
    """Approves a request; why that was refused, if it was."""
    body = csr.approval(request, p.now, "Node")
    try:
        await p.guarded(connection.kube).patch(
            kinds.CSR, request.name, None, body, subresource="approval"
        )
    except Conflict:
        return None  # The watch tells of it as it is now.
    except NotFound:
        pass
    except KubeError as error:
        return f"the API refuses the approval: {error.message[:500]}"
    if watches.requests is not None:
        watches.requests.decided(request)
    p.log.info("serving certificate approved", request=request.name, asker=request.asker)
    return None
