"""Takes out members that leave: the leader moved away first, removed by ID, their remains later."""

from __future__ import annotations

from kok.api.etcd.etcdcluster import EtcdMember, EtcdOperation
from kok.etcdclient.model import Listed
from kok.operators.etcd import naming
from kok.operators.etcd.etcdcluster.operations.action import AT_ONCE, Action, State
from kok.operators.etcd.etcdcluster.operations.calls import MoveLeader, Remove
from kok.operators.etcd.etcdcluster.operations.common import REASONS, at_step, begin
from kok.operators.etcd.etcdcluster.view import Situation


def plan(s: Situation) -> Action | None:
    """The next step of the members that leave; those that are not healthy come first."""
    if s.listed is None:
        return None
    leaving = sorted(s.entries("Leaving"), key=lambda m: (s.is_healthy(m.name), m.name))
    if not leaving:
        return _stray(s)
    operation = s.operation or begin(s, "Shrink", "it is not wanted any more")
    if back := _wanted_again(s, leaving, operation):
        return back
    listed = [(m, one) for m in leaving if (one := s.listing(m.name)) is not None]
    gone: dict[str, State] = {m.name: "Left" for m in leaving if s.listing(m.name) is None}
    if gone:
        text = f"{', '.join(gone)} left; pod and volume are removed"
        step = at_step(operation, "Left")
        return Action(REASONS[operation.type], text, step, states=gone, after=AT_ONCE)
    return _remove(s, *listed[0], operation)


def _wanted_again(
    s: Situation, leaving: list[EtcdMember], operation: EtcdOperation
) -> Action | None:
    """A healthy member that was to leave stays if the spec wants as many again meanwhile."""
    missing = s.obj.spec.members - len(s.entries("Member"))
    voters = [m.name for m in leaving if s.is_healthy(m.name) and s.listing(m.name) is not None]
    if operation.type != "Shrink" or missing <= 0 or not voters:
        return None
    why = f"spec.members is {s.obj.spec.members} again"
    grow = begin(s, "Grow", why, member=voters[0])
    states: dict[str, State] = {voters[0]: "Member"}
    return Action(REASONS["Grow"], f"{voters[0]} stays: {why}", grow, states=states, after=AT_ONCE)


def _remove(s: Situation, member: EtcdMember, one: Listed, operation: EtcdOperation) -> Action:
    name, reason = member.name, REASONS[operation.type]
    if name == s.leader:
        return _move_leader(s, name, operation)
    if not one.is_learner and not s.survives_without(one.id):
        text = f"{name} stays until enough others are healthy to go on without it"
        return Action(reason, text, at_step(operation, "Waiting"))
    at = s.in_turn(name)
    call = Remove(at, name, one.id) if at is not None else None
    text = f"{name} is removed: {operation.reason}"
    return Action(reason, text, at_step(operation, "Removing"), call=call, after=AT_ONCE)


def _move_leader(s: Situation, name: str, operation: EtcdOperation) -> Action:
    step, at = at_step(operation, "MovingLeader"), s.address(name)
    reason = REASONS[operation.type]
    heir = s.successor([m.name for m in s.entries("Leaving")])
    if heir is None or heir.id is None or at is None:
        text = f"{name} leads and stays until another healthy member can lead"
        return Action(reason, text, step)
    text = f"{name} leaves; {heir.name} is to lead in its place"
    return Action(reason, text, step, call=MoveLeader(at, heir.name, heir.id), after=AT_ONCE)


def _stray(s: Situation) -> Action | None:
    """A learner of ours that was given up before etcd's answer came that it had been added.

    Its name is used up, so nobody will ever start it; and no other can join beside it.
    """
    found = next((one for one in s.strangers if _was_ours(s, one)), None)
    at = s.in_turn()
    if found is None or at is None:
        return None
    text = f"learner {found.id} is removed, which no member of ours is"
    operation = s.operation or begin(s, "Shrink", "it was given up before")
    call = Remove(at, found.peer_urls[0], found.id)
    return Action(REASONS[operation.type], text, operation, call=call, after=AT_ONCE)


def _was_ours(s: Situation, one: Listed) -> bool:
    numbers = range(s.obj.status.next_member)
    names = (f"{s.obj.name}-{number}" for number in numbers)
    ours = {naming.peer_url(s.obj.name, s.obj.namespace, name) for name in names}
    return one.is_learner and set(one.peer_urls) <= ours
