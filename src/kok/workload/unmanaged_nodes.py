"""Nodes that joined by `kubeadm join` and belong to no Machine: their serving certificates. Pure.

Nobody approves these by himself, and without them logs and exec fail on the node. What is known of
such a node is what its own kubelet tells, so that everything else that is known limits it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from kok.api.cluster.cluster import Cluster
from kok.api.machine.machine import Machine
from kok.api.meta import Manifest
from kok.kube.lists.tolerant import listed
from kok.workload import csr
from kok.workload.csr import Request, Subject
from kok.workload.reserved_names import Reserved, canonical, is_address, reserved

ADDRESSES, LONGEST = 16, 253
"""Names and addresses of one Node that are remembered, and characters of each."""

Nodes = Mapping[str, tuple[str, ...]]
"""Names and addresses of every Node, by its own name."""


def addresses(node: Manifest) -> tuple[str, ...]:
    """Names and addresses that a Node's kubelet or cloud tells, the first at most."""
    listed = (node.get("status") or {}).get("addresses")
    found = (
        str(one.get("address") or "")
        for one in (listed[:ADDRESSES] if isinstance(listed, list) else ())
        if isinstance(one, dict)
    )
    return tuple(dict.fromkeys(text for text in found if 0 < len(text) <= LONGEST))


@dataclass(frozen=True, slots=True)
class MachineNode:
    """What a Machine says of its node."""

    name: str
    """`Machine namespace/name`, for sentences."""
    node: str
    addresses: tuple[str, ...]


def machines_of(cluster: Cluster, manifests: Iterable[Manifest]) -> list[MachineNode]:
    """Those of a namespace's Machines that are for this Cluster; also what one says that cannot be
    read as a whole, since nothing of it must go to another node."""
    there = listed(Machine, manifests)
    found = [
        MachineNode(str(m), m.spec.node, (m.spec.address, *m.spec.addresses))
        for m in there.objects
        if m.spec.cluster == cluster.name
    ]
    for odd in there.odd:
        if odd.may_say(cluster.name, "spec", "cluster"):
            said = (odd.text("spec", "address"), *odd.texts("spec", "addresses"))
            name = f"{odd.kind} {odd.namespace}/{odd.name}"
            found.append(MachineNode(name, odd.text("spec", "node"), said))
    return found


def taken(
    cluster: Cluster, meta: Iterable[str], machines: Iterable[MachineNode], nodes: Nodes
) -> Callable[[str], Reserved]:
    """By the name of a node what is not its to have: the API's, what Machines and others are called.

    All Nodes are looked at but once, however many of them ask.
    """
    theirs = [h for m in machines for h in (m.node, *m.addresses) if h]
    found = reserved(cluster, meta).with_hosts(dict.fromkeys(theirs, "a Machine's"))
    owners: dict[str, str] = {}
    for name, own in nodes.items():
        for host in map(canonical, (name, *own)):
            # One that several have is another's for each of them.
            owners[host] = name if owners.get(host, name) == name else ""

    def of(node: str) -> Reserved:
        def others(host: str) -> str | None:
            return None if owners.get(host, node) == node else "another Node's"

        return replace(found, others=others)

    return of


def objection(request: Request, nodes: Nodes, reserved_: Reserved) -> str | None:
    """Why the request of a foreign node must not be granted, as a sentence, or None."""
    name = csr.node_of(request)
    if name is None or request.signer != csr.SERVING:
        return "it does not ask for the serving certificate of a node"
    if name not in nodes:
        return f"there is no Node {name}"
    own = nodes[name]
    subject = Subject(
        name,
        tuple(one for one in own if is_address(one)),
        names=frozenset(one for one in own if not is_address(one)),
        elsewhere=f"which is not in status.addresses of Node {name}",
    )
    return csr.objection(request, subject, reserved_)
