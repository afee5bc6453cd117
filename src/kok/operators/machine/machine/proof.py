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
from kok.operators.machine.machine.decide import Case, Decision, unheard
from kok.operators.machine.machine.observe import JOINED
from kok.operators.machine.node import tend
from kok.operators.machine.remote import paths
from kok.operators.machine.remote.session import View
from kok.runtime.controller.reconciler import Pass

JOIN = "join"
"""In the place of a job's ID: the kubelet is let in."""
CHANGES = frozenset({"install", "join"})
"""What goes on at a host while its kubelet may be changed."""


def begin(case: Case, job: str, now: float) -> None:
    """Takes note in the status of a change of the kubelet before it is begun; `now` is monotonic.

    One that never was a node has nothing to prove: nobody takes it for one before it is heard of.
    """
    status, view, node = case.status, case.view, case.world.node
    member = node is not None or status.first_ready is not None or status.is_true(JOINED)
    if not member:
        return
    view.changed, view.stood = now, None
    known = status.kubelet_change
    if known is None or known.job != job:
        status.kubelet_change = KubeletChange(job=job, before=node.heard if node else "")
    else:
        # Found again by an operator that was restarted, or tried once more.
        status.kubelet_change = known.model_copy(update={"after": None})


async def noting(case: Case, change: Callable[[], Awaitable[None]]) -> None:
    """Changes a kubelet, and looks at once what its Node still has of the one before."""
    await change()
    tenant = case.world.tenant
    if tenant is not None and unheard(case):
        with contextlib.suppress(KubeError):
            node = await tend.as_it_is(tenant, case.machine.spec.node)
            case.view.stood = node.heard if node is not None else ""


def turned(case: Case) -> bool:
    """Whether it turned to another address or CA, with no KubeNode to wait for it, and has yet to
    prove itself."""
    change = case.status.kubelet_change
    return change is not None and change.job == JOIN and not case.machine.spec.access_hash


def through(case: Case, decision: Decision) -> bool:
    """Whether nothing is being changed any more: the kubelet that is wanted was started."""
    return (
        decision.seen
        and case.doing not in CHANGES
        and paths.KUBELET not in decision.lacking
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


async def prove(p: Pass[Machine], case: Case, decision: Decision) -> None:
    """Takes the note away once the kubelet has proven itself, for good."""
    status, view, tenant = p.status, case.view, case.world.tenant
    change: KubeletChange | None = status.kubelet_change
    if change is None:
        return
    if paths.KUBELET not in {c.name for c in p.obj.spec.components}:
        # It is to be no node any more.
        status.kubelet_change = None
        return
    if tenant is None or tenant.answers is False or not through(case, decision):
        return
    if change.after is None and view.stood is not None:
        change = change.model_copy(update={"after": view.stood})
    seen, started = case.world.node, _started(view)
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


def _started(view: View) -> float | None:
    """When the kubelet was started that runs since the change, if the host has told that since."""
    if view.identity is None or view.identified < view.changed:
        return None
    return view.identity.started


def _seconds(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None
