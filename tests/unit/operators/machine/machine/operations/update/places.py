"""Machines with their Nodes and hosts, as a model: what KubeNode and Machines decide on."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from tests.unit.operators.machine import builders

from kok.api.machine.machine import Machine
from kok.api.meta import Manifest
from kok.kube.lists.tolerant import Listed
from kok.operators.machine.node import nodes
from kok.operators.machine.node.nodes import NodeView
from kok.operators.machine.remote.session import HostMemory

VERSIONS = ("1.36.4", "1.37.1", "1.37.2")


def condition(kind: str, *, holds: bool) -> dict[str, Any]:
    return {
        "type": kind,
        "status": str(holds),
        "reason": "Any",
        "message": "",
        "lastTransitionTime": "2026-11-02T12:00:00Z",
    }


@dataclass
class Place:
    """A Machine, its Node, its host, and what is remembered of it."""

    name: str
    wanted: str = VERSIONS[0]
    generation: int = 1
    status: Manifest = field(default_factory=dict)
    memory: HostMemory = field(default_factory=HostMemory)
    installed: str = VERSIONS[0]
    running: str = VERSIONS[0]
    """What the Node reports."""
    spec: Manifest = field(default_factory=dict)
    """Of the Node."""
    version: int = 1
    """Its resource version, which changes with the spec."""
    followed: NodeView | None = None
    """The Node as it was last heard of."""
    annotations: dict[str, str] = field(default_factory=dict)
    ready: bool = True
    pods: int = 2
    guarded: bool = False
    """Whether a budget keeps its pods where they are."""

    def node(self) -> Manifest:
        return {
            "metadata": {
                "name": self.name,
                "uid": self.name,
                "resourceVersion": str(self.version),
                "annotations": self.annotations,
            },
            "spec": self.spec,
            "status": {
                "conditions": [{"type": "Ready", "status": str(self.ready)}],
                "nodeInfo": {"kubeletVersion": f"v{self.running}"},
            },
        }

    def machine(self) -> Machine:
        return builders.machine(
            metadata={"name": self.name, "generation": self.generation},
            node=self.name,
            components=[{"name": "kubelet", "version": self.wanted}],
            status=self.status,
        )

    def live(self) -> Manifest:
        return {**self.machine().manifest(), "status": self.status}

    @property
    def ours(self) -> bool:
        return bool(self.annotations.get("kok.dev/cordoned-by"))

    @property
    def cordoned(self) -> bool:
        return bool(self.spec.get("unschedulable"))

    def patch(self, patch: Manifest) -> None:
        """A merge patch of what is patched here."""
        for name, value in patch["metadata"]["annotations"].items():
            self.annotations = {**self.annotations, name: value} if value else {}
        self.closes(cordoned=bool(patch["spec"]["unschedulable"]))

    def closes(self, *, cordoned: bool) -> None:
        """Whoever does it; that is heard of at once, though nobody may look before the next time."""
        self.spec, self.version = {"unschedulable": True} if cordoned else {}, self.version + 1
        self.seen()

    def seen(self) -> NodeView:
        """The Node as who follows it sees it."""
        self.followed = nodes.view(self.node(), self.followed)
        return self.followed


class Lists:
    """The list of all Machines."""

    def __init__(self, places: dict[str, Place]) -> None:
        self._places = places

    async def now(self, *_: object) -> Listed[Machine]:
        return Listed(tuple(place.machine() for place in self._places.values()))


def done(work: Coroutine[Any, Any, str]) -> str:
    """What comes of work that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        return str(end.value)
    raise AssertionError("it waits")
