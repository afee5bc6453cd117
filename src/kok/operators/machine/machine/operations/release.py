"""Letting a Machine go whose host stays the node that it is: host, then Node, in order and bounded. Pure.

    ReleasingHost   what is KOK's own there goes: its mark, its records, its jobs; nothing is stopped
    LeavingCluster  pods get to the node again, if it was a Machine that kept them away

Nothing is drained, uninstalled or deleted. What was decided as the removal began holds: a host that is
being cleaned up is no node any more, and one that is being released is not cleaned up. A host that
cannot be reached is waited for, as long as nobody says otherwise: while it bears the mark, whoever gets
it next takes it for the remains of a Machine and cleans it up.
"""

from __future__ import annotations

from typing import Final

from kok.api.machine.machine import Machine, MachineStatus
from kok.api.names import ANNOTATION_ABANDON_HOST, ANNOTATION_RELEASE
from kok.api.operation import Operation
from kok.operators.machine import reasons
from kok.operators.machine.host.ssh_secrets import touched
from kok.operators.machine.machine.operations.release_calls import (
    LetGo,
    ReleaseHost,
    ReleaseNode,
)
from kok.operators.machine.machine.operations.removal import (
    LEAVING_CLUSTER,
    LOOK_AGAIN,
    RemovalAction,
    RemovalView,
    api_text,
)
from kok.operators.machine.machine.operations.removal_calls import RemovalContext, ReportClean
from kok.operators.machine.remote.commands import HostTaken
from kok.runtime.operations.action import Action, Call

RELEASE: Final = "Release"
RELEASING_HOST: Final = "ReleasingHost"


def asked(machine: Machine) -> bool:
    """Whether the host is to be left as it is."""
    told = machine.metadata.annotations.get(ANNOTATION_RELEASE) == "true"
    return told or machine.spec.on_remove == "Release"


def applies(machine: Machine, status: MachineStatus) -> bool:
    """Whether this removal leaves the host as it is: as recorded, once it has begun."""
    known = status.operation
    if known is not None and known.type == RELEASE:
        return True
    # An earlier change of the node is no removal; one by an earlier release is told by its times.
    begun = status.drain_since is not None or status.clean_since is not None
    # One that never served is no node: what was installed there so far would be left by half.
    node = status.first_ready is not None or status.adopted is not None
    return node and not begun and asked(machine)


def plan(view: RemovalView) -> RemovalAction | None:
    """What to do next; None: nothing is left to do."""
    if _operation(view).step == LEAVING_CLUSTER:
        return None if view.machine.memory.forgotten else _action(view, ReleaseNode(api_text(view)))
    return _host(view)


def _host(view: RemovalView) -> RemovalAction:
    memory, machine = view.machine.memory, view.machine.machine
    if not touched(view.status) or memory.reported:
        return _action(view, step=LEAVING_CLUSTER)
    taken = isinstance(memory.error, HostTaken) and memory.error.owner.uid
    if memory.cleaned or taken:
        # What belongs to somebody else by now has nothing of ours any more.
        return _action(view, ReportClean())
    told = machine.metadata.annotations.get(ANNOTATION_ABANDON_HOST) == "true"
    if told or (view.machine.objects.hopeless and view.target is None):
        return _action(view, LetGo(_why(view) or "the operator was told to let it go"))
    start = view.target is not None and not view.machine.doing and view.machine.wait <= 0
    text = f"releasing host {machine.spec.address}, which stays node {machine.spec.node}"
    if why := _why(view):
        text += (
            f": {why}; it is tried again, or left with KOK's mark on it with the annotation "
            f"{ANNOTATION_ABANDON_HOST}=true"
        )
    token = view.status.token_id is not None
    return _action(view, ReleaseHost(token=token) if start else None, text, LOOK_AGAIN)


def _why(view: RemovalView) -> str:
    error, refusal = view.machine.memory.error, view.machine.objects.refusal
    if view.target is None:
        return refusal.message if refusal is not None else "there is no way to log in"
    return error.message if error is not None else ""


def _operation(view: RemovalView) -> Operation:
    known = view.status.operation
    if known is not None and known.type == RELEASE:
        return known
    since = view.status.drain_since or view.machine.now
    reason = "the Machine is being deleted, and its host stays as it is"
    return Operation(type=RELEASE, step=RELEASING_HOST, since=since, reason=reason)


def _action(
    view: RemovalView,
    call: Call[RemovalContext] | None = None,
    text: str = "",
    after: float = 0.0,
    *,
    step: str | None = None,
) -> RemovalAction:
    operation = _operation(view)
    if step is not None:
        operation = operation.model_copy(update={"step": step})
    return Action(reasons.RELEASING, text, operation, call, after)
