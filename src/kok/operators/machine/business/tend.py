"""What the operator does in a business cluster for one Machine: tokens, the Node, certificates."""

from __future__ import annotations

from kok.api.machine import Machine, MachineStatus
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import Conflict, KubeError, NotFound
from kok.operators.machine import reasons
from kok.operators.machine.business import certificates, nodes, tokens
from kok.operators.machine.business.certificates import Subject
from kok.operators.machine.business.nodes import NodeView
from kok.operators.machine.business.tenants import Tenant
from kok.operators.machine.host.join import Access
from kok.runtime.clock import Clock
from kok.runtime.reconciler import Pass

SOON = 1.0
"""Seconds after which a write that met another one is tried again."""


async def token_id(p: Pass[Machine]) -> str:
    """The ID of this Machine's bootstrap token.

    It is in the status before the token exists: whatever happens after, it is found and taken
    back.
    """
    status: MachineStatus = p.status
    if status.token_id is None:
        status.token_id = tokens.new_id()
        await p.latch()
    return status.token_id


async def bootstrap(kube: Kube, ident: str, machine: str, access: Access, clock: Clock) -> str:
    """The kubeconfig with a token that lives for minutes. Raises `KubeError`."""
    now = clock.now()
    found = await kube.get(kinds.SECRET, tokens.secret_name(ident), tokens.NAMESPACE)
    token = tokens.usable(found, now)
    if token is None:
        if found is not None:
            await kube.delete(kinds.SECRET, tokens.secret_name(ident), tokens.NAMESPACE)
        token = tokens.usable(await kube.create(tokens.secret(ident, machine, now)), now)
    return tokens.bootstrap_kubeconfig(access, token or "")


async def node(p: Pass[Machine], tenant: Tenant, found: NodeView) -> float | None:
    """Sets labels and taints of the Node; seconds until it has to be tried again, if so."""
    patch = nodes.patch(found, p.obj.spec.labels, p.obj.spec.taints)
    if patch is None:
        return None
    try:
        changed = await p.guarded(tenant.kube).patch(kinds.NODE, found.name, None, patch)
    except (Conflict, NotFound):
        return SOON
    tenant.nodes[found.name] = nodes.view(changed)
    return None


async def approve(p: Pass[Machine], tenant: Tenant) -> None:
    """Grants the kubelet the serving certificates that are truly this Machine's."""
    machine, facts = p.obj, p.status.facts
    if facts is None:
        return
    subject = Subject(
        machine.spec.node, facts.hostname or "", (*facts.addresses, machine.spec.address)
    )
    for request in tenant.pending(machine.spec.node):
        why = certificates.objection(request, subject)
        if why is not None:
            p.event(
                reasons.CSR_REFUSED,
                f"CertificateSigningRequest {request.name} of Node {subject.node} is not "
                f"approved: {why}",
                warning=True,
            )
            continue
        body = certificates.approval(request, p.now)
        try:
            await p.guarded(tenant.kube).patch(
                kinds.CSR, request.name, None, body, subresource="approval"
            )
        except KubeError as error:
            p.log.info("request not approved", request=request.name, error=error.message)
            continue
        tenant.requests.pop(request.name, None)
