"""Brings in members that join, one after the other: known to etcd, started, caught up, with a vote.

etcd takes one learner at a time, and the next one only when all voters have been connected for 5 s.
Pods and volumes of those whose turn comes later are made meanwhile; their containers wait for the
list of members that etcd then gives, see `render.start`.
"""

from __future__ import annotations

from kok.api.etcd.etcdcluster import EtcdMember, EtcdOperation
from kok.kube import kinds
from kok.operators.etcd import naming
from kok.operators.etcd.etcdcluster.members import lost, placement
from kok.operators.etcd.etcdcluster.operations.action import AT_ONCE, Action, State
from kok.operators.etcd.etcdcluster.operations.calls import AddLearner, Nudge, Promote
from kok.operators.etcd.etcdcluster.operations.common import (
    REASONS,
    at_step,
    begin,
    newcomers,
    purpose,
)
from kok.operators.etcd.etcdcluster.render.startmap import cluster_key
from kok.operators.etcd.etcdcluster.view import Situation

LAG = 5000
"""Entries of raft's log that a learner may be behind the leader when it gets its vote.

etcd's own check lets it be a tenth of the whole log behind, by what the leader believes: with such
a member's vote, writes could stand still until it has caught up.
"""
NUDGE_AGAIN = 1.0


def plan(s: Situation) -> Action | None:
    """The next step of the first member that joins."""
    joining = s.entries("Joining")
    if not joining or s.listed is None:
        return None
    operation = s.operation
    if operation is None or operation.type not in {"Grow", "Replace", "Migrate"}:
        operation = begin(s, "Grow", _wanted(s), member=joining[0].name)
    need, why = _need(s, operation)
    if need < len(joining):
        return _give_up([m.name for m in joining[need:]], begin(s, "Shrink", why))
    return _advance(s, joining[0], operation)


def _need(s: Situation, operation: EtcdOperation) -> tuple[int, str]:
    """How many members are to join, and why not more: spec or request may change half-way."""
    missing = max(0, s.obj.spec.members - len(s.entries("Member")))
    if operation.type != "Migrate" or missing:
        return missing, f"spec.members is {s.obj.spec.members} again"
    needed = operation.replaces in placement.misfits(s.obj, s.world)
    return int(needed), f"{operation.replaces} need not move any more"


def _give_up(names: list[str], operation: EtcdOperation) -> Action:
    return Action(
        REASONS[operation.type],
        f"{', '.join(names)} is given up: {operation.reason}",
        operation.model_copy(update={"member": names[-1], "step": "Removing"}),
        states=dict.fromkeys(names, "Leaving"),
        after=AT_ONCE,
    )


def _advance(s: Situation, member: EtcdMember, operation: EtcdOperation) -> Action:
    name, why = member.name, purpose(operation)
    one = s.listing(name)
    if one is None:
        return _add(s, name, operation)
    if not one.is_learner:
        return _votes(s, name, operation)
    if s.said(name) is None or member.id is None:
        return _start(s, name, operation)
    reason = REASONS[operation.type]
    if _has_caught_up(s, name) and (at := s.helper(name)):
        call = Promote(at, name, one.id)
        step = at_step(operation, "Promoting", name)
        return Action(reason, f"{name} gets its vote, {why}", step, call=call, after=AT_ONCE)
    text = f"{name} catches up with the leader, {why}"
    return Action(reason, text, at_step(operation, "CatchingUp", name))


def _add(s: Situation, name: str, operation: EtcdOperation) -> Action:
    url = naming.peer_url(s.obj.name, s.obj.namespace, name)
    text = f"{name} is made known to etcd, {purpose(operation)}"
    at = s.in_turn(name)
    call = AddLearner(at, name, url) if at is not None else None
    step = at_step(operation, "Adding", name)
    return Action(REASONS[operation.type], text, step, call=call, after=AT_ONCE)


def _start(s: Situation, name: str, operation: EtcdOperation) -> Action:
    """The kubelet looks at a container that lacked its variables every ten seconds only."""
    state = s.view(name).entry.message or "starts"
    text, step = f"{name}, {purpose(operation)}: {state}", at_step(operation, "Starting", name)
    pod = s.world.get(kinds.POD, naming.pod_name(name))
    told = (s.world.get(kinds.CONFIGMAP, naming.start_map(s.obj.name)) or {}).get("data") or {}
    if pod is None or not lost.lacks_settings(pod) or cluster_key(name) not in told:
        return Action(REASONS[operation.type], text, step)
    call = Nudge(str(pod["metadata"]["name"]), str(pod["metadata"]["uid"]))
    return Action(REASONS[operation.type], text, step, call=call, after=NUDGE_AGAIN)


def _votes(s: Situation, name: str, operation: EtcdOperation) -> Action:
    """It is a member from now on; the one after the next is prepared."""
    states: dict[str, State] = {name: "Member"}
    need = s.obj.spec.members - len(s.entries("Member")) - len(s.entries("Joining"))
    if operation.type == "Grow":
        states |= dict.fromkeys(newcomers(s, min(need, 1)), "Joining")
    done = at_step(operation, "Voting", name)
    text = f"{name} votes, {purpose(operation)}"
    return Action(REASONS[operation.type], text, done, states=states, after=AT_ONCE)


def _has_caught_up(s: Situation, name: str) -> bool:
    """By the learner's own account, not by what the leader remembers of it."""
    said, leads = s.said(name), s.said(s.leader) if s.leader else None
    if said is None or leads is None or not said.is_learner:
        return False
    return leads.raft_index - said.applied_index <= LAG


def _wanted(s: Situation) -> str:
    return f"spec.members is {s.obj.spec.members}"
