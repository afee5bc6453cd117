"""Brings the number of members to that of the spec, one by one."""

from __future__ import annotations

from kok.api.etcd.etcdcluster import EtcdMember, EtcdOperation
from kok.operators.etcd import naming
from kok.operators.etcd.etcdcluster.members import placement
from kok.operators.etcd.etcdcluster.operations.action import AT_ONCE, Action
from kok.operators.etcd.etcdcluster.operations.common import (
    REASONS,
    at_step,
    backs_off,
    begin,
    newcomers,
    purpose,
)
from kok.operators.etcd.etcdcluster.view import Situation

AHEAD = 2
"""Members that are made at a time: one that joins, and the next one's pod and volume."""


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
    if running is None or running.type not in {"Grow", "Replace"}:
        running = None
    operation = running or begin(s, "Grow", f"spec.members is {s.obj.spec.members}")
    reason = REASONS[operation.type]
    if not s.all_healthy:
        text = "the next member is added when all others are healthy"
        return Action(reason, text, at_step(running, "Waiting")) if running is not None else None
    if (wait := backs_off(s, operation)) is not None:
        return wait
    missing = s.obj.spec.members - len(s.entries("Member"))
    names = newcomers(s, min(missing, AHEAD) if operation.type == "Grow" else 1)
    return Action(
        reason,
        f"{names[0]} is made, {purpose(operation)}",
        at_step(operation, "Adding", names[0]),
        states=dict.fromkeys(names, "Joining"),
        after=AT_ONCE,
    )


def _shrink(s: Situation) -> Action | None:
    if (moved := _moved(s)) is not None:
        return moved
    victim = _victim(s)
    if victim is None:
        return None
    operation = begin(s, "Shrink", f"spec.members is {s.obj.spec.members}", member=victim.name)
    return _leaves(victim.name, operation)


def _moved(s: Situation) -> Action | None:
    """Whose place was taken leaves, once the one that took it is healthy, and nobody else."""
    running = s.operation
    if running is None or running.type != "Migrate" or running.replaces is None:
        return None
    old = running.replaces
    if old not in {m.name for m in s.entries("Member")}:
        return None
    if not s.all_healthy:
        text = f"{old} stays until all members are healthy"
        return Action(REASONS["Migrate"], text, at_step(running, "Waiting"))
    return _leaves(old, running)


def _leaves(name: str, operation: EtcdOperation) -> Action:
    return Action(
        REASONS[operation.type],
        f"{name} is to leave: {operation.reason}",
        at_step(operation, "Removing"),
        states={name: "Leaving"},
        after=AT_ONCE,
    )


def _victim(s: Situation) -> EtcdMember | None:
    """One that is not healthy, if the others can do without it; else one that is to be elsewhere,

    else the one with the highest number; the leader only if there is no other such. A healthy one
    leaves only healthy ones.
    """
    members = s.entries("Member")
    for member in members:
        one = s.listing(member.name)
        if not s.is_healthy(member.name) and (one is None or s.survives_without(one.id)):
            return member
    if not s.all_healthy:
        return None
    elsewhere = placement.misfits(s.obj, s.world)
    return max(
        members,
        key=lambda m: (m.name in elsewhere, m.name != s.leader, _number(s, m)),
        default=None,
    )


def _number(s: Situation, member: EtcdMember) -> int:
    return naming.number_of(s.obj.name, member.name) or 0
