"""How a host becomes a member of its cluster, and turns to another address or CA of it: pure."""

from __future__ import annotations

from dataclasses import replace

from kok.operators.machine import reasons
from kok.operators.machine.machine import install_plan
from kok.operators.machine.machine.operations import adopted
from kok.operators.machine.machine.operations.host_steps import (
    JoinCluster,
    Step,
    TakeTokenBack,
    refused,
)
from kok.operators.machine.machine.remediation import remedy as remedies
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.remote import host_paths, join
from kok.operators.machine.remote.survey import Survey
from kok.runtime.conditions import Verdict

JOIN_PATIENCE = 60.0
"""Seconds in which a started kubelet must have its credentials."""
TURN_AGAIN = 5.0
"""Seconds after which it is asked again whether it is a Machine's turn."""
FINISH_EVERY = 5.0
FINISH_MOST = 300.0
"""Seconds between two attempts to remove a bootstrap token; the first of them are closer."""


def todo(view: MachineView) -> join.JoinPlan | None:
    """What is to be done so that the host is a member of its cluster; None also if unknown."""
    endpoint, identity = view.objects.endpoint, view.memory.identity
    if endpoint is None or identity is None:
        return None
    own_way = adopted.own_way(view)
    found = join.plan(identity, endpoint, view.machine.spec.node, view.now, own_way=own_way)
    if found is not None and found.why == join.STOPPED and remedies.supervised(view):
        return None
    hashed = view.machine.spec.access_hash
    if found is not None and found.staged and view.status.first_ready:
        # One that serves goes on as it is until it is its turn; its KubeNode says so if it has one.
        turn = hashed == endpoint.digest if hashed else view.turn
        return found if turn else None
    return found


def turning(view: MachineView) -> bool:
    """Whether it has to turn to another address or CA, and no KubeNode says when."""
    found = todo(replace(view, turn=True))
    return found is not None and found.staged and not view.machine.spec.access_hash


def why_not(view: MachineView) -> str:
    """Why the host has not joined; `-` if it has; empty if that cannot be said yet."""
    if view.objects.endpoint is None or view.memory.identity is None:
        return ""
    found = todo(view)
    return found.why if found is not None else "-"


def step(view: MachineView, survey: Survey) -> Step:
    """What to do at a host that has all software so that it is, and stays, a member of its cluster."""
    kubelet = host_paths.KUBELET in {c.name for c in view.machine.spec.components}
    if not kubelet or not view.objects.takes_nodes or view.memory.identity is None:
        return Step()
    found = todo(view)
    if found is None and _token_left(view):
        every = min(FINISH_MOST, FINISH_EVERY * 2.0 ** min(view.memory.unfinished, 10))
        after = view.memory.finished + every - view.monotonic
        return Step(TakeTokenBack()) if after <= 0 else Step(after=after)
    if found is None:
        # A kubelet makes its Node when it starts and never again.
        gone = join.JoinPlan("its Node is gone", token=False)
        if view.objects.node_lost:
            return _wait_for_kubelet(view, gone)
        return Step() if view.turn else Step(after=TURN_AGAIN)
    problem = _foreign_node(view, survey) or install_plan.skew(view.machine, view.objects.cluster)
    if problem is not None:
        return refused(problem, view.recheck)
    return _wait_for_kubelet(view, found)


def _wait_for_kubelet(view: MachineView, found: join.JoinPlan) -> Step:
    memory, now = view.memory, view.monotonic
    if memory.joined is None or now - memory.joined > JOIN_PATIENCE:
        return Step(JoinCluster(found), turns=turning(view))
    node = view.objects.node
    if node is not None and node.registered and now - memory.finished > FINISH_EVERY:
        return Step(TakeTokenBack())
    return Step(after=FINISH_EVERY)


def _token_left(view: MachineView) -> bool:
    token, identity = view.status.token_id, view.memory.identity
    # Of one that was adopted it is not ours, unless we have let it in since.
    on_host = identity is not None and identity.bootstrap and view.status.adopted is None
    return on_host or (token is not None and token != view.memory.token_gone)


def _foreign_node(view: MachineView, survey: Survey) -> Verdict | None:
    """Another host that already is the node of that name."""
    node, own = view.objects.node, survey.facts.get("machineID", "")
    joined_before = view.memory.joined is not None or view.status.kubelet is not None
    if node is None or not node.ready or joined_before or node.machine_id in ("", own):
        return None
    return Verdict(
        False,
        reasons.NODE_NAME_TAKEN,
        f"node {node.name} of Cluster {view.machine.spec.cluster} is another host; give this "
        "Machine another node name, or delete that Node",
    )
