"""Certificates that kubelets ask for: which of them are truly a Machine's, and their approval."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from kok.api.cluster.cluster import Cluster
from kok.api.machine.machine import Machine
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import Conflict, KubeError, NotFound, Unreachable
from kok.kube.lists.tolerant import Listed
from kok.operators.machine import reasons
from kok.operators.machine.machine_lists import MachineLists
from kok.operators.machine.node.cluster_connections import ClusterConnection
from kok.runtime.conditions import Verdict
from kok.runtime.controller.reconciler import Pass
from kok.workload import csr
from kok.workload.csr import Request, Subject, by_node, by_token
from kok.workload.reserved_names import Reserved, is_address, reserved

META_NODES_EVERY = 60.0
"""Seconds after which the nodes of the meta cluster are listed anew."""
JUDGED_AGAIN = 10.0
"""Seconds for which requests that were refused are not judged again; then other Machines may be gone
that were in their way."""


@dataclass(frozen=True, slots=True)
class Certification:
    """What came of a node's requests."""

    verdict: Verdict | None = None
    """Whether it got what it asked for; None if it asked for nothing, or for the same in vain."""
    after: float | None = None
    """Seconds until they are to be judged again, if that is so."""


class Approver:
    """Grants kubelets the certificates that are truly their Machines'."""

    def __init__(self, lists: MachineLists, monotonic: Callable[[], float]) -> None:
        self._lists = lists
        self._monotonic = monotonic
        self._meta = _MetaAddresses(monotonic)
        self._refused: dict[str, tuple[int, float]] = {}
        """By UID of a Machine what was refused, as a hash of all that its author, the host or the
        node could have changed since, and until when the answer stays the same."""

    def forget(self, uid: str) -> None:
        """The Machine is gone."""
        self._refused.pop(uid, None)

    def left(self, uid: str, asked: int) -> float:
        """Seconds until this is to be judged, none if it was not refused a moment ago.

        A node may ask for the same again and again.
        """
        what, until = self._refused.get(uid, (0, 0.0))
        return max(0.0, until - self._monotonic()) if asked == what else 0.0

    def refuse(self, uid: str, asked: int) -> None:
        """For some seconds the answer stays the same."""
        self._refused[uid] = asked, self._monotonic() + JUDGED_AGAIN

    async def approve(
        self, p: Pass[Machine], connection: ClusterConnection, cluster: Cluster, reached: str
    ) -> Certification:
        """Judges what the Machine's kubelet asks for. Raises `KubeError`.

        `reached` is the address at which the operator found the host; empty if that is not known.
        """
        machine = p.obj
        asked = _asked(p, connection, reached)
        if not asked:
            return Certification()
        spec, uid = machine.spec, machine.metadata.uid
        subject = Subject(spec.node, (spec.address, *spec.addresses, reached), p.status.token_id)
        judged = hash((machine.metadata.generation, reached, *((r.name, r.pem) for r in asked)))
        if (left := self.left(uid, judged)) > 0:
            return Certification(after=left)
        there = await self._lists.now(p.kube, machine.namespace)
        taken = reserved_for(machine, cluster, await self._meta.all(p.kube), there)
        refused = await _judge(p, connection, subject, asked, taken)
        if not refused:
            self._refused.pop(uid, None)
            told = "the kubelet got what it asked for"
            return Certification(Verdict(True, reasons.CSR_APPROVED, told))
        self.refuse(uid, judged)
        if connection.may_complain(spec.node):
            p.event(reasons.CSR_REFUSED, refused, warning=True)
        return Certification(Verdict(False, reasons.CSR_REFUSED, refused))


def _asked(p: Pass[Machine], connection: ClusterConnection, reached: str) -> list[Request]:
    """What the Machine's token and its Node ask for."""
    spec, token = p.obj.spec, p.status.token_id
    asked = connection.pending(by_token(token)) if token is not None else []
    if p.status.facts is not None and (reached or is_address(spec.address)):
        # A name of which it is not known yet where it leads says nothing.
        asked += connection.pending(by_node(spec.node))
    return asked


async def _judge(
    p: Pass[Machine],
    connection: ClusterConnection,
    subject: Subject,
    asked: Sequence[Request],
    taken: Reserved,
) -> str:
    """Approves what is good; why the last one is not that was refused, or nothing."""
    refused = ""
    for request in asked:
        why = csr.objection(request, subject, taken)
        why = why or await _grant(p, connection, request)
        if why is not None:
            refused = (
                f"CertificateSigningRequest {request.name} of Node {subject.node} is not "
                f"approved: {why}"
            )
    return refused


async def _grant(p: Pass[Machine], connection: ClusterConnection, request: Request) -> str | None:
    """Approves a request; why that was refused, if it was. Raises `Unreachable`."""
    body = csr.approval(request, p.now)
    try:
        await p.guarded(connection.kube).patch(
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
    connection.decided(request)
    return None


def reserved_for(
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


def _addresses(node: Manifest) -> Manifest:
    return {"addresses": (node.get("status") or {}).get("addresses") or ()}


class _MetaAddresses:
    """The addresses of the meta cluster's nodes, listed anew every minute at most."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._listed = float("-inf")
        self._found: tuple[str, ...] = ()

    async def all(self, kube: Kube) -> tuple[str, ...]:
        """All addresses and names of all nodes. Raises `KubeError`."""
        now = self._monotonic()
        if now - self._listed > META_NODES_EVERY:
            found = await kube.list(kinds.NODE, keep=_addresses)
            self._found = tuple(str(a["address"]) for node in found for a in node["addresses"])
            self._listed = now
        return self._found
