"""A full database (alarm NOSPACE): forget history, defragment, and take the alarm back.

No key is ever deleted. Where the data itself fills the database, the alarm stays, and people are
told: only they know what may go, or whether the volumes shall grow. Where history or deletions left
holes, members are defragmented one by one, if the spec says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from kok.api.etcd.etcdcluster import EtcdMember, EtcdOperation
from kok.etcdclient.model import Alarm, EtcdError, MemberStatus, Trouble
from kok.operators.etcd import reasons
from kok.operators.etcd.clocks import is_recent, past
from kok.operators.etcd.etcdcluster.members import templates
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.operations.action import (
    AT_ONCE,
    Action,
    Context,
    MoveLeader,
    at_step,
    begin,
)

NOSPACE = "NOSPACE"
ROOM = 0.9
"""Share of the quota below which a database counts as having room again."""
CAP = 3
"""So many times in `MEMORY` it is done by itself: whoever fills it again and again must be told."""
MEMORY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Compact:
    """Forgets all history; then members can be defragmented."""

    at: str
    revision: int

    async def run(self, context: Context) -> None:
        """Makes this change. Raises `EtcdError` or `KubeError`."""
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
        """Makes this change. Raises `EtcdError` or `KubeError`."""
        context.obj.status.no_room_at = context.p.now


@dataclass(frozen=True, slots=True)
class Disarm:
    """Takes alarms back."""

    at: str
    alarms: tuple[Alarm, ...]

    async def run(self, context: Context) -> None:
        """Makes this change. Raises `EtcdError` or `KubeError`."""
        for alarm in self.alarms:
            await context.client.disarm(self.at, alarm)
        names = ", ".join(sorted({alarm.name for alarm in self.alarms}))
        context.p.event(reasons.ALARM_DISARMED, f"alarm {names} was taken back")


def free(s: Assessment) -> Action | None:
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


def _begin(s: Assessment, at: str) -> Action:
    operation = at_step(begin(s, "FreeSpace", "the database is full"), "Compact")
    return _compact(s, operation, at)


def _go_on(s: Assessment, running: EtcdOperation, at: str, alarms: tuple[Alarm, ...]) -> Action:
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
        return step(s, operation, first, reasons.NO_SPACE)
    if has_room(s):
        return _disarm(at_step(running, "Disarm"), at, alarms)
    return Action(reasons.NO_SPACE, full(s), None, call=NoRoom(), after=AT_ONCE)


def _compact(s: Assessment, operation: EtcdOperation, at: str) -> Action:
    revision = max((said.revision for said in _said(s)), default=0)
    text = "the database is full: history is compacted, then members are defragmented"
    call = Compact(at, revision)
    return Action(reasons.NO_SPACE, text, operation, call=call, after=AT_ONCE)


def _disarm(operation: EtcdOperation, at: str, alarms: tuple[Alarm, ...]) -> Action:
    text = "the database has room again; the alarm is taken back"
    return Action(reasons.NO_SPACE, text, operation, call=Disarm(at, alarms), after=AT_ONCE)


def may_begin(s: Assessment) -> bool:
    """Whether it may be tried now, by the user's leave and by what was tried before."""
    if s.obj.spec.maintenance.on_full == "Manual":
        return False
    status = s.obj.status
    tried = [at for at in status.freed_at if is_recent(at, s.now, MEMORY)]
    in_vain = is_recent(status.no_room_at, s.now, s.observed.tuning.free_again_after)
    return len(tried) < CAP and not in_vain


def has_room(s: Assessment) -> bool:
    """Whether every member could write again."""
    return all(
        (said := s.said(m.name)) is not None
        and said.db_size < ROOM * templates.running_quota(s.obj, s.observed, m.name)
        for m in s.entries("Member")
    )


def full(s: Assessment) -> str:
    """What to do where the data itself fills the database."""
    used = max((said.in_use for said in _said(s)), default=0)
    return (
        f"the data itself, {used // 1024**2} MiB, fills the database; delete keys with etcdctl, or "
        "let spec.storage.size or spec.storage.quota grow"
    )


def raised(s: Assessment, name: str) -> tuple[Alarm, ...]:
    """Alarms of that name which any member knows of."""
    found = {alarm for said in _said(s) for alarm in said.alarms if alarm.name == name}
    return tuple(sorted(found, key=lambda alarm: alarm.member_id))


def _said(s: Assessment) -> list[MemberStatus]:
    return [said for m in s.obj.status.members if (said := s.said(m.name)) is not None]


@dataclass(frozen=True, slots=True)
class Defragment:
    """Defragments one member, which answers nobody meanwhile, and notes when."""

    at: str
    member: str

    async def run(self, context: Context) -> None:
        """Makes this change. Raises `EtcdError` or `KubeError`."""
        await context.client.defragment(self.at)
        for entry in context.obj.status.members:
            if entry.name == self.member:
                entry.defragmented_at = context.p.now
        context.p.event(reasons.MEMBER_DEFRAGMENTED, f"{self.member} was defragmented")


def defragment(s: Assessment) -> Action | None:
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


def step(s: Assessment, operation: EtcdOperation, name: str, reason: str) -> Action:
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


def wanting(s: Assessment) -> list[EtcdMember]:
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


def _pays(s: Assessment, member: EtcdMember, share: float) -> bool:
    said = s.said(member.name)
    if (
        said is None
        or said.db_size < s.observed.tuning.worth_defragmenting
        or said.in_use >= share * said.db_size
    ):
        return False
    return not is_recent(member.defragmented_at, s.now, s.observed.tuning.defragment_again_after)


def is_open(window: str, now: datetime) -> bool:
    """Whether `now` lies in a window such as `22:00-04:00` (UTC); an empty one is always open."""
    if not window:
        return True
    begins, ends = (time.fromisoformat(text) for text in window.split("-"))
    at = now.astimezone(UTC).time()
    return begins <= at < ends if begins <= ends else at >= begins or at < ends
