"""Rolling changes: settings and versions reach the members one by one, the leader last, and what has to be so before."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from kok.api.etcd.etcdcluster import EtcdMember, EtcdOperation
from kok.kube import kinds
from kok.operators.etcd import naming, reasons
from kok.operators.etcd.clocks import is_recent
from kok.operators.etcd.etcdcluster.certificates import trust
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
from kok.versions import Minor, UnknownVersion, check_etcd_upgrade, etcd, parse

"""Seconds between two looks at what keeps a roll from going on."""


@dataclass(frozen=True, slots=True)
class Restart:
    """Stops a member's pod that was not made of the StatefulSet that the member has by now."""

    member: str

    async def run(self, context: Context) -> None:
        """Makes this change. Raises `EtcdError` or `KubeError`."""
        obj, observed, p = context.obj, context.observed, context.p
        want = templates.target(obj, observed, self.member)
        pod = observed.get(kinds.POD, naming.pod_name(self.member))
        if pod is None or not templates.has_pod_unlike(observed, self.member, want):
            return
        meta = pod["metadata"]
        await p.kube.delete(kinds.POD, meta["name"], obj.namespace, uid=meta["uid"])
        p.event(reasons.MEMBER_RESTARTED, f"{self.member} is restarted with what the spec says")


def plan(s: Assessment) -> Action | None:
    """The next step, or None if there is nothing to roll for now and no roll to end."""
    stale = pending(s)
    running = s.doing("Roll")
    if not s.formed or s.listed is None:
        return _rescue(s, running, stale)
    if running is not None and (now := _go_on(s, running, stale)) is not None:
        return now
    if not stale:
        text = "all members run with the settings of the spec"
        return None if running is None else Action(reasons.CURRENT, text, None, after=AT_ONCE)
    blocked = obstacle(s, stale)
    if blocked is not None:
        # The condition UpToDate tells of it; other things may be done meanwhile.
        return None if running is None else Action(reasons.ROLL_BLOCKED, blocked, None)
    name = order(s, stale)[0].name
    return _take_down(s, begin(s, "Roll", _purpose(s, name), member=name), stale)


def verdict(s: Assessment) -> tuple[bool, str, str]:
    """Whether all members run with what the spec says, a reason of `reasons`, and a sentence."""
    stale = pending(s)
    if s.doing("Roll") is not None and (now := plan(s)) is not None:
        return not stale and now.operation is None, now.reason, now.message
    if not stale:
        return True, reasons.CURRENT, ""
    names = ", ".join(m.name for m in stale)
    if trust.under_way(s.obj.status) is not None:
        names = f"{_purpose(s, stale[0].name)}: {names}"
    blocked = obstacle(s, stale) if s.formed and s.listed is not None else None
    if blocked is not None:
        return False, reasons.ROLL_BLOCKED, f"{names} do not have what the spec says yet: {blocked}"
    text = f"{names} do not have what the spec says yet; they are restarted one after the other"
    return False, reasons.RESTART_NEEDED, text


def pending(s: Assessment) -> list[EtcdMember]:
    """Members that do not run with what the spec says; none if nobody can run that."""
    try:
        etcd(s.obj.spec.version)
    except UnknownVersion:
        return []
    return [m for m in s.entries("Member") if templates.outdated(s.obj, s.observed, m.name)]


def obstacle(s: Assessment, stale: list[EtcdMember]) -> str | None:
    """Why no further member may be taken on, with all that has to be mended."""
    first = order(s, stale)[0]
    changing = stale if _changes_version(s, first) else [first]
    problems = version_problems(s, [m.name for m in changing])
    # A setting may be just what a sick member needs; it is then the first, and the only one.
    problems = problems or unhealthy(s, first.name) or lagging(s, first.name)
    if not problems and s.is_healthy(first.name) and not _spared(s, first.name):
        problems = [f"the others would have no quorum without {first.name}"]
    return "; ".join(problems) or None


def _rescue(s: Assessment, running: EtcdOperation | None, stale: list[EtcdMember]) -> Action | None:
    """Where there is no quorum to lose, what the spec says now may be what brings it back.

    A version is not raised so, unless the member is on turn already.
    """
    turn = running.member if running is not None else None
    for member in stale:
        name = member.name
        if s.is_healthy(name) or (s.formed and not _may_be_rescued(s, member, name == turn)):
            continue
        if not s.formed and not templates.has_other_pod(s.obj, s.observed, name):
            continue
        why = _purpose(s, name)
        # What has never formed has its StatefulSets from the spec at once.
        begun = at_step(begin(s, "Roll", why, member=name), "Restart") if s.formed else None
        text = f"{why}: {name} is restarted, as there is no quorum to lose"
        return Action(reasons.ROLLING, text, begun, call=Restart(name))
    return None if running is None or turn is None else _wait(s, running, turn)


def _may_be_rescued(s: Assessment, member: EtcdMember, on_turn: bool) -> bool:
    if not _changes_version(s, member):
        return True
    return on_turn and step_problem(s, str(member.version)) is None


def order(s: Assessment, stale: list[EtcdMember]) -> list[EtcdMember]:
    """Who comes first: those that are not healthy, then the oldest versions, the leader last, and what has to be so before."""
    return sorted(
        stale,
        key=lambda m: (
            s.is_healthy(m.name),
            m.name == s.leader,
            parse(m.version) if m.version else parse(s.obj.spec.version),
            m.name,
        ),
    )


def _go_on(s: Assessment, running: EtcdOperation, stale: list[EtcdMember]) -> Action | None:
    """With the member on turn; None when it is done with, or is none of ours any more."""
    name = running.member
    if name is None or name not in {m.name for m in s.entries("Member")}:
        return None
    if name not in {m.name for m in stale}:
        return _wait(s, running, name)
    problems = version_problems(s, [name], name)
    if s.is_healthy(name):
        problems += unhealthy(s, name)
    if problems:
        return Action(
            reasons.ROLL_BLOCKED,
            "; ".join(problems),
            running,
            after=s.observed.tuning.look_troubled,
        )
    return _take_down(s, running, stale)


def _wait(s: Assessment, running: EtcdOperation, name: str) -> Action | None:
    if s.is_healthy(name):
        behind = lagging(s)
        if not behind:
            return None
        text = f"{running.reason}: {'; '.join(behind)}"
        return Action(reasons.ROLLING, text, at_step(running, "CatchingUp"))
    trouble = s.member(name).entry.message or "starts"
    if is_recent(running.since, s.now, s.observed.tuning.roll_stuck_after):
        return Action(reasons.ROLLING, f"{running.reason}: {name} {trouble}", running)
    text = (
        f"{running.reason}: {name} does not become healthy ({trouble}), so no other member is "
        f"restarted; change the spec to what works, {_way_back(s)}or mend what keeps {name} down"
    )
    return Action(reasons.ROLL_STUCK, text, running, after=s.observed.tuning.look_troubled)


def _take_down(s: Assessment, operation: EtcdOperation, stale: list[EtcdMember]) -> Action:
    """Restarts the member on turn, with another leader in its place first."""
    name = str(operation.member)
    text = (
        f"{operation.reason}: {name} is restarted, {len(stale)} of {len(s.entries('Member'))} left"
    )
    if name != s.leader or len(s.voters) < 2:
        step = at_step(operation, "Restart")
        return Action(reasons.ROLLING, text, step, call=Restart(name), after=AT_ONCE)
    heir, at = _heir(s, name, stale), s.address(name)
    step = at_step(operation, "MoveLeader")
    if heir is None or heir.id is None or at is None:
        text = f"{operation.reason}: {name} leads and waits for another that can lead"
        return Action(reasons.ROLLING, text, step)
    text = f"{operation.reason}: {heir.name} is to lead in place of {name}"
    return Action(
        reasons.ROLLING, text, step, call=MoveLeader(at, heir.name, heir.id), after=AT_ONCE
    )


def _heir(s: Assessment, name: str, stale: list[EtcdMember]) -> EtcdMember | None:
    """One that need not give the lead away again, if there is one."""
    return s.successor([name, *(m.name for m in stale)]) or s.successor([name])


def _spared(s: Assessment, name: str) -> bool:
    """Whether the others are enough without a member, which remains one of those that count."""
    one = s.listing(name)
    if one is None or one.is_learner or len(s.voters) == 1:
        return True
    return len(s.healthy_voters - {one.id}) >= len(s.voters) // 2 + 1


def _changes_version(s: Assessment, member: EtcdMember) -> bool:
    return member.version is not None and member.version != s.obj.spec.version


def _purpose(s: Assessment, name: str) -> str:
    entry = next(m for m in s.obj.status.members if m.name == name)
    if not _changes_version(s, entry):
        rotation = trust.under_way(s.obj.status)
        if rotation is not None and templates.only_trusts_another(s.obj, s.observed, name):
            return f"the CA is rotated, phase {rotation.phase}"
        return "the settings of the spec have changed"
    return f"etcd goes from {entry.version} to {s.obj.spec.version}"


def _way_back(s: Assessment) -> str:
    lowest = s.obj.status.version
    if lowest is None or parse(lowest) >= parse(s.obj.spec.version):
        return ""
    return f"or back to version {lowest}, "


LAG = 500
"""Entries that a member may be behind the foremost and still counts as caught up: while clients
write, members that are asked one after the other never tell the same number."""
FRESH = timedelta(hours=24)
"""How old the newest backup may be when an upgrade begins, where a schedule makes backups."""


def unhealthy(s: Assessment, *but: str) -> list[str]:
    """Members that are not healthy, with what is wrong."""
    found = [
        f"{view.entry.name} is not healthy ({view.entry.message})"
        for view in s.members
        if view.entry.state == "Member"
        and view.condition != "healthy"
        and view.entry.name not in but
    ]
    found += [
        f"member {one.name or one.id} is in etcd's list but not known to the operator"
        for one in s.strangers
    ]
    return found


def lagging(s: Assessment, *but: str) -> list[str]:
    """Members that have yet to apply what others have."""
    said = {m.name: found for m in s.obj.status.members if (found := s.said(m.name)) is not None}
    foremost = max((found.raft_index for found in said.values()), default=0)
    revision = max((found.revision for found in said.values()), default=0)
    return [
        f"{name} has yet to catch up with the others"
        for name, found in said.items()
        if name not in but
        and (foremost - found.applied_index > LAG or revision - found.revision > LAG)
    ]


def version_problems(s: Assessment, members: Iterable[str], *on_turn: str) -> list[str]:
    """Why these members must not go to `spec.version`; empty if none of them changes version.

    Members `on_turn` were taken on before, and need not be healthy to go on, or back.
    """
    target = s.obj.spec.version
    versions = {m.name: m.version for m in s.obj.status.members if m.version is not None}
    moving = [name for name in members if versions.get(name, target) != target]
    if not moving:
        return []
    gates = sorted({p for name in moving if (p := step_problem(s, versions[name] or target))})
    found = [f"spec.version: {problem}" for problem in gates]
    found += unhealthy(s, *on_turn)
    found += [f"alarm {alarm} is raised" for alarm in s.obj.status.alarms]
    if not on_turn:
        found += storage_problems(s, target)
    if not any(version == target for version in versions.values()):
        found += backup_problems(s)
    return found


def step_problem(s: Assessment, running: str) -> str | None:
    """Why a member that runs `running` must not run `spec.version`.

    The way back is open while another member still runs what is gone back to: until all have
    arrived, etcd writes in the form of the oldest.
    """
    target, old = parse(s.obj.spec.version), parse(running)
    if target >= old:
        return check_etcd_upgrade(running, s.obj.spec.version)
    storage = s.obj.status.storage_version
    if storage is not None and _line(storage) > target.line:
        return (
            f"{running} -> {target} goes down, but the data has the form of {_line(storage)} "
            f"already, which etcd {target.line} cannot read; write {running} or a later version"
        )
    return None


def backup_problems(s: Assessment) -> list[str]:
    """Why an upgrade waits for a backup to begin: only where the user wants some to be made."""
    policy, last, target = s.obj.spec.backup, s.obj.status.last_backup, s.obj.spec.version
    if policy is None or not policy.schedule:
        return []
    if s.obj.metadata.annotations.get(naming.ANNOTATION_WITHOUT_BACKUP, "").strip() == target:
        return []
    if last is not None and is_recent(last.at, s.now, FRESH):
        return []
    return [
        f"no backup of the last {FRESH.total_seconds() // 3600:.0f} hours can be restored; make an "
        "EtcdBackup, or annotate the EtcdCluster with "
        f"{naming.ANNOTATION_WITHOUT_BACKUP}={target} to go without"
    ]


def storage_problems(s: Assessment, target: str) -> list[str]:
    """Why the form of the data does not allow the next minor yet; etcd raises it by itself."""
    lowest = s.obj.status.version
    if lowest is None or parse(target).line == parse(lowest).line:
        return []
    return [
        f"{m.name} has data in the form of {_line(said.storage_version)} and not yet of "
        f"{parse(lowest).line}; etcd changes that by itself within seconds"
        for m in s.obj.status.members
        if (said := s.said(m.name)) is not None
        and said.storage_version is not None
        and _line(said.storage_version) < parse(lowest).line
    ]


def _line(storage: str) -> Minor:
    return parse(storage).line
