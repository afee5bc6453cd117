"""What the operator does in a business cluster for one Machine: tokens, the Node, certificates."""

from __future__ import annotations

from kok.api.machine import Machine, MachineStatus
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import Conflict, KubeError, NotFound
from kok.operators.machine import reasons
from kok.operators.machine.business import certificates, nodes, tokens
from kok.operators.machine.business.certificates import (
    Neighbour,
    Request,
    Subject,
    by_node,
    by_token,
)
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
    """Sets labels and taints of the Node; seconds until the next pass, if there has to be one."""
    spec, status = p.obj.spec, p.status
    patch = nodes.patch(found, spec.labels, spec.taints, status.node_marks)
    wanted = nodes.marks(spec.labels, spec.taints)
    if patch is not None:
        both = nodes.union(status.node_marks, wanted)
        if both != status.node_marks:
            status.node_marks = both
            await p.latch()
        try:
            changed = await p.guarded(tenant.kube).patch(kinds.NODE, found.name, None, patch)
        except (Conflict, NotFound):
            return SOON
        tenant.nodes[found.name] = nodes.view(changed)
    status.node_marks = wanted
    # This pass has told of the Node as it was. The watch, which now brings what is known already,
    # wakes nobody.
    return None if patch is None else 0.0


async def approve(p: Pass[Machine], tenant: Tenant) -> None:
    """Grants the kubelet the certificates that are truly this Machine's."""
    machine, facts, token = p.obj, p.status.facts, p.status.token_id
    subject = Subject(
        machine.spec.node, machine.spec.address, tuple(facts.addresses) if facts else (), token
    )
    asked = tenant.pending(by_token(token)) if token is not None else []
    if facts is not None:
        asked += tenant.pending(by_node(machine.spec.node))
    for request in asked:
        why = certificates.objection(request, subject)
        if why is None and certificates.doubtful(request, subject):
            why = certificates.objection(request, subject, await _neighbours(p))
        if why is None:
            await _grant(p, tenant, request)
        elif tenant.may_complain(machine.spec.node):
            p.event(
                reasons.CSR_REFUSED,
                f"CertificateSigningRequest {request.name} of Node {subject.node} is not "
                f"approved: {why}",
                warning=True,
            )


async def _grant(p: Pass[Machine], tenant: Tenant, request: Request) -> None:
    body = certificates.approval(request, p.now)
    try:
        await p.guarded(tenant.kube).patch(
            kinds.CSR, request.name, None, body, subresource="approval"
        )
    except NotFound:
        pass
    except KubeError as error:
        p.log.info("request not approved", request=request.name, error=error.message)
        return
    tenant.decided(request)


async def _neighbours(p: Pass[Machine]) -> list[Neighbour]:
    """The other Machines of the same cluster."""
    machine = p.obj
    found = map(Machine.parse, await p.kube.list(machine.info.kind, machine.namespace))
    return [
        Neighbour(m.name, (m.spec.address, *(m.status.facts.addresses if m.status.facts else ())))
        for m in found
        if m.spec.cluster == machine.spec.cluster and m.metadata.uid != machine.metadata.uid
    ]
