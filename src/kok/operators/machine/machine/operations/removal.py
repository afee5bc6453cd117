"""The removal of a Machine as an operation: drain, host, Node, in order and bounded. Pure.

The step is recorded before it is begun, so that whoever comes after a death goes on with it: nothing
is drained twice, and nobody gives up what he has not tried.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from kok.api.fields import span
from kok.api.machine.machine import MachineStatus
from kok.api.names import ANNOTATION_ABANDON_HOST
from kok.api.operation import Operation
from kok.operators.machine import reasons
from kok.operators.machine.host.ssh_secrets import touched
from kok.operators.machine.machine.operations.removal_calls import (
    Abandon,
    BeginClean,
    CleanHost,
    DrainNode,
    EndDrain,
    LeaveCluster,
    RemovalContext,
    ReportClean,
    TellOfForce,
    may_have_node,
)
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.remote import host_identity, jobs
from kok.operators.machine.remote.commands import HostTaken
from kok.operators.machine.remote.session import LEAST
from kok.operators.machine.remote.ssh import Target
from kok.runtime.operations.action import Action, Call

REMOVE: Final = "Remove"
DRAINING: Final = "Draining"
CLEANING_HOST: Final = "CleaningHost"
LEAVING_CLUSTER: Final = "LeavingCluster"
LOOK_AGAIN = 5.0
"""Seconds after which it is looked at again what has come of a step."""
UNSEEN_FOR = timedelta(seconds=30)
"""How long the business cluster's API is waited for while it does not answer at all."""


@dataclass(frozen=True, slots=True)
class RemovalView:
    """All that the next action depends on."""

    machine: MachineView
    status: MachineStatus
    """As recorded, the operation included."""
    target: Target | None
    """Where and as whom to log in; None if there is no way to the host."""
    listed: bool
    """Whether the host stands in the list of those that were given up."""
    patience: timedelta
    """How long a host that cannot be cleaned up is tried."""
    forced: timedelta
    """How long after the time-out of a drain pods that were deleted against their budgets may take."""

    @property
    def began(self) -> datetime:
        """Counted from the first pass and not from the deletion: an operator that was away, for
        however long, has drained nothing yet and has not tried to clean up."""
        return self.status.drain_since or self.machine.now

    @property
    def strange(self) -> bool:
        """Whether it may be another host than the one of the Machine, unless it bears its mark."""
        was, target = self.status.installed_on, self.target
        if was is None or target is None:
            return False
        found = host_identity.compare(
            was, target.address, target.port, target.expected, target.behind
        )
        return found is not host_identity.HostMatch.SAME


RemovalAction = Action[Operation, RemovalContext]


def resumed(status: MachineStatus, now: datetime) -> Operation:
    """The operation as recorded, or where one goes on that an earlier release has begun."""
    if status.operation is not None and status.operation.type == REMOVE:
        return status.operation
    step = CLEANING_HOST if status.clean_since is not None else DRAINING
    since = status.drain_since or now
    return Operation(type=REMOVE, step=step, since=since, reason="the Machine is being deleted")


def plan(view: RemovalView) -> RemovalAction | None:
    """What to do next; None: nothing is left to do. An action with `after` 0 waits for nothing."""
    return _PLANS[resumed(view.status, view.machine.now).step](view)


def drain_deadline(view: RemovalView) -> datetime:
    """When the budgets of pods no longer count."""
    given = span(view.machine.machine.spec.drain_timeout)
    seen = view.machine.memory.drain_seen or view.machine.now
    return max(view.began + given, seen + min(given, LEAST))


def clean_deadline(view: RemovalView) -> datetime:
    """When the host is given up."""
    over = (view.status.clean_since or view.machine.now) + view.patience
    if view.target is None:
        return over
    seen = view.machine.memory.clean_seen or view.machine.now
    return max(over, seen + min(view.patience, LEAST))


def api_text(view: RemovalView) -> str | None:
    """What is waited for, if the API may be back soon: one that is away for a moment, as when it is
    rolled, must not cost the drain."""
    machine, connection = view.machine.machine, view.machine.objects.connection
    patience, now = UNSEEN_FOR.total_seconds(), view.machine.now
    # An operator that was just started needs a moment, however old the deletion is.
    young = connection is not None and (
        connection.age < patience or 0 < connection.silence < patience
    )
    in_time = now < view.began + span(machine.spec.drain_timeout) + UNSEEN_FOR
    if (young and in_time) or now < view.began + UNSEEN_FOR:
        return f"waiting for the API of Cluster {machine.spec.cluster}"
    return None


def _action(
    view: RemovalView,
    call: Call[RemovalContext] | None = None,
    text: str = "",
    after: float = 0.0,
    *,
    step: str | None = None,
) -> RemovalAction:
    operation = resumed(view.status, view.machine.now)
    if step is not None:
        operation = operation.model_copy(update={"step": step})
    return Action(reasons.REMOVING, text, operation, call, after)


# --- the business cluster


def _drain(view: RemovalView) -> RemovalAction:
    objects, memory = view.machine.objects, view.machine.memory
    node = objects.node
    if memory.drained or not may_have_node(view.status) or objects.cluster_gone:
        return _drained(view)
    if not objects.nodes_known:
        text = api_text(view)
        return _action(view, None, text, 2.0) if text is not None else _drained(view)
    if node is None:
        return _drained(view)
    deadline = drain_deadline(view)
    # A drain that is refused again and again has no pods to wait for any more.
    over = deadline + (timedelta() if memory.error is not None else view.forced)
    if view.machine.now >= over:
        # Whatever it hangs on: the time that it was given is over.
        return _action(view, EndDrain())
    text = f"draining node {node.name}"
    if memory.draining:
        text += f": {memory.draining}"
    if memory.error is not None:
        text += f" ({memory.error.message})"
    start = not view.machine.doing and view.machine.wait <= 0
    return _action(view, DrainNode(start, deadline), text, _soon(view, over))


def _drained(view: RemovalView) -> RemovalAction:
    """The host comes next; people are told now if budgets did not count, for nobody knows later."""
    call = TellOfForce() if view.machine.memory.forced else None
    return _action(view, call, step=CLEANING_HOST)


def _soon(view: RemovalView, until: datetime) -> float:
    """Seconds until the next look, which is not to be missed."""
    return max(0.1, min(LOOK_AGAIN, (until - view.machine.now).total_seconds()))


def _leave(view: RemovalView) -> RemovalAction | None:
    """The Node once more: a kubelet that was restarted meanwhile makes it anew."""
    if view.machine.memory.forgotten:
        return None
    return _action(view, LeaveCluster(api_text(view)))


# --- the host


def _clean(view: RemovalView) -> RemovalAction:
    memory, machine = view.machine.memory, view.machine.machine
    if not touched(view.status) or view.listed or memory.abandoned or memory.reported:
        return _action(view, step=LEAVING_CLUSTER)
    taken = isinstance(memory.error, HostTaken) and memory.error.owner.uid
    # What belongs to somebody else by now has nothing of ours any more.
    if memory.cleaned or (taken and not view.strange):
        return _action(view, ReportClean())
    if view.status.clean_since is None or memory.clean_seen is None:
        return _action(view, BeginClean())
    told = machine.metadata.annotations.get(ANNOTATION_ABANDON_HOST) == "true"
    hopeless = view.machine.objects.hopeless and view.target is None
    if told or hopeless or view.machine.now >= clean_deadline(view):
        why = _why(view) or (
            "the operator was told to let it go" if told else "it was not done in time"
        )
        return _action(view, Abandon(why, _left(view.status)))
    start = view.target is not None and not view.machine.doing and view.machine.wait <= 0
    text = f"cleaning up host {machine.spec.address}{_obstacle(view)}"
    call = CleanHost(view.machine.owner_mark, marked=view.strange) if start else None
    return _action(view, call, text, LOOK_AGAIN)


def _obstacle(view: RemovalView) -> str:
    """Why the host is not clean yet, and what becomes of that."""
    why = _why(view)
    if not why:
        job = view.machine.memory.jobs.get(jobs.REMOVAL)
        return f": {job.step}" if job is not None and job.step else ""
    return (
        f": {why}; left to do there: {_left(view.status)}; gives up at "
        f"{clean_deadline(view):%H:%M:%S} UTC, or at once with the annotation "
        f"{ANNOTATION_ABANDON_HOST}=true"
    )


def _why(view: RemovalView) -> str:
    """What keeps the host from being cleaned up."""
    error, refusal = view.machine.memory.error, view.machine.objects.refusal
    was, target = view.status.installed_on, view.target
    if target is None:
        return refusal.message if refusal is not None else "there is no way to log in"
    if was is not None and view.strange and isinstance(error, HostTaken):
        return host_identity.uncleaned(was, target.port, target.expected, target.behind)
    return error.message if error is not None else ""


def _left(status: MachineStatus) -> str:
    names = [c.name for c in status.components if c.job is not None or c.found]
    return f"stop pods, uninstall {', '.join(reversed(names))}, remove /var/lib/kok"


_PLANS: Final[dict[str, Callable[[RemovalView], RemovalAction | None]]] = {
    DRAINING: _drain,
    CLEANING_HOST: _clean,
    LEAVING_CLUSTER: _leave,
}
