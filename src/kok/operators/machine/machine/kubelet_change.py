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

from kok.api.machine.machine import KubeletChange, Machine
from kok.kube.errors import KubeError
from kok.operators.machine.machine.decide import Decision, MachineView, unheard
from kok.operators.machine.machine.observe import JOINED
from kok.operators.machine.node import tend
from kok.operators.machine.remote import host_paths
from kok.operators.machine.remote.session import HostMemory
from kok.runtime.controller.reconciler import Pass

JOIN = "join"
"""In the place of a job's ID: the kubelet is let in."""
CHANGES = frozenset({"install", "join"})
"""What goes on at a host while its kubelet may be changed."""


def begin(view: MachineView, job: str, now: float) -> None:
    """Takes note in the status of a change of the kubelet before it is begun; `now` is monotonic.

    One that never was a node has nothing to prove: nobody takes it for one before it is heard of.
    """
    status, memory, node = view.status, view.memory, view.objects.node
    member = node is not None or status.first_ready is not None or status.is_true(JOINED)
    if not member:
        return
    memory.changed, memory.stood = now, None
    known = status.kubelet_change
    if known is None or known.job != job:
        status.kubelet_change = KubeletChange(job=job, before=node.heard if node else "")
    else:
        # Found again by an operator that was restarted, or tried once more.
        status.kubelet_change = known.model_copy(update={"after": None})


async def noting(view: MachineView, change: Callable[[], Awaitable[None]]) -> None:
    """Changes a kubelet, and looks at once what its Node still has of the one before."""
    await change()
    tenant = view.objects.tenant
    if tenant is not None and unheard(view):
        with contextlib.suppress(KubeError):
            node = await tend.as_it_is(tenant, view.machine.spec.node)
            view.memory.stood = node.heard if node is not None else ""


def turned(view: MachineView) -> bool:
    """Whether it turned to another address or CA, with no KubeNode to wait for it, and has yet to
    prove itself."""
    change = view.status.kubelet_change
    return change is not None and change.job == JOIN and not view.machine.spec.access_hash


def through(view: MachineView, decision: Decision) -> bool:
    """Whether nothing is being changed any more: the kubelet that is wanted was started."""
    return (
        decision.seen
        and view.doing not in CHANGES
        and host_paths.KUBELET not in decision.lacking
        and decision.joining == "-"
    )


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


async def prove(p: Pass[Machine], view: MachineView, decision: Decision) -> None:
    """Takes the note away once the kubelet has proven itself, for good."""
    status, memory, tenant = p.status, view.memory, view.objects.tenant
    change: KubeletChange | None = status.kubelet_change
    if change is None:
        return
    if host_paths.KUBELET not in {c.name for c in p.obj.spec.components}:
        # It is to be no node any more.
        status.kubelet_change = None
        return
    if tenant is None or tenant.answers is False or not through(view, decision):
        return
    if change.after is None and memory.stood is not None:
        change = change.model_copy(update={"after": memory.stood})
    seen, started = view.objects.node, _started(memory)
    news = not tenant.known or seen is None or proven(change, seen.heard, started)
    if change.after is None or news:
        # What the watch tells may be older than what is known already.
        try:
            node = await tend.as_it_is(tenant, p.obj.spec.node)
        except KubeError as error:
            p.log.info("node not read", node=p.obj.spec.node, error=error.message)
            return
        heard = node.heard if node is not None else ""
        if change.after is None:
            change = change.model_copy(update={"after": heard})
        if proven(change, heard, started):
            change = None
    status.kubelet_change = change


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
