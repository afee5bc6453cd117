"""What the operator does in a business cluster for one Machine: tokens, the Node, certificates."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from kok.api.cluster.cluster import Cluster
from kok.api.machine.machine import Machine, MachineStatus
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import Conflict, KubeError, NotFound, Unreachable
from kok.kube.lists.tolerant import Listed
from kok.operators.machine import reasons
from kok.operators.machine.machine_lists import MachineLists
from kok.operators.machine.node import bootstrap_tokens, nodes
from kok.operators.machine.node.nodes import NodeView
from kok.operators.machine.node.refusals import Refusals
from kok.operators.machine.node.tenants import Tenant
from kok.operators.machine.remote.join import Access
from kok.runtime.clock import Clock
from kok.runtime.controller.reconciler import Pass
from kok.workload import csr
from kok.workload.csr import Request, Subject, by_node, by_token
from kok.workload.reserved_names import Reserved, is_address, reserved

SOON = 1.0
"""Seconds after which a write that met another one is tried again."""
REFUSED_AGAIN = 15.0
"""Seconds after which what the API refused is tried again."""
MARKED = "NodeMarked"
"""Condition: the Node has the labels and taints of the spec. Absent unless they are refused."""
META_EVERY = 60.0
CERTIFIED = "CertificatesApproved"
"""Condition: what the kubelet last asked for was granted. Absent until it asks."""


async def token_id(p: Pass[Machine]) -> str:
    """The ID of this Machine's bootstrap token.

    It is in the status before the token exists: whatever happens after, it is found and taken
    back.
    """
    status: MachineStatus = p.status
    if status.token_id is None:
        status.token_id = bootstrap_tokens.new_id()
        await p.latch()
    return status.token_id


async def bootstrap(kube: Kube, ident: str, machine: str, access: Access, clock: Clock) -> str:
    """The kubeconfig with a token that lives for minutes. Raises `KubeError`."""
    now = clock.now()
    there, token = await _token(kube, ident, now)
    if token is None:
        if there:
            await kube.delete(
                kinds.SECRET, bootstrap_tokens.secret_name(ident), bootstrap_tokens.NAMESPACE
            )
        token = bootstrap_tokens.usable(
            await kube.create(bootstrap_tokens.secret(ident, machine, now)), now
        )
    return bootstrap_tokens.bootstrap_kubeconfig(access, token or "")


async def _token(kube: Kube, ident: str, now: datetime) -> tuple[bool, str | None]:
    """Whether there is a Secret of that token, and the token if it is good for some time."""
    found = await kube.get(
        kinds.SECRET, bootstrap_tokens.secret_name(ident), bootstrap_tokens.NAMESPACE
    )
    return found is not None, bootstrap_tokens.usable(found, now)


async def node(p: Pass[Machine], tenant: Tenant, found: NodeView) -> float | None:
    """Sets labels and taints of the Node; seconds until the next pass, if there has to be one.

    Not of one that has more of them than are kept: those of others would go.
    """
    if not found.whole:
        return None
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
        except Unreachable:
            raise
        except KubeError as error:
            return _marks_refused(p, found.name, error)
        tenant.saw(changed)
    status.node_marks = wanted
    status.drop_conditions([MARKED])
    # This pass has told of the Node as it was. The watch, which now brings what is known already,
    # wakes nobody.
    return None if patch is None else 0.0


async def as_it_is(tenant: Tenant, name: str) -> NodeView | None:
    """The Node as the API server has it now, however late the watch may be. Raises `KubeError`."""
    found = await tenant.kube.get(kinds.NODE, name)
    return nodes.view(found) if found is not None else None


def _marks_refused(p: Pass[Machine], node: str, error: KubeError) -> float:
    """Of labels and taints that the business cluster does not take: the Node serves without them."""
    text = (
        f"the API of Cluster {p.obj.spec.cluster} refuses labels and taints of Node {node}: "
        f"{error.message[:500]}; correct spec.labels and spec.taints, or what refuses them there"
    )
    p.set_condition(MARKED, False, reasons.MARKS_REFUSED, text)
    return REFUSED_AGAIN


def _addresses(node: Manifest) -> Manifest:
    return {"addresses": (node.get("status") or {}).get("addresses") or ()}


class MetaAddresses:
    """The addresses of the meta cluster's nodes, listed anew every minute at most."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._listed = float("-inf")
        self._found: tuple[str, ...] = ()

    async def all(self, kube: Kube) -> tuple[str, ...]:
        """All addresses and names of all nodes. Raises `KubeError`."""
        now = self._monotonic()
        if now - self._listed > META_EVERY:
            found = await kube.list(kinds.NODE, keep=_addresses)
            self._found = tuple(str(a["address"]) for node in found for a in node["addresses"])
            self._listed = now
        return self._found


async def approve(
    p: Pass[Machine],
    tenant: Tenant,
    cluster: Cluster,
    reached: str,
    meta: MetaAddresses,
    *,
    lists: MachineLists,
    memory: Refusals,
) -> float | None:
    """Grants the kubelet the certificates that are truly this Machine's.

    `reached` is the address at which the operator found the host; empty if that is not known yet.
    Returns seconds until the next look, if there has to be one.
    """
    machine, facts, token = p.obj, p.status.facts, p.status.token_id
    spec = machine.spec
    asked = tenant.pending(by_token(token)) if token is not None else []
    if facts is not None and (reached or is_address(spec.address)):
        # A name of which it is not known yet where it leads says nothing.
        asked += tenant.pending(by_node(spec.node))
    if not asked:
        return None
    subject = Subject(spec.node, (spec.address, *spec.addresses, reached), token)
    judged = hash((machine.metadata.generation, reached, *((r.name, r.pem) for r in asked)))
    if (left := memory.left(judged, p.clock.monotonic())) > 0:
        return left
    there = await lists.now(p.kube, machine.namespace)
    taken = _reserved(machine, cluster, await meta.all(p.kube), there)
    refused = ""
    for request in asked:
        why = csr.objection(request, subject, taken)
        why = why or await _grant(p, tenant, request)
        if why is not None:
            refused = (
                f"CertificateSigningRequest {request.name} of Node {subject.node} is not "
                f"approved: {why}"
            )
    if not refused:
        p.set_condition(CERTIFIED, True, reasons.CSR_APPROVED, "the kubelet got what it asked for")
        return None
    memory.refused(judged, p.clock.monotonic())
    p.set_condition(CERTIFIED, False, reasons.CSR_REFUSED, refused)
    if tenant.may_complain(spec.node):
        p.event(reasons.CSR_REFUSED, refused, warning=True)
    return None


async def _grant(p: Pass[Machine], tenant: Tenant, request: Request) -> str | None:
    """Approves a request; why that was refused, if it was. Raises `Unreachable`."""
    body = csr.approval(request, p.now)
    try:
        await p.guarded(tenant.kube).patch(
            kinds.CSR, request.name, None, body, subresource="approval"
        )
    except NotFound:
        pass
    except Conflict:
        return None  # The watch tells of it as it is now.
    except Unreachable:
        raise
    except KubeError as error:
        p.log.info("request not approved", request=request.name, error=error.message)
        return f"the API refuses the approval: {error.message[:500]}"
    tenant.decided(request)
    return None


def _reserved(
    machine: Machine, cluster: Cluster, meta: Iterable[str], there: Listed[Machine]
) -> Reserved:
    """What this Machine may not have: the API's, the meta nodes', and what the specs of other
    Machines say is theirs. Its own address may be shared behind a NAT."""
    theirs: dict[str, str] = {}
    for odd in there.odd:
        if odd.may_say(machine.spec.cluster, "spec", "cluster"):
            own = {odd.text("spec", "address"), *odd.texts("spec", "addresses")}
            own -= {machine.spec.address, ""}
            theirs |= dict.fromkeys(own, f"an address of Machine {odd.name}")
    for other in there.objects:
        spec = other.spec
        if spec.cluster == machine.spec.cluster and other.metadata.uid != machine.metadata.uid:
            own = {spec.address, *spec.addresses} - {machine.spec.address}
            theirs |= dict.fromkeys(own, f"an address of Machine {other.name}")
    return reserved(cluster, meta).with_hosts(theirs)
