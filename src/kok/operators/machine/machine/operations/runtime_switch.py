"""Whether a node's kubelet is to talk to another container runtime than it does. Pure.

Pods of one runtime are not known to another, so that such a node is drained. What it talks to is what
the Node reports, and what it is to talk to what stands in the kubelet's parameters: a host that is half
changed makes no difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kok.operators.machine.component import catalog
from kok.operators.machine.machine.operations import adopted
from kok.operators.machine.machine.view import JOINED, MachineView
from kok.operators.machine.node.nodes import NodeView
from kok.operators.machine.remote import host_paths

FIELD: Final = "containerRuntimeEndpoint"
USUAL: Final = "unix:///run/containerd/containerd.sock"
"""Where the kubelet's own file leads if its parameters say nothing."""


def switch(view: MachineView) -> tuple[str, str] | None:
    """The runtime that a node that serves, or has served, has and the one that it is to have, if that
    is another one. Of runtimes that somebody brought along himself nothing is known."""
    if view.status.first_ready is None and not view.status.is_true(JOINED):
        return None
    if adopted.kubelet(view):
        return None
    node = view.objects.node
    if node is not None:
        return other(view, node)
    return _other(view, (view.status.runtime or "").partition(" ")[0])


def other(view: MachineView, node: NodeView) -> tuple[str, str] | None:
    """The runtime that a node has and the one that it is to have, if that is another one."""
    return _other(view, node.runtime.partition("://")[0])


def known(node: NodeView) -> bool:
    """Whether a node has a runtime that KOK knows."""
    return node.runtime.partition("://")[0] in {runtime.name for runtime in catalog.runtimes()}


def _other(view: MachineView, running: str) -> tuple[str, str] | None:
    names = {runtime.endpoint: runtime.name for runtime in catalog.runtimes()}
    wanted = names.get(_endpoint(view))
    if wanted is None or running not in names.values() or running == wanted:
        return None
    return running, wanted


def _endpoint(view: MachineView) -> str:
    listed = view.machine.spec.components
    params = next((c.params for c in listed if c.name == host_paths.KUBELET), None)
    if params is None:
        return ""
    config = params.get("config")
    said = config.get(FIELD, USUAL) if isinstance(config, Mapping) else USUAL
    return str(said)
