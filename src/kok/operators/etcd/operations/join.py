"""Brings in a member that joins: known to etcd, started, caught up, with a vote."""

from __future__ import annotations

from kok.api.etcdcluster import EtcdMember, EtcdOperation
from kok.operators.etcd import layout
from kok.operators.etcd.operations.action import AT_ONCE, Action
from kok.operators.etcd.operations.calls import AddLearner, Promote
from kok.operators.etcd.operations.common import REASONS, at_step, begin, purpose
from kok.operators.etcd.situation import Situation

LAG = 5000
"""Entries of raft's log that a learner may be behind the leader when it gets its vote.

etcd's own check lets it be a tenth of the whole log behind, by what the leader believes: with such
a member's vote, writes could stand still until it has caught up.
"""


def plan(s: Situation) -> Action | None:
    """The next step of the first member that joins."""
    joining = s.entries("Joining")
    if not joining or s.listed is None:
        return None
    member = joining[0]
    operation = s.operation or begin(s, "Grow", _wanted(s), member=member.name)
    if not _is_needed(s, operation):
        why = f"spec.members is {s.obj.spec.members} again"
        return Action(
            REASONS["Shrink"],
            f"{member.name} is given up: {why}",
            begin(s, "Shrink", why, member=member.name),
            states={member.name: "Leaving"},
            after=AT_ONCE,
        )
    return _advance(s, member, operation)


def _is_needed(s: Situation, operation: EtcdOperation) -> bool:
    return operation.type == "Migrate" or len(s.entries("Member")) < s.obj.spec.members


def _advance(s: Situation, member: EtcdMember, operation: EtcdOperation) -> Action:
    name, reason = member.name, REASONS[operation.type]
    why = purpose(operation)
    one = s.listing(name)
    if one is None:
        return _add(s, name, operation)
    if not one.is_learner:
        text = f"{name} votes, {why}"
        done = at_step(operation, "Voting", name)
        return Action(reason, text, done, states={name: "Member"}, after=AT_ONCE)
    said = s.said(name)
    if said is None or member.id is None:
        state = s.view(name).entry.message or "starts"
        return Action(reason, f"{name} {why}: {state}", at_step(operation, "Starting", name))
    if _has_caught_up(s, name) and (at := s.helper(name)):
        call = Promote(at, name, one.id)
        step = at_step(operation, "Promoting", name)
        return Action(reason, f"{name} gets its vote, {why}", step, call=call, after=AT_ONCE)
    text = f"{name} catches up with the leader, {why}"
    return Action(reason, text, at_step(operation, "CatchingUp", name))


def _add(s: Situation, name: str, operation: EtcdOperation) -> Action:
    url = layout.peer_url(s.obj.name, s.obj.namespace, name)
    text = f"{name} is made known to etcd, {purpose(operation)}"
    at = s.helper(name)
    call = AddLearner(at, name, url) if at is not None else None
    step = at_step(operation, "Adding", name)
    return Action(REASONS[operation.type], text, step, call=call, after=AT_ONCE)


def _has_caught_up(s: Situation, name: str) -> bool:
    """By the learner's own account, not by what the leader remembers of it."""
    said, leads = s.said(name), s.said(s.leader) if s.leader else None
    if said is None or leads is None or not said.is_learner:
        return False
    return leads.raft_index - said.applied_index <= LAG


def _wanted(s: Situation) -> str:
    return f"spec.members is {s.obj.spec.members}"
