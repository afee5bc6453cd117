"""Gives the place of a member that is to be elsewhere to a new one, one by one, the leader last.

The new member joins first, so that there is never one less; then `scale` finds one too many and
lets the one go whose place was taken.
"""

from __future__ import annotations

from kok.operators.etcd import naming
from kok.operators.etcd.etcdcluster.members import placement
from kok.operators.etcd.etcdcluster.operations.action import AT_ONCE, Action
from kok.operators.etcd.etcdcluster.operations.common import (
    REASONS,
    at_step,
    backs_off,
    begin,
    newcomers,
)
from kok.operators.etcd.etcdcluster.view import Situation


def plan(s: Situation) -> Action | None:
    """Begins with one member that has to move, while all are healthy."""
    found = placement.misfits(s.obj, s.world)
    running = s.operation if s.operation is not None and s.operation.type == "Migrate" else None
    waiting = [m.name for m in s.entries("Member") if m.name in found]
    if s.listed is None or not waiting:
        return None
    if not s.all_healthy:
        if running is None:
            return None
        text = "the next member is moved when all are healthy"
        return Action(REASONS["Migrate"], text, at_step(running, "Waiting"))
    old = min(waiting, key=lambda name: (name == s.leader, naming.number_of(s.obj.name, name)))
    operation = begin(s, "Migrate", found[old], replaces=old)
    if running is not None and running.replaces == old:
        operation = running
    if (wait := backs_off(s, operation)) is not None:
        return wait
    (name,) = newcomers(s, 1)
    return Action(
        REASONS["Migrate"],
        f"{name} is made in place of {old}: {found[old]}",
        at_step(operation, "Adding", name),
        states={name: "Joining"},
        after=AT_ONCE,
    )
