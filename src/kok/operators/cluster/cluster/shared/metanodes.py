"""Addresses of the meta cluster's nodes, followed by one watch for all Clusters."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.cluster.cluster.endpoint import MetaNode
from kok.runtime.clock import Clock
from kok.runtime.controller.reconciler import EVERY, Key

REFRESH = 600.0
"""Seconds after which all are listed again: a watch event does not tell that a node is gone."""


class MetaNodes:
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
