"""What is followed in each business cluster: nodes, what they ask for, and our own rights."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.cluster.businesscluster import rbac
from kok.workload import unmanaged_nodes
from kok.workload.csr import Pending, Request
from kok.workload.informers import NodeInformer, RequestInformer

ADDRESSES_MOST = 4 * 2**20
"""Bytes; 5,000 nodes have less."""


@dataclass(frozen=True, slots=True)
class NodeState:
    """What is remembered of a Node."""

    ready: bool
    addresses: tuple[str, ...]
    """What it is called and where, as it says itself."""
    kubelet: str = ""
    """The version of its kubelet, such as 1.37.1, as it says itself."""

    @property
    def size(self) -> int:
        """Bytes of names and addresses."""
        return sum(map(sys.getsizeof, self.addresses))

    def bare(self) -> Self:
        """Whether it is Ready and how old its kubelet is, and nothing else."""
        return replace(self, addresses=())


def node_state(node: Manifest) -> NodeState:
    """What matters of a Node."""
    return NodeState(node_ready(node), unmanaged_nodes.addresses(node), kubelet_version(node))


class Watches:
    """Watches of one business cluster; failures are retried by the watches themselves."""

    def __init__(
        self,
        kube: Kube,
        on_nodes: Callable[[], None],
        on_rights: Callable[[], None] = lambda: None,
        on_requests: Callable[[], None] = lambda: None,
        *,
        addresses_most: int = ADDRESSES_MOST,
    ) -> None:
        """Needs a running event loop. The callbacks must be quick.

        `addresses_most`: bytes of names and addresses of all nodes that are remembered.
        """
        self._addresses_most = addresses_most
        self._kube = kube
        kube.turned = on_nodes
        self._on_nodes = on_nodes
        self._on_rights = on_rights
        self._on_requests = on_requests
        self._nodes = NodeInformer(
            kube,
            node_state,
            limit=addresses_most,
            on_change=self._node_changed,
            on_synced=on_nodes,
        )
        # Nodes of Machines ask as well; the machine operator grants theirs.
        self._requests = RequestInformer(
            kube, on_change=self._request_changed, on_synced=on_requests
        )
        self._rights = asyncio.create_task(self._follow_rights())

    @property
    def nodes(self) -> dict[str, bool] | None:
        """Whether each node is Ready, by name; None until all are known."""
        if not self._nodes.synced.is_set():
            return None
        return {name: node.ready for name, node in self._nodes.nodes.items()}

    @property
    def kubelets(self) -> list[str]:
        """The versions of all nodes' kubelets."""
        return [node.kubelet for node in self._nodes.nodes.values()]

    @property
    def addresses(self) -> dict[str, tuple[str, ...]]:
        """What each node is called and where, as it says itself; made anew each time."""
        return {name: node.addresses for name, node in self._nodes.nodes.items()}

    @property
    def requests(self) -> Pending | None:
        """Requests for certificates that nobody decided; None until all are known."""
        return self._requests.pending if self._requests.synced.is_set() else None

    @property
    def excess(self) -> str | None:
        """What is told of nodes and by them is more than is kept, as a sentence; None if nothing."""
        server = self._kube.server
        if self._nodes.cut:
            most = self._addresses_most
            return f"{server}: the addresses of all nodes are more than {most} bytes"
        if self.requests is not None and self.requests.overflowing:
            return (
                f"{server}: more certificate requests wait than are kept; the oldest are not seen"
            )
        return None

    async def close(self) -> None:
        """Ends all watches."""
        self._rights.cancel()
        await asyncio.gather(
            self._nodes.close(), self._requests.close(), self._rights, return_exceptions=True
        )

    def _node_changed(self, name: str, before: NodeState | None, now: NodeState | None) -> None:
        del name
        if before != now and self._nodes.synced.is_set():
            self._on_nodes()

    def _request_changed(self, before: Request | None, now: Request | None) -> None:
        if (before is not None or now is not None) and self._requests.synced.is_set():
            self._on_requests()

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
