"""Brings the number of members to that of the spec, one by one."""

from __future__ import annotations

from kok.api.etcdcluster import EtcdMember
from kok.operators.etcd import plan as members_plan
from kok.operators.etcd.operations.action import AT_ONCE, Action
from kok.operators.etcd.operations.common import REASONS, at_step, begin, not_before, purpose
from kok.operators.etcd.situation import Situation


def plan(s: Situation) -> Action | None:
    """Begins with one member more or less."""
    if s.listed is None or not s.formed:
        return None
    have, want = len(s.entries("Member")), s.obj.spec.members
    if have > want:
        return _shrink(s)
    return _grow(s) if have < want else None


def _grow(s: Situation) -> Action | None:
    running = s.operation
    operation = running or begin(s, "Grow", f"spec.members is {s.obj.spec.members}")
    if operation.type == "Shrink":
        operation = begin(s, "Grow", f"spec.members is {s.obj.spec.members}")
    reason = REASONS[operation.type]
    if not s.all_healthy:
        text = "the next member is added when all others are healthy"
        return Action(reason, text, at_step(running, "Waiting")) if running is not None else None
    if operation.attempts and s.now < operation.since + not_before(operation):
        text = (
            f"the next member, {purpose(operation)}, is added after a while, since "
            f"{operation.attempts} before it did not come to life"
        )
        return Action(reason, text, at_step(operation, "BackingOff"), after=5.0)
    name = members_plan.fresh_name(s.obj, s.world)
    return Action(
        reason,
        f"{name} is made, {purpose(operation)}",
        at_step(operation, "Adding", name),
        states={name: "Joining"},
        after=AT_ONCE,
    )


def _shrink(s: Situation) -> Action | None:
    victim = _victim(s)
    if victim is None:
        return None
    why = f"spec.members is {s.obj.spec.members}"
    operation = begin(s, "Shrink", why, member=victim.name)
    return Action(
        REASONS["Shrink"],
        f"{victim.name} is to leave: {why}",
        at_step(operation, "Removing"),
        states={victim.name: "Leaving"},
        after=AT_ONCE,
    )


def _victim(s: Situation) -> EtcdMember | None:
    """One that is not healthy, if the others can do without it; else the one with the highest

    number, and the leader only if there is no other. A healthy one leaves only healthy ones.
    """
    members = s.entries("Member")
    for member in members:
        one = s.listing(member.name)
        if not s.is_healthy(member.name) and (one is None or s.survives_without(one.id)):
            return member
    if not s.all_healthy:
        return None
    return max(members, key=lambda m: (m.name != s.leader, _number(s, m)), default=None)


def _number(s: Situation, member: EtcdMember) -> int:
    return members_plan.number_of(s.obj.name, member.name) or 0
