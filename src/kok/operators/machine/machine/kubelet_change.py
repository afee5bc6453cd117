"""Whether a kubelet that was changed has proven since that it works.

A Node stays Ready for most of a minute after its kubelet has ended, and one that is about to be
changed posts its status until it is stopped. So a change counts as unproven from before it is begun,
in the Machine's status, until the changed kubelet has posted its own. That is a status

- that is another one than the API server had after the kubelet had been restarted; or
- that was posted after the process of the kubelet was started, both by the clock of that very host.

The first takes minutes where the changed kubelet was faster than the operator, since one that has
nothing new to tell posts every five; the second spares that. Clocks of different machines are never
compared, and that time passes proves nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from datetime import datetime

from kok.api.machine.machine import KubeletChange, Machine, MachineStatus
from kok.kube.client import Kube
from kok.kube.errors import KubeError
from kok.operators.machine.machine.view import JOINED, MachineView
from kok.operators.machine.node.cluster_connections import read_node
from kok.operators.machine.remote import host_paths
from kok.operators.machine.remote.session import HostMemory
from kok.runtime.controller.reconciler import Pass

JOIN = "join"
"""In the place of a job's ID: the kubelet is let in."""


def begun(view: MachineView, status: MachineStatus, job: str) -> KubeletChange | None:
    """What is to be recorded of a change of the kubelet before it is begun.

    One that never was a node has nothing to prove: nobody takes it for one before it is heard of.
    """
    node, known = view.objects.node, status.kubelet_change
    heard = node is not None and node.registered
    if not heard and status.first_ready is None and not status.is_true(JOINED):
        return known
    if known is None or known.job != job:
        return KubeletChange(job=job, before=node.heard if node else "")
    # Found again by an operator that was restarted, or tried once more.
    return known.model_copy(update={"after": None})


def mark(status: MachineStatus, memory: HostMemory, now: float) -> None:
    """A change that has to be proven is begun; `now` is monotonic."""
    if status.kubelet_change is not None:
        memory.changed, memory.stood = now, None


async def noting(
    p: Pass[Machine],
    kube: Kube | None,
    memory: HostMemory,
    change: Callable[[], Awaitable[None]],
) -> None:
    """Changes a kubelet, and looks at once what its Node still has of the one before.

    `kube` is the business cluster's API; None: it is not connected.
    """
    await change()
    if kube is not None and p.status.kubelet_change is not None:
        with contextlib.suppress(KubeError):
            node = await read_node(kube, p.obj.spec.node)
            memory.stood = node.heard if node is not None else ""


def turned(view: MachineView) -> bool:
    """Whether it turned to another address or CA, with no KubeNode to wait for it, and has yet to
    prove itself."""
    change = view.status.kubelet_change
    return change is not None and change.job == JOIN and not view.machine.spec.access_hash


def proven(change: KubeletChange, heard: str, started: float | None) -> bool:
    """Whether a status that was posted at `heard` is the changed kubelet's.

    `started` is when that was started, by the clock by which it posts; seconds since 1970.
    """
    if change.after is None or not heard:
        return False
    if heard != change.after:
        return True
    posted = _seconds(heard)
    if posted is None or started is None or heard == change.before:
        return False
    # The time of a status is cut to whole seconds: one of the same second may be from before.
    return posted > started


def undecided(view: MachineView, *, through: bool) -> bool:
    """Whether the API server has to be asked for the Node: a watch may be late.

    `through`: nothing is being changed any more, and the kubelet that is wanted was started.
    """
    return _so_far(view, through=through)[1]


def judge(view: MachineView, *, through: bool) -> KubeletChange | None:
    """The change as far as it has still to be proven; None once that is done, for good."""
    change, ask = _so_far(view, through=through)
    if change is None or not ask:
        return change
    if view.posted is None:
        return view.status.kubelet_change
    if change.after is None:
        change = change.model_copy(update={"after": view.posted})
    return None if proven(change, view.posted, _started(view.memory)) else change


def _so_far(view: MachineView, *, through: bool) -> tuple[KubeletChange | None, bool]:
    """The change by what is known without asking, and whether that is not enough."""
    change, connection, memory = view.status.kubelet_change, view.objects.connection, view.memory
    if change is None or host_paths.KUBELET not in {c.name for c in view.machine.spec.components}:
        # One without a kubelet is to be no node any more.
        return None, False
    if connection is None or connection.answers is False or not through:
        return change, False
    if change.after is None and memory.stood is not None:
        change = change.model_copy(update={"after": memory.stood})
    node = view.objects.node
    news = (
        not view.objects.nodes_known or node is None or proven(change, node.heard, _started(memory))
    )
    return change, change.after is None or news


def _started(memory: HostMemory) -> float | None:
    """When the kubelet was started that runs since the change, if the host has told that since."""
    if memory.identity is None or memory.identified < memory.changed:
        return None
    return memory.identity.started


def _seconds(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None
