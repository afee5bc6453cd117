"""Gives back space that members' database files hold but do not use, one member at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from kok.api.etcd.etcdcluster import EtcdMember, EtcdOperation
from kok.operators.etcd import reasons
from kok.operators.etcd.etcdcluster.members.clock_skew import is_recent
from kok.operators.etcd.etcdcluster.operations.action import AT_ONCE, Action, Context
from kok.operators.etcd.etcdcluster.operations.calls import MoveLeader
from kok.operators.etcd.etcdcluster.operations.common import at_step, begin
from kok.operators.etcd.etcdcluster.view import Situation

WORTH = 100 * 1024**2
"""Bytes of a database file below which it is not worth it."""
PAUSE = timedelta(hours=1)
"""How long a member is left alone after it was defragmented, whatever came of it."""


@dataclass(frozen=True, slots=True)
class Defragment:
    """Defragments one member, which answers nobody meanwhile, and notes when."""

    at: str
    member: str

    async def run(self, context: Context) -> None:
        """See `Call`."""
        await context.client.defragment(self.at)
        for entry in context.obj.status.members:
            if entry.name == self.member:
                entry.defragmented_at = context.p.now
        context.p.event(reasons.MEMBER_DEFRAGMENTED, f"{self.member} was defragmented")


def plan(s: Situation) -> Action | None:
    """The next step for the members that need it, the leader last and not while it leads."""
    running = s.doing("Defragment")
    due = wanting(s)
    if not due:
        text = "no member needs to be defragmented any more"
        return None if running is None else Action(reasons.CURRENT, text, None, after=AT_ONCE)
    if not s.all_healthy:
        text = "the next member is defragmented when all are healthy"
        return None if running is None else Action(reasons.DEFRAGMENTING, text, running)
    name = due[0].name
    operation = running or begin(s, "Defragment", "database files hold much unused space")
    return step(s, at_step(operation, "Defragment", name), name, reasons.DEFRAGMENTING)


def step(s: Situation, operation: EtcdOperation, name: str, reason: str) -> Action:
    """Defragments one member, with another leader in its place first."""
    at = s.address(name)
    heir = s.successor([name]) if name == s.leader else None
    if heir is not None and heir.id is not None and at is not None:
        text = f"{name} is to be defragmented; {heir.name} is to lead in its place"
        call = MoveLeader(at, heir.name, heir.id)
        return Action(reason, text, at_step(operation, "MoveLeader"), call=call, after=AT_ONCE)
    text = f"{name} is defragmented: {operation.reason}"
    do = Defragment(at, name) if at is not None else None
    return Action(reason, text, operation, call=do, after=AT_ONCE)


def wanting(s: Situation) -> list[EtcdMember]:
    """Members whose files hold much that is not used, the leader last."""
    maintenance = s.obj.spec.maintenance
    if s.listed is None or not is_open(maintenance.window, s.now):
        return []
    if len(s.voters) == 1 and not maintenance.window:
        # Nobody answers meanwhile: only when the user said when.
        return []
    share = int(maintenance.defrag_at.rstrip("%")) / 100
    found = [m for m in s.entries("Member") if _pays(s, m, share)]
    return sorted(found, key=lambda m: (m.name == s.leader, m.name))


def _pays(s: Situation, member: EtcdMember, share: float) -> bool:
    said = s.said(member.name)
    if said is None or said.db_size < WORTH or said.in_use >= share * said.db_size:
        return False
    return not is_recent(member.defragmented_at, s.now, PAUSE)


def is_open(window: str, now: datetime) -> bool:
    """Whether `now` lies in a window such as `22:00-04:00` (UTC); an empty one is always open."""
    if not window:
        return True
    begins, ends = (time.fromisoformat(text) for text in window.split("-"))
    at = now.astimezone(UTC).time()
    return begins <= at < ends if begins <= ends else at >= begins or at < ends
