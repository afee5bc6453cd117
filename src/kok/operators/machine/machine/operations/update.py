"""A change for which a node has to be drained, as an operation of its Machine. Pure.

    Cordoning    no more pods get to the node, unless somebody else keeps them away already
    Draining     those that are there leave, as their disruption budgets allow; nothing is forced
    Changing     the software is installed, and the kubelet proves itself
    Uncordoning  pods get to the node again, if it was we who kept them away

It is for another minor release of the kubelet, under which pods must not go on running, for another
runtime, and for every Component that says so. What kubelet and runtime a node has is what it reports
itself, so that a host that is half changed makes no difference; what else is to be changed is what the
host was seen to lack.

A step is recorded before it is begun, and nothing rests on its being over: who comes after a death
finds out anew whether the node is cordoned, by whom, and whether it is empty. Where there is no need
any more, as after the spec was taken back, what was done so far is undone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from kok.api.fields import span
from kok.api.machine.machine import MachineStatus
from kok.api.operation import Operation
from kok.operators.machine import cluster_version, reasons
from kok.operators.machine.component import render
from kok.operators.machine.machine import kubelet_change
from kok.operators.machine.machine.operations import adopted, reboot, runtime_switch
from kok.operators.machine.machine.operations.host_steps import StepContext
from kok.operators.machine.machine.operations.update_calls import (
    DEAD,
    EMPTY,
    CordonNode,
    EmptyNode,
    UncordonNode,
)
from kok.operators.machine.machine.view import JOINED, MachineView
from kok.operators.machine.node.nodes import NodeView
from kok.operators.machine.remote import host_paths
from kok.operators.machine.remote.survey import Found
from kok.runtime.conditions import Verdict
from kok.runtime.operations.action import Action, Call

UPDATE: Final = "Update"
CORDONING: Final = "Cordoning"
DRAINING: Final = "Draining"
CHANGING: Final = "Changing"
UNCORDONING: Final = "Uncordoning"
HOLDS = frozenset({reasons.CLUSTER_UPGRADING, reasons.WAITING_FOR_TURN, reasons.NODE_UNKNOWN})
"""Reasons for which a change is not begun, while the node serves as it did."""
DRAINS: Final = frozenset({"drain", "reboot"})
"""What a Component may say of a change of it for which the node has to be drained."""
_LEFT: Final = frozenset({"Ready", "Drifted", "Adopted"})
"""States of software for which nothing is to be done: what drifted and is left as it is, and what was
adopted as it is."""

UpdateAction = Action[Operation, StepContext]


def recorded(status: MachineStatus) -> Operation | None:
    """The operation as recorded, if one is under way."""
    known = status.operation
    return known if known is not None and known.type == UPDATE else None


def underway(view: MachineView) -> Operation | None:
    """The operation that is under way. Also one that nobody recorded shows on the Node."""
    known = recorded(view.status)
    if known is None and _ours(view):
        return _operation(view, CHANGING)
    return known


def crossing(view: MachineView) -> tuple[str, str] | None:
    """The version that the node's kubelet has and the one that is wanted, if their minors differ; or
    the runtime that it talks to and the one that it is to talk to.

    None also where there is no node that serves, or has served.
    """
    change = _change(view)
    if change is not None and cluster_version.crosses(*change):
        return change
    return runtime_switch.switch(view)


def may_begin(view: MachineView) -> bool:
    """Whether it may come to an operation, so that it matters whose turn it is."""
    return recorded(view.status) is None and _asked(view)


def may_drain(view: MachineView) -> bool:
    """Whether any Component of a node that has served may ask for an operation that is not begun."""
    asks = any(DRAINS & {*render.changes(c)} for c in view.objects.components.values())
    return asks and _served(view) and recorded(view.status) is None


def drained_for(view: MachineView, lacking: Collection[str] | None = None) -> list[str]:
    """The software for which the node has to be drained before that is changed.

    `lacking`: what is not as it should be, if the host was compared with that; otherwise by what was
    recorded when it was.
    """
    if not _served(view):
        return []
    if lacking is None:
        lacking = [c.name for c in view.status.components if c.state not in _LEFT]
    return sorted(name for name in lacking if _asks(view, name))


def unbegun(view: MachineView, operation: Operation | None, *, seen: bool) -> bool:
    """Whether the kubelet has another version than is wanted since the node is not drained yet.

    `seen`: whether the host was compared with what is wanted.
    """
    before = operation.step != CHANGING if operation is not None else not seen
    return before and (crossing(view) is not None or bool(drained_for(view)))


def finish(view: MachineView) -> UpdateAction | None:
    """What an operation ends with for which there is no need any more; None as long as there is, or
    as it is not known. Needs no host."""
    operation, node = underway(view), view.objects.node
    if operation is None:
        return None
    if node is None:
        # A kubelet that makes its Node anew makes it without a cordon.
        return _ended(operation) if view.objects.nodes_known else None
    if not node.kubelet or _needed(view):
        return None
    if not _proven(view, operation, node):
        return None
    if not _ours(view):
        return _ended(operation)
    return _action(view, operation, UNCORDONING, UncordonNode())


def gate(view: MachineView, lacking: Collection[str] = ()) -> UpdateAction | Verdict | None:
    """What comes before software is changed, or why it must not be yet; None: it may in place.

    `lacking`: what is not as it should be.

    An action without a call is the step in which it may be changed.
    """
    why = cluster_version.held(view.objects.cluster)
    if why and _change(view) is not None and not _begun(view):
        return Verdict(False, reasons.CLUSTER_UPGRADING, why)
    software = drained_for(view, lacking)
    if not _asked(view) and not software:
        return None
    node = view.objects.node
    if node is None:
        return None if view.objects.nodes_known else _unknown(view)
    operation = underway(view)
    if operation is None:
        if view.blocker:
            text = f"Machine {view.blocker} is changed first: nodes are drained one after the other"
            return Verdict(False, reasons.WAITING_FOR_TURN, text)
        operation = _operation(view, CORDONING, software)
    return _PLANS[operation.step](view, operation, node)


def told(view: MachineView, operation: Operation) -> Verdict:
    """What is done in an operation, and what is waited for."""
    name, what = view.machine.spec.node, operation.reason
    more = f": {view.memory.draining}" if view.memory.draining else ""
    if operation.step == CORDONING:
        return Verdict(False, reasons.CORDONING, f"{what}; node {name} is cordoned first{more}")
    if operation.step == DRAINING and more and overdue(view, operation):
        text = (
            f"{what}, and waits: node {name} has not been drained for "
            f"{timeout(view)}{more}; loosen the budgets, add a node that takes the "
            "pods, or delete them"
        )
        if forces(view):
            text = f"{what}; node {name} is drained without regard to disruption budgets{more}"
        return Verdict(False, reasons.DRAIN_BLOCKED, text)
    if operation.step == DRAINING:
        return Verdict(False, reasons.DRAINING, f"{what}; node {name} is drained first{more}")
    if operation.step == CHANGING:
        return Verdict(False, reasons.CHANGING, f"{what}; node {name} is drained")
    return Verdict(False, reasons.UNCORDONING, f"node {name} is uncordoned{more}")


def overdue(view: MachineView, operation: Operation) -> bool:
    """Whether it takes longer to drain the node than it should."""
    return view.now - operation.since >= span(timeout(view))


def timeout(view: MachineView) -> str:
    """How long the drain before a change may take."""
    spec = view.machine.spec
    return spec.rollout.drain_timeout or spec.drain_timeout


def forces(view: MachineView) -> bool:
    """Whether disruption budgets do not count after that."""
    return view.machine.spec.rollout.on_drain_timeout == "Force"


# --- what a step needs


def _cordon(view: MachineView, operation: Operation, node: NodeView) -> UpdateAction:
    if node.unschedulable:
        return _drain(view, operation, node)
    return _action(view, operation, CORDONING, CordonNode())


def _drain(view: MachineView, operation: Operation, node: NodeView) -> UpdateAction:
    if not node.unschedulable:
        return _cordon(view, operation, node)
    drain = drain_of(operation, node)
    how = view.memory.emptied
    # What could not leave a node that was dead is still there when it is back.
    if how == (drain, EMPTY) or (how == (drain, DEAD) and node.ready is not True):
        return _action(view, operation, CHANGING)
    force = operation.since + span(timeout(view)) if forces(view) else None
    slow = overdue(view, operation) and force is None
    return _action(view, operation, DRAINING, EmptyNode(drain, slow=slow, deadline=force))


_PLANS: Final[dict[str, Callable[[MachineView, Operation, NodeView], UpdateAction]]] = {
    CORDONING: _cordon,
    DRAINING: _drain,
    # As long as anything is to be changed: somebody may have let pods in again.
    CHANGING: _drain,
    UNCORDONING: _cordon,
}


def drain_of(operation: Operation, node: NodeView) -> str:
    """Which drain it is: of which operation, of which Node, and since when that is cordoned.

    Where somebody let pods in meanwhile, though it be for a moment, it is another one.
    """
    return f"{operation.since.isoformat()} {node.uid} {node.closed}"


# --- what is known


def _needed(view: MachineView) -> bool:
    boots = reboot.disturbs(view.status) is not None
    held = bool(cluster_version.held(view.objects.cluster)) and not _begun(view)
    if held and _change(view) is not None:
        return boots
    return boots or crossing(view) is not None or bool(drained_for(view))


def _asked(view: MachineView) -> bool:
    """Whether there is anything for which a node that serves has to be drained, but for software."""
    return crossing(view) is not None or reboot.disturbs(view.status) is not None


def _asks(view: MachineView, name: str) -> bool:
    """Whether a change of that software asks for a drain."""
    component = view.objects.components.get(name)
    if component is None:
        return False
    survey = view.memory.survey
    if survey is not None and name in survey.found:
        return render.needs(component, survey.found[name]) in DRAINS
    known = next((c for c in view.status.components if c.name == name), None)
    if known is None:
        return False
    begun = known.job is not None or known.config is not None
    return render.needs(component, Found(known.found or "", begun=begun)) in DRAINS


def _proven(view: MachineView, operation: Operation, node: NodeView) -> bool:
    """Whether the node may get pods: it serves, and nothing is left of what was begun."""
    begun = operation.step in (CHANGING, UNCORDONING)
    lacks = begun and any(c.state not in _LEFT for c in view.status.components)
    return node.ready is True and view.status.kubelet_change is None and not lacks


def _begun(view: MachineView) -> bool:
    """Whether the kubelet may be changed by half: then it is brought to an end."""
    change = view.status.kubelet_change
    return change is not None and change.job != kubelet_change.JOIN


def _change(view: MachineView) -> tuple[str, str] | None:
    """The version that the kubelet of a node that serves, or has served, has, and the one that is
    wanted, if that is another one."""
    if not _served(view) or adopted.kubelet(view):
        return None
    node, listed = view.objects.node, view.machine.spec.components
    wanted = next((c.version for c in listed if c.name == host_paths.KUBELET), None)
    running = node.kubelet if node is not None else view.status.kubelet
    return (running, wanted) if running and wanted and running != wanted else None


def _served(view: MachineView) -> bool:
    """Whether there is, or was, a node that serves."""
    return view.status.first_ready is not None or view.status.is_true(JOINED)


def _ours(view: MachineView) -> bool:
    """Whether it was this Machine that cordoned its Node."""
    node, machine = view.objects.node, view.machine
    return node is not None and node.cordoned_by == f"{machine.namespace}/{machine.name}"


def _unknown(view: MachineView) -> Verdict:
    spec = view.machine.spec
    text = (
        f"node {spec.node} has to be drained before {_what(view)} changes, and "
        f"the API of Cluster {spec.cluster} says nothing of its nodes"
    )
    return Verdict(False, reasons.NODE_UNKNOWN, text)


# --- actions


def _operation(view: MachineView, step: str, software: Collection[str] = ()) -> Operation:
    since = view.now.replace(microsecond=0)
    return Operation(type=UPDATE, step=step, since=since, reason=_why(view, software))


def _why(view: MachineView, software: Collection[str] = ()) -> str:
    found, node = crossing(view), view.machine.spec.node
    boot = reboot.disturbs(view.status)
    if found is not None:
        what = "runtime" if found == runtime_switch.switch(view) else "kubelet"
        return f"the {what} of node {node} goes from {found[0]} to {found[1]}"
    if boot is not None:
        return f"the host of node {node} boots for {boot.component}: {boot.reason}"
    if software:
        return f"{' and '.join(software)} of node {node} is changed"
    return f"node {node} was drained for a change"


def _what(view: MachineView) -> str:
    found = crossing(view)
    if found is None:
        return "its software"
    return "its runtime" if found == runtime_switch.switch(view) else "its kubelet"


def _action(
    view: MachineView, operation: Operation, step: str, call: Call[StepContext] | None = None
) -> UpdateAction:
    why = _why(view) if _asked(view) else operation.reason
    now = operation.model_copy(update={"step": step, "reason": why})
    said = told(view, now)
    return Action(said.reason, said.message, now, call)


def _ended(operation: Operation) -> UpdateAction:
    return Action(reasons.UPDATING, operation.reason, None)
