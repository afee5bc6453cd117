"""What is followed in each business cluster: nodes, what addons applied, and our own rights."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.cluster.business import rights
from kok.operators.cluster.parts import LABEL_ADDON

FOLLOWED = (kinds.DEPLOYMENT, kinds.DAEMONSET, kinds.CONFIGMAP)
"""Kinds of addons' objects that wake their Addon at once; others are compared now and then."""


class Watching:
    """Watches of one business cluster; failures are retried by the watches themselves."""

    def __init__(
        self,
        kube: Kube,
        on_nodes: Callable[[], None],
        on_object: Callable[[str], None],
        on_rights: Callable[[], None] = lambda: None,
    ) -> None:
        """Needs a running event loop. The callbacks must be quick."""
        self.nodes: dict[str, bool] | None = None
        """Whether each node is Ready, by name; None until all are known."""
        self._kube = kube
        self._on_nodes = on_nodes
        self._on_object = on_object
        self._on_rights = on_rights
        self._tasks = [asyncio.create_task(self._follow_nodes())]
        self._tasks += [asyncio.create_task(self._follow(kind)) for kind in FOLLOWED]
        self._tasks.append(asyncio.create_task(self._follow_rights()))

    async def close(self) -> None:
        """Ends all watches."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow_nodes(self) -> None:
        listed: dict[str, bool] = {}
        async for event in self._kube.watch(kinds.NODE):
            if event.type == "SYNCED":
                # All that exists was told since the last time; what was not told is gone.
                self._set(listed)
                listed = {}
                continue
            if event.type != "MODIFIED":
                listed = _with(listed, event.type, event.object)
            if self.nodes is not None:
                self._set(_with(self.nodes, event.type, event.object))

    def _set(self, nodes: dict[str, bool]) -> None:
        if nodes != self.nodes:
            self.nodes = nodes
            self._on_nodes()

    async def _follow(self, kind: Kind) -> None:
        async for event in self._kube.watch(kind, labels=LABEL_ADDON):
            labels: dict[str, Any] = (event.object.get("metadata") or {}).get("labels") or {}
            if LABEL_ADDON in labels:
                self._on_object(str(labels[LABEL_ADDON]))

    async def _follow_rights(self) -> None:
        """Without our rights no watch can be begun; one that was begun goes on for a while."""
        listed: set[str] = set()
        async for event in self._kube.watch(kinds.CLUSTERROLEBINDING, labels=rights.LABEL):
            if event.type == "SYNCED":
                gone, listed = rights.BINDINGS.keys() - listed, set()
                if gone:
                    self._on_rights()
                continue
            listed.add(str(event.object["metadata"]["name"]))
            if event.type == "DELETED" or rights.altered(event.object):
                self._on_rights()


def _with(nodes: dict[str, bool], change: str, node: Manifest) -> dict[str, bool]:
    name = str(node["metadata"]["name"])
    rest = {other: ready for other, ready in nodes.items() if other != name}
    return rest if change == "DELETED" else {**rest, name: node_ready(node)}


def node_ready(node: Manifest) -> bool:
    """Whether a Node says that it is Ready."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
