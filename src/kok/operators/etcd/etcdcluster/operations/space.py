"""A full database (alarm NOSPACE): forget history, defragment, and take the alarm back.

No key is ever deleted. Where the data itself fills the database, the alarm stays, and people are
told: only they know what may go, or whether the volumes shall grow.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from kok.api.etcd.etcdcluster import EtcdOperation
from kok.etcdclient.model import Alarm, EtcdError, MemberStatus, Trouble
from kok.operators.etcd import reasons
from kok.operators.etcd.etcdcluster.members import templates
from kok.operators.etcd.etcdcluster.members.clock_skew import is_recent, past
from kok.operators.etcd.etcdcluster.operations import defragment
from kok.operators.etcd.etcdcluster.operations.action import AT_ONCE, Action, Context
from kok.operators.etcd.etcdcluster.operations.common import at_step, begin
from kok.operators.etcd.etcdcluster.view import Situation

NOSPACE = "NOSPACE"
ROOM = 0.9
"""Share of the quota below which a database counts as having room again."""
CAP = 3
"""So many times in `MEMORY` it is done by itself: whoever fills it again and again must be told."""
MEMORY = timedelta(hours=24)
PAUSE = timedelta(minutes=10)
"""How long after an attempt that made no room the next one waits."""


@dataclass(frozen=True, slots=True)
class Compact:
    """Forgets all history; then members can be defragmented."""

    at: str
    revision: int

    async def run(self, context: Context) -> None:
        """See `Call`."""
        try:
            await context.client.compact(self.at, self.revision)
        except EtcdError as error:
            if error.trouble is not Trouble.COMPACTED:
                raise
        status, now = context.obj.status, context.p.now
        status.freed_at = [at for at in status.freed_at if is_recent(at, now, MEMORY)] + [now]
        if status.operation is not None:
            status.operation = at_step(status.operation, "Defragment")


@dataclass(frozen=True, slots=True)
class NoRoom:
    """Remembers that all was done and the database is still full."""

    async def run(self, context: Context) -> None:
        """See `Call`."""
        context.obj.status.no_room_at = context.p.now


@dataclass(frozen=True, slots=True)
class Disarm:
    """Takes alarms back."""

    at: str
    alarms: tuple[Alarm, ...]

    async def run(self, context: Context) -> None:
        """See `Call`."""
        for alarm in self.alarms:
            await context.client.disarm(self.at, alarm)
        names = ", ".join(sorted({alarm.name for alarm in self.alarms}))
        context.p.event(reasons.ALARM_DISARMED, f"alarm {names} was taken back")


def plan(s: Situation) -> Action | None:
    """The next step, or None if there is no such alarm or nothing more can be done about it."""
    running = s.doing("FreeSpace")
    alarms = raised(s, NOSPACE)
    at = s.helper()
    if not alarms:
        text = "the database has room again"
        return None if running is None else Action(reasons.CURRENT, text, None, after=AT_ONCE)
    if at is None or s.listed is None:
        return None
    if running is None and has_room(s):
        operation = begin(s, "FreeSpace", "the database has room again")
        return _disarm(at_step(operation, "Disarm"), at, alarms)
    if running is None:
        return _begin(s, at) if may_begin(s) else None
    return _go_on(s, running, at, alarms)


def _begin(s: Situation, at: str) -> Action:
    operation = at_step(begin(s, "FreeSpace", "the database is full"), "Compact")
    return _compact(s, operation, at)


def _go_on(s: Situation, running: EtcdOperation, at: str, alarms: tuple[Alarm, ...]) -> Action:
    if running.step == "Compact":
        return _compact(s, running, at)
    waiting = [
        m
        for m in s.entries("Member")
        if (done := past(m.defragmented_at, s.now)) is None or done < running.since
    ]
    if running.step != "Disarm" and waiting:
        if not s.all_healthy:
            text = "the next member is defragmented when all are healthy"
            return Action(reasons.NO_SPACE, text, running)
        first = min(waiting, key=lambda m: (m.name == s.leader, m.name)).name
        operation = at_step(running, "Defragment", first)
        return defragment.step(s, operation, first, reasons.NO_SPACE)
    if has_room(s):
        return _disarm(at_step(running, "Disarm"), at, alarms)
    return Action(reasons.NO_SPACE, full(s), None, call=NoRoom(), after=AT_ONCE)


def _compact(s: Situation, operation: EtcdOperation, at: str) -> Action:
    revision = max((said.revision for said in _said(s)), default=0)
    text = "the database is full: history is compacted, then members are defragmented"
    call = Compact(at, revision)
    return Action(reasons.NO_SPACE, text, operation, call=call, after=AT_ONCE)


def _disarm(operation: EtcdOperation, at: str, alarms: tuple[Alarm, ...]) -> Action:
    text = "the database has room again; the alarm is taken back"
    return Action(reasons.NO_SPACE, text, operation, call=Disarm(at, alarms), after=AT_ONCE)


def may_begin(s: Situation) -> bool:
    """Whether it may be tried now, by the user's leave and by what was tried before."""
    if s.obj.spec.maintenance.on_full == "Manual":
        return False
    status = s.obj.status
    tried = [at for at in status.freed_at if is_recent(at, s.now, MEMORY)]
    in_vain = is_recent(status.no_room_at, s.now, PAUSE)
    return len(tried) < CAP and not in_vain


def has_room(s: Situation) -> bool:
    """Whether every member could write again."""
    return all(
        (said := s.said(m.name)) is not None
        and said.db_size < ROOM * templates.running_quota(s.obj, s.world, m.name)
        for m in s.entries("Member")
    )


def full(s: Situation) -> str:
    """What to do where the data itself fills the database."""
    used = max((said.in_use for said in _said(s)), default=0)
    return (
        f"the data itself, {used // 1024**2} MiB, fills the database; delete keys with etcdctl, or "
        "let spec.storage.size or spec.storage.quota grow"
    )


def raised(s: Situation, name: str) -> tuple[Alarm, ...]:
    """Alarms of that name which any member knows of."""
    found = {alarm for said in _said(s) for alarm in said.alarms if alarm.name == name}
    return tuple(sorted(found, key=lambda alarm: alarm.member_id))


def _said(s: Situation) -> list[MemberStatus]:
    return [said for m in s.obj.status.members if (said := s.said(m.name)) is not None]
