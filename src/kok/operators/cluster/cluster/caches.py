"""What all Clusters look at together: addresses of Machines and of the meta cluster's nodes.

Each is followed by one watch for all of them, and listed again now and then.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from kok.api.machine.machine import Machine
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.decoding.truncation import FREE_FORM
from kok.kube.objects.addresses import address
from kok.operators.cluster.endpoint import MetaNode
from kok.runtime.clock import Clock
from kok.runtime.controller.reconciler import EVERY, Key

MACHINE = Machine.info.kind
REFRESH = 600.0
"""Seconds after which all is listed again: a watch event does not tell that an object is gone."""
SPARE = 1000
"""New Machines that are remembered beside twice as many as there were."""


@dataclass(frozen=True, slots=True)
class MachineAddresses:
    """Where one Machine is, and whose node it is."""

    cluster: str
    addresses: tuple[str, ...]


class MachineAddressCache:
    """What is known of Machines; a Cluster is woken when an address of one of its own changes."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, MachineAddresses]] = {}
        """By namespace and name; of namespaces that were listed."""
        self._listed_at: dict[str, float] = {}
        self._room: dict[str, int] = {}
        """How many Machines of a namespace are remembered."""
        self._asked: dict[str, set[str]] = {}
        """Clusters that have asked, by namespace."""

    def changed(self, manifest: Manifest) -> Iterable[Key]:
        """The key function of the runtime's wake: its Cluster, if that is of any interest."""
        meta = manifest["metadata"]
        known = self._known.get(str(meta["namespace"]))
        if known is None:
            return []  # Nobody has asked yet.
        found, name = machine_addresses(manifest), str(meta["name"])
        if known.get(name) == found:
            return []
        known[name] = found
        namespace = str(meta["namespace"])
        if len(known) <= self._room[namespace]:
            return [(namespace, found.cluster)]
        # Most of them must be gone, while no Cluster has asked: they are listed anew by who does.
        del self._known[namespace], self._listed_at[namespace], self._room[namespace]
        return [(namespace, cluster) for cluster in sorted(self._asked.get(namespace, ()))]

    async def of(self, kube: Kube, key: Key, clock: Clock) -> tuple[str, ...]:
        """Addresses of all Machines of a Cluster, sorted. Raises `KubeError`."""
        namespace, cluster = key
        self._asked.setdefault(namespace, set()).add(cluster)
        now = clock.monotonic()
        if now - self._listed_at.get(namespace, float("-inf")) > REFRESH:
            listed = await kube.list(MACHINE, namespace, unread=FREE_FORM, keep=_gist, shared=True)
            self._known[namespace] = {
                str(m["metadata"]["name"]): machine_addresses(m) for m in listed
            }
            self._listed_at[namespace] = now
            self._room[namespace] = 2 * len(listed) + SPARE
        mine = (p.addresses for p in self._known[namespace].values() if p.cluster == cluster)
        return tuple(sorted({one for addresses in mine for one in addresses}))

    def forget(self, key: Key) -> None:
        """A Cluster is gone.

        With the last one of a namespace its Machines are forgotten, which nobody would strike.
        """
        namespace, cluster = key
        left = self._asked.get(namespace, set())
        left.discard(cluster)
        if not left:
            self._asked.pop(namespace, None)
            self._known.pop(namespace, None)
            self._listed_at.pop(namespace, None)
            self._room.pop(namespace, None)


def _gist(manifest: Manifest) -> Manifest:
    """Without what takes room and is of no interest here."""
    spec, status = manifest.get("spec") or {}, manifest.get("status") or {}
    return {
        "metadata": {"name": manifest["metadata"]["name"]},
        "spec": {key: spec.get(key) for key in ("address", "addresses", "cluster")},
        "status": {"facts": status.get("facts")},
    }


def machine_addresses(manifest: Manifest) -> MachineAddresses:
    """What matters of a Machine: the addresses that its author wrote.

    Where he wrote a name and nothing else, the host tells the address that it has towards the
    cluster. What a host tells opens no more than that one.
    """
    spec: dict[str, Any] = manifest.get("spec") or {}
    facts: dict[str, Any] = (manifest.get("status") or {}).get("facts") or {}
    written = _addresses([spec.get("address"), *(spec.get("addresses") or ())])
    told = _addresses((facts.get("addresses") or ())[:1])
    return MachineAddresses(str(spec.get("cluster") or ""), written or told)


def _addresses(texts: Iterable[object]) -> tuple[str, ...]:
    found = (address(str(text or "")) for text in texts)
    return tuple(dict.fromkeys(str(net.network_address) for net in found if net is not None))


class MetaNodeCache:
    """What is known of the meta nodes; every Cluster is woken when an address comes or goes."""

    def __init__(self) -> None:
        self._known: dict[str, MetaNode] = {}
        self._listed_at: float | None = None

    def changed(self, manifest: Manifest) -> Iterable[Key]:
        """The key function of the runtime's wake: all Clusters, if it matters to them."""
        node = meta_node(manifest)
        if self._known.get(node.name) == node:
            return []
        before = self._known.get(node.name)
        self._known[node.name] = node
        if self._listed_at is None or (before and _lasting(before) == _lasting(node)):
            # Nobody has asked yet, or only its readiness changed, which can wait.
            return []
        return [("", EVERY)]

    async def all(self, kube: Kube, clock: Clock) -> tuple[MetaNode, ...]:
        """All nodes, by name, also those without an internal address. Raises `KubeError`."""
        now = clock.monotonic()
        if self._listed_at is None or now - self._listed_at > REFRESH:
            # Of a Node with all its images and conditions little is kept.
            listed = await kube.list(kinds.NODE, keep=lambda node: {"it": meta_node(node)})
            self._known = {one["it"].name: one["it"] for one in listed}
            self._listed_at = now
        return tuple(node for _, node in sorted(self._known.items()))


def _lasting(node: MetaNode) -> object:
    return node.addresses, node.pod_cidrs, node.closed


def meta_node(manifest: Manifest) -> MetaNode:
    """What matters of a Node."""
    status: dict[str, Any] = manifest.get("status") or {}
    told = [
        (a["type"], str(a["address"]))
        for a in status.get("addresses") or ()
        if _is_ip(str(a["address"]))
    ]
    addresses = tuple(address for type_, address in told if type_ == "InternalIP")
    ready = any(
        c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ()
    )
    spec: dict[str, Any] = manifest.get("spec") or {}
    usable = ready and not spec.get("unschedulable")
    pod_cidrs = spec.get("podCIDRs") or [spec["podCIDR"]] if spec.get("podCIDR") else ()
    # Some providers tell an address twice, as internal and as external.
    closed = tuple(dict.fromkeys(address for _, address in told))
    name = str(manifest["metadata"]["name"])
    return MetaNode(name, addresses, usable, tuple(pod_cidrs), closed)


def _is_ip(text: str) -> bool:
    """Nodes also tell names, and nothing keeps an address from being none."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
