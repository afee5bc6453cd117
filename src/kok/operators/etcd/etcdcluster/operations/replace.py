"""Gives up a member that lost its data, so that a new one takes its place."""

from __future__ import annotations

from datetime import datetime, timedelta

from kok.operators.etcd.etcdcluster.members.clock_skew import is_recent
from kok.operators.etcd.etcdcluster.members.health import View
from kok.operators.etcd.etcdcluster.operations.action import AT_ONCE, Action
from kok.operators.etcd.etcdcluster.operations.common import REASONS, at_step, begin
from kok.operators.etcd.etcdcluster.view import Situation

LOST = {"lost", "removed"}
CAP = 3
PERIOD = timedelta(hours=1)
"""So many members are replaced within so much time; whoever loses more has another trouble, such as

disks that fail, which new members would only carry on.
"""


def plan(s: Situation) -> Action | None:
    """Begins with one lost member, if the others have a quorum without it."""
    if s.listed is None or any(
        s.view(m.name).condition in LOST and s.listing(m.name) for m in s.entries("Leaving")
    ):
        return None
    lost = [v for v in s.views if v.condition in LOST and v.entry.state in {"Member", "Joining"}]
    # One that joins is no voter, and in the way of any other that could join.
    lost.sort(key=lambda view: view.entry.state)
    return next((_give_up(s, view) for view in lost if _can_go(s, view.entry.name)), None)


def _can_go(s: Situation, name: str) -> bool:
    one = s.listing(name)
    return one is None or one.is_learner or s.survives_without(one.id)


def _give_up(s: Situation, view: View) -> Action:
    name, why = view.entry.name, view.entry.message or "its data is lost"
    others = [m for m in s.entries("Member") if m.name != name]
    before = s.operation
    if len(others) >= s.obj.spec.members and view.entry.state == "Member":
        operation = begin(s, "Shrink", why, member=name)
    elif view.entry.state == "Joining":
        # What was to come is lost itself.
        before = before or begin(s, "Grow", f"spec.members is {s.obj.spec.members}")
        again = {"attempts": before.attempts + 1, "member": None}
        operation = before.model_copy(update=again)
    else:
        operation = begin(s, "Replace", why, replaces=name)
        if (free := _free_at(s)) is not None:
            text = (
                f"{name} is replaced at {free:%H:%M} UTC: {CAP} members were lost within "
                f"{PERIOD.seconds // 60} minutes; find out what takes their data"
            )
            return Action(REASONS["Replace"], text, s.operation, after=5.0)
    return Action(
        REASONS[operation.type],
        f"{name} is given up: {why}",
        at_step(operation, "Removing"),
        states={name: "Leaving"},
        after=AT_ONCE,
    )


def _free_at(s: Situation) -> datetime | None:
    """When the next member may be replaced; None if now."""
    recent = sorted(r.at for r in s.obj.status.replacements if is_recent(r.at, s.now, PERIOD))
    return recent[-CAP] + PERIOD if len(recent) >= CAP else None
