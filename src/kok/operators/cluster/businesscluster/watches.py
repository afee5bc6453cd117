"""What is followed in each business cluster: nodes, what addons applied, and our own rights."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.cluster.businesscluster import rbac
from kok.operators.cluster.naming import LABEL_ADDON
from kok.workload import unmanaged_nodes
from kok.workload.csr import Pending

FOLLOWED = (kinds.DEPLOYMENT, kinds.DAEMONSET, kinds.CONFIGMAP)
"""Kinds of addons' objects that wake their Addon at once; others are compared now and then."""
ADDRESSES_MOST = 4 * 2**20
"""Bytes; 5,000 nodes have less."""


class Watches:
    """Watches of one business cluster; failures are retried by the watches themselves."""

    def __init__(
        self,
        kube: Kube,
        on_nodes: Callable[[], None],
        on_object: Callable[[str], None],
        on_rights: Callable[[], None] = lambda: None,
        on_requests: Callable[[], None] = lambda: None,
        *,
        addresses_most: int = ADDRESSES_MOST,
    ) -> None:
        """Needs a running event loop. The callbacks must be quick.

        `addresses_most`: bytes of names and addresses of all nodes that are remembered.
        """
        self._addresses_most = addresses_most
        self.nodes: dict[str, bool] | None = None
        """Whether each node is Ready, by name; None until all are known."""
        self.kubelets: dict[str, str] = {}
        """The version of each node's kubelet, such as 1.37.1, as it says itself."""
        self.addresses: dict[str, tuple[str, ...]] = {}
        """What each node is called and where, as it says itself."""
        self._kept = 0
        """Bytes of these."""
        self._unkept: set[str] = set()
        """Nodes whose own are not kept, since all have too many."""
        self.requests: Pending | None = None
        """Requests for certificates that nobody decided; None until all are known."""
        self._kube = kube
        kube.turned = on_nodes
        self._on_nodes = on_nodes
        self._on_object = on_object
        self._on_rights = on_rights
        self._on_requests = on_requests
        self._tasks = [asyncio.create_task(self._follow_nodes())]
        self._tasks += [asyncio.create_task(self._follow(kind)) for kind in FOLLOWED]
        self._tasks.append(asyncio.create_task(self._follow_rights()))
        self._tasks.append(asyncio.create_task(self._follow_requests()))

    @property
    def excess(self) -> str | None:
        """What is told of nodes and by them is more than is kept, as a sentence; None if nothing."""
        server = self._kube.server
        if self._unkept:
            most = self._addresses_most
            return f"{server}: the addresses of all nodes are more than {most} bytes"
        if self.requests is not None and self.requests.overflowing:
            return (
                f"{server}: more certificate requests wait than are kept; the oldest are not seen"
            )
        return None

    async def close(self) -> None:
        """Ends all watches."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow_nodes(self) -> None:
        found: dict[str, bool] = {}
        async for event in self._kube.watch(kinds.NODE):
            if event.type == "SYNCED":
                self.nodes = found
                self._on_nodes()
                continue
            told = _update(found, event.type, event.object)
            told = self._note_kubelet(event.type, event.object) or told
            moved = self._locate(event.type, event.object)
            if (told or moved) and self.nodes is not None:
                self._on_nodes()
            del event

    def _note_kubelet(self, change: str, node: Manifest) -> bool:
        """Whether the change told another version of a kubelet."""
        name = str(node["metadata"]["name"])
        before = self.kubelets.pop(name, None)
        if change != "DELETED":
            self.kubelets[name] = kubelet_version(node)
        return self.kubelets.get(name) != before

    def _locate(self, change: str, node: Manifest) -> bool:
        """Whether the change told anything new of a node's addresses."""
        name = str(node["metadata"]["name"])
        before = self.addresses.pop(name, None)
        self._kept -= _size(before or ())
        self._unkept.discard(name)
        if change != "DELETED":
            told = unmanaged_nodes.addresses(node)
            fits = self._kept + _size(told) <= self._addresses_most
            self.addresses[name] = told if fits else ()
            self._kept += _size(self.addresses[name])
            if not fits:
                self._unkept.add(name)
        return self.addresses.get(name) != before

    async def _follow_requests(self) -> None:
        """Nodes of Machines ask as well; the machine operator grants theirs."""
        found = Pending()
        async for event in self._kube.watch(kinds.CSR):
            if event.type == "SYNCED":
                self.requests = found
                self._on_requests()
                continue
            before = found.get(str(event.object["metadata"]["name"]))
            after = found.take(event.object, gone=event.type == "DELETED")
            if self.requests is not None and (before is not None or after is not None):
                self._on_requests()
            del event

    async def _follow(self, kind: Kind) -> None:
        async for event in self._kube.watch(kind, labels=LABEL_ADDON):
            labels: dict[str, Any] = (event.object.get("metadata") or {}).get("labels") or {}
            if LABEL_ADDON in labels:
                self._on_object(str(labels[LABEL_ADDON]))
            del event, labels

    async def _follow_rights(self) -> None:
        """Without our rights no watch can be begun; one that was begun goes on for a while."""
        listed: set[str] = set()
        async for event in self._kube.watch(kinds.CLUSTERROLEBINDING, labels=rbac.LABEL):
            if event.type == "SYNCED":
                gone, listed = rbac.BINDINGS.keys() - listed, set()
                if gone:
                    self._on_rights()
                continue
            name = str(event.object["metadata"]["name"])
            # Whoever may make bindings could make new ones for ever: others are not remembered.
            if name in rbac.BINDINGS and event.type != "DELETED":
                listed.add(name)
            if name in rbac.BINDINGS and (event.type == "DELETED" or rbac.differs(event.object)):
                self._on_rights()
            del event, name


def _size(told: tuple[str, ...]) -> int:
    return sum(map(sys.getsizeof, told))


def _update(nodes: dict[str, bool], change: str, node: Manifest) -> bool:
    """Whether the change told anything new of the nodes."""
    name = str(node["metadata"]["name"])
    before = nodes.get(name)
    if change == "DELETED":
        nodes.pop(name, None)
    else:
        nodes[name] = node_ready(node)
    return nodes.get(name) != before


def kubelet_version(node: Manifest) -> str:
    """What a Node says of its kubelet's version, without the v; at most 32 characters of it."""
    info = (node.get("status") or {}).get("nodeInfo")
    told = info.get("kubeletVersion") if isinstance(info, dict) else None
    return str(told or "").removeprefix("v")[:32]


def node_ready(node: Manifest) -> bool:
    """Whether a Node says that it is Ready."""
    conditions = (node.get("status") or {}).get("conditions")
    return any(
        isinstance(c, dict) and c.get("type") == "Ready" and c.get("status") == "True"
        for c in (conditions if isinstance(conditions, list) else ())
    )
