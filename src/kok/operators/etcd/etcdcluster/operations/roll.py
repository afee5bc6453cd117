"""Rolling changes: settings and versions reach the members one by one, the leader last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from kok.api.etcd.etcdcluster import EtcdMember, EtcdOperation
from kok.kube import kinds
from kok.operators.etcd import naming, reasons
from kok.operators.etcd.etcdcluster.certificates import trust
from kok.operators.etcd.etcdcluster.members import templates
from kok.operators.etcd.etcdcluster.members.clock_skew import is_recent
from kok.operators.etcd.etcdcluster.operations import preflight
from kok.operators.etcd.etcdcluster.operations.action import AT_ONCE, Action, Context
from kok.operators.etcd.etcdcluster.operations.calls import MoveLeader
from kok.operators.etcd.etcdcluster.operations.common import at_step, begin
from kok.operators.etcd.etcdcluster.view import Situation
from kok.versions import UnknownVersion, etcd, parse

PATIENCE = timedelta(minutes=3)
"""After what time a member that does not come back is called stuck; it is waited for all the same,
since an image may take long to arrive."""
LOOK_BLOCKED = 5.0
"""Seconds between two looks at what keeps a roll from going on."""


@dataclass(frozen=True, slots=True)
class Restart:
    """Stops a member's pod that was not made of the StatefulSet that the member has by now."""

    member: str

    async def run(self, context: Context) -> None:
        """See `Call`."""
        obj, world, p = context.obj, context.world, context.p
        want = templates.target(obj, world, self.member)
        pod = world.get(kinds.POD, naming.pod_name(self.member))
        if pod is None or not templates.has_pod_unlike(world, self.member, want):
            return
        meta = pod["metadata"]
        await p.kube.delete(kinds.POD, meta["name"], obj.namespace, uid=meta["uid"])
        p.event(reasons.MEMBER_RESTARTED, f"{self.member} is restarted with what the spec says")


def plan(s: Situation) -> Action | None:
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


def verdict(s: Situation) -> tuple[bool, str, str]:
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


def pending(s: Situation) -> list[EtcdMember]:
    """Members that do not run with what the spec says; none if nobody can run that."""
    try:
        etcd(s.obj.spec.version)
    except UnknownVersion:
        return []
    return [m for m in s.entries("Member") if templates.outdated(s.obj, s.world, m.name)]


def obstacle(s: Situation, stale: list[EtcdMember]) -> str | None:
    """Why no further member may be taken on, with all that has to be mended."""
    first = order(s, stale)[0]
    changing = stale if _changes_version(s, first) else [first]
    problems = preflight.version_problems(s, [m.name for m in changing])
    # A setting may be just what a sick member needs; it is then the first, and the only one.
    problems = problems or preflight.unhealthy(s, first.name) or preflight.lagging(s, first.name)
    if not problems and s.is_healthy(first.name) and not _spared(s, first.name):
        problems = [f"the others would have no quorum without {first.name}"]
    return "; ".join(problems) or None


def _rescue(s: Situation, running: EtcdOperation | None, stale: list[EtcdMember]) -> Action | None:
    """Where there is no quorum to lose, what the spec says now may be what brings it back.

    A version is not raised so, unless the member is on turn already.
    """
    turn = running.member if running is not None else None
    for member in stale:
        name = member.name
        if s.is_healthy(name) or (s.formed and not _may_be_rescued(s, member, name == turn)):
            continue
        if not s.formed and not templates.has_other_pod(s.obj, s.world, name):
            continue
        why = _purpose(s, name)
        # What has never formed has its StatefulSets from the spec at once.
        begun = at_step(begin(s, "Roll", why, member=name), "Restart") if s.formed else None
        text = f"{why}: {name} is restarted, as there is no quorum to lose"
        return Action(reasons.ROLLING, text, begun, call=Restart(name))
    return None if running is None or turn is None else _wait(s, running, turn)


def _may_be_rescued(s: Situation, member: EtcdMember, on_turn: bool) -> bool:
    if not _changes_version(s, member):
        return True
    return on_turn and preflight.step_problem(s, str(member.version)) is None


def order(s: Situation, stale: list[EtcdMember]) -> list[EtcdMember]:
    """Who comes first: those that are not healthy, then the oldest versions, the leader last."""
    return sorted(
        stale,
        key=lambda m: (
            s.is_healthy(m.name),
            m.name == s.leader,
            parse(m.version) if m.version else parse(s.obj.spec.version),
            m.name,
        ),
    )


def _go_on(s: Situation, running: EtcdOperation, stale: list[EtcdMember]) -> Action | None:
    """With the member on turn; None when it is done with, or is none of ours any more."""
    name = running.member
    if name is None or name not in {m.name for m in s.entries("Member")}:
        return None
    if name not in {m.name for m in stale}:
        return _wait(s, running, name)
    problems = preflight.version_problems(s, [name], name)
    if s.is_healthy(name):
        problems += preflight.unhealthy(s, name)
    if problems:
        return Action(reasons.ROLL_BLOCKED, "; ".join(problems), running, after=LOOK_BLOCKED)
    return _take_down(s, running, stale)


def _wait(s: Situation, running: EtcdOperation, name: str) -> Action | None:
    if s.is_healthy(name):
        behind = preflight.lagging(s)
        if not behind:
            return None
        text = f"{running.reason}: {'; '.join(behind)}"
        return Action(reasons.ROLLING, text, at_step(running, "CatchingUp"))
    trouble = s.view(name).entry.message or "starts"
    if is_recent(running.since, s.now, PATIENCE):
        return Action(reasons.ROLLING, f"{running.reason}: {name} {trouble}", running)
    text = (
        f"{running.reason}: {name} does not become healthy ({trouble}), so no other member is "
        f"restarted; change the spec to what works, {_way_back(s)}or mend what keeps {name} down"
    )
    return Action(reasons.ROLL_STUCK, text, running, after=LOOK_BLOCKED)


def _take_down(s: Situation, operation: EtcdOperation, stale: list[EtcdMember]) -> Action:
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


def _heir(s: Situation, name: str, stale: list[EtcdMember]) -> EtcdMember | None:
    """One that need not give the lead away again, if there is one."""
    return s.successor([name, *(m.name for m in stale)]) or s.successor([name])


def _spared(s: Situation, name: str) -> bool:
    """Whether the others are enough without a member, which remains one of those that count."""
    one = s.listing(name)
    if one is None or one.is_learner or len(s.voters) == 1:
        return True
    return len(s.healthy_voters - {one.id}) >= len(s.voters) // 2 + 1


def _changes_version(s: Situation, member: EtcdMember) -> bool:
    return member.version is not None and member.version != s.obj.spec.version


def _purpose(s: Situation, name: str) -> str:
    entry = next(m for m in s.obj.status.members if m.name == name)
    if not _changes_version(s, entry):
        rotation = trust.under_way(s.obj.status)
        if rotation is not None and templates.only_trusts_another(s.obj, s.world, name):
            return f"the CA is rotated, phase {rotation.phase}"
        return "the settings of the spec have changed"
    return f"etcd goes from {entry.version} to {s.obj.spec.version}"


def _way_back(s: Situation) -> str:
    lowest = s.obj.status.version
    if lowest is None or parse(lowest) >= parse(s.obj.spec.version):
        return ""
    return f"or back to version {lowest}, "
