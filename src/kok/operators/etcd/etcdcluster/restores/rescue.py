"""A quorum is lost for long, and `spec.recovery.policy` is FromBackup: a backup is to be restored.

Nobody is asked then, so it is done only by what cannot be misread: the quorum was seen to be lost for
all of `restoreAfter`, without a gap (see `observed.watches`), and the newest backup of this
very etcd cluster that was proven is taken. All that is done is to make an EtcdRestore, whose name is
the time of the loss: however often the operator is started anew, there is one for each loss. It goes
the way of any other, and is deleted again if a quorum returns before its turn came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.etcdrestore import EtcdRestore
from kok.api.fields import span
from kok.backup import newest_backup as choice
from kok.backup.newest_backup import Candidate
from kok.kube.errors import AlreadyExists
from kok.kube.objects.ownership import owned
from kok.operators.etcd import naming, reasons
from kok.operators.etcd.backups.stored import good, is_proven, taken
from kok.operators.etcd.clocks import past
from kok.operators.etcd.clusterstatus import ENDED, STOPPED, is_void
from kok.operators.etcd.etcdcluster.members import templates
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.observed.watches import counted
from kok.operators.etcd.etcdcluster.restores.takeover import BUMP, NO_ETCD
from kok.runtime.conditions import Verdict
from kok.runtime.controller.reconciler import Pass

KIND = EtcdRestore.info.kind


@dataclass(frozen=True, slots=True)
class Rescue:
    """What is to be said, and done, about a quorum that is lost."""

    message: str
    is_blocked: bool = False
    """Whether nothing comes of it unless somebody looks."""
    backup: str | None = None
    """The EtcdBackup of which an EtcdRestore is to be made now."""


def note(obj: EtcdCluster, available: Verdict, now: datetime) -> None:
    """Records since when the quorum has been lost, by what this pass says of `Available`."""
    status = obj.status
    if available.reason != reasons.QUORUM_LOST:
        status.quorum_lost_at = None
    elif past(status.quorum_lost_at, now) is None:
        status.quorum_lost_at = now.replace(microsecond=0)


def due_at(s: Assessment) -> datetime | None:
    """When the quorum will have been seen to be lost for long enough; None if it is not lost."""
    lost = s.obj.status.quorum_lost_at
    if lost is None:
        return None
    return counted(lost, s.observed, s.now) + span(s.obj.spec.recovery.restore_after)


def judge(
    s: Assessment, backups: Sequence[EtcdBackup], restores: Sequence[EtcdRestore]
) -> Rescue | None:
    """What the policy means for a quorum that is lost; None if it does not, or is being restored."""
    obj, status, due = s.obj, s.obj.status, due_at(s)
    if obj.spec.recovery.policy != "FromBackup" or due is None:
        return None
    restore = status.restore
    if (restore is not None and restore.step in STOPPED) or status.cluster_id is None:
        return None
    mine = next((r for r in restores if r.name == name_of(obj)), None)
    if mine is not None:
        return _made(mine, due, s)
    if (waits := _waits(obj, restores)) is not None:
        return Rescue(waits)
    if (changed := being_changed(s)) is not None:
        return Rescue(changed, is_blocked=s.now >= due)
    return _to_be_made(obj, backups, due, s.now)


def _waits(obj: EtcdCluster, restores: Sequence[EtcdRestore]) -> str | None:
    """What goes before a restore that nobody asked for."""
    # One whose data is in place already, and was lost again before all members had it, is over.
    in_place = obj.status.restore.uid if obj.status.restore is not None else None
    other = next(
        (
            r
            for r in restores
            if r.status.phase not in ENDED and r.metadata.uid != in_place and not is_void(obj, r)
        ),
        None,
    )
    if other is not None:
        return f"EtcdRestore {other.name} was asked for and is waited for"
    return None


def being_changed(s: Assessment) -> str | None:
    """What does not run with a new version, new settings or another CA has all its data: why nothing
    is restored in its place, or None.

    In a roll whoever has anything new counts, otherwise those without whom there is no quorum.
    """
    voters = [v for v in s.members if v.is_voter and v.condition not in {"lost", "removed"}]
    new = [v.entry.name for v in voters if templates.is_unproven(s.observed, v.entry)]
    answering = {v.entry.name for v in voters if s.said(v.entry.name) is not None}
    need = len(s.entries("Member", "Leaving")) // 2 + 1
    rolls = s.doing("Roll") is not None
    unknown = rolls and any(v.entry.steady_with is None for v in voters)
    silent = set(new) - answering
    if not unknown and not (new and rolls) and not (silent and len(silent | answering) >= need):
        return None
    who = (
        f"{', '.join(new)} did not run for long with what"
        if new
        else "members are restarted with what"
    )
    return (
        f"no backup is restored by spec.recovery.policy, since {who} they have been given; set back "
        "what was changed in spec, or create an EtcdRestore"
    )


def _to_be_made(
    obj: EtcdCluster, backups: Sequence[EtcdBackup], when: datetime, now: datetime
) -> Rescue:
    backup, doubt = newest(obj, backups, now)
    if doubt is not None:
        text = f"nothing is restored by spec.recovery.policy FromBackup: {doubt}"
        return Rescue(f"{text}; create an EtcdRestore of the one that you want", is_blocked=True)
    if backup is None:
        text = (
            "spec.recovery.policy is FromBackup, but no EtcdBackup of etcd cluster "
            f"{obj.status.cluster_id} was proven; have one proven by the annotation "
            f"{naming.ANNOTATION_VERIFY}, or create an EtcdRestore"
        )
        return Rescue(text, is_blocked=True)
    if now < when:
        return Rescue(
            f"EtcdBackup {backup.name} is restored at {_time(when)}, by spec.recovery.policy "
            "FromBackup, unless a quorum returns"
        )
    return Rescue(f"EtcdBackup {backup.name} is restored", backup=backup.name)


def _time(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"


def _made(mine: EtcdRestore, due: datetime, s: Assessment) -> Rescue:
    ready = mine.status.condition(reasons.READY)
    said = ready.message if ready is not None else "is begun"
    text = f"EtcdRestore {mine.name}, made by spec.recovery.policy FromBackup: {said}"
    if mine.status.phase not in ENDED and s.now < due:
        # The operator was away since it was made: members get their time once more.
        text = f"{text}; it does not begin before {_time(due)}"
    elif mine.status.phase not in ENDED and (changed := being_changed(s)) is not None:
        return Rescue(f"{text}; {changed}", is_blocked=True)
    if mine.status.phase != "Failed":
        return Rescue(text)
    return Rescue(f"{text}; delete it to have it tried again, or restore another", is_blocked=True)


def newest(
    obj: EtcdCluster, backups: Sequence[EtcdBackup], now: datetime
) -> tuple[EtcdBackup | None, str | None]:
    """The newest proven backup of this etcd cluster, and not of an earlier one of the same name; or
    why nobody can tell which that is: what loses data is not guessed.
    """
    id_ = obj.status.cluster_id
    mine = [b for b in good(backups) if is_proven(b) and b.status.cluster_id == id_]
    told = [Candidate(f"EtcdBackup {b.name}", taken(b), b.status.revision, id_) for b in mine]
    found = choice.newest(told, now)
    if found is None:
        return None, None
    if found.against is not None:
        return None, choice.doubt(told[found.index], told[found.against])
    return mine[found.index], None


def name_of(obj: EtcdCluster) -> str:
    """The EtcdRestore of the loss that is recorded."""
    lost = obj.status.quorum_lost_at
    return f"{obj.name}-recovery-{lost:%Y%m%d-%H%M%S}" if lost is not None else ""


def is_rescue(restore: EtcdRestore) -> bool:
    """Whether the policy had it made, and no person."""
    return naming.ANNOTATION_RESCUE in restore.metadata.annotations


def eligible(s: Assessment, restores: Sequence[EtcdRestore]) -> list[EtcdRestore]:
    """The restores that may have their turn: those of the policy only while the quorum is lost, and
    was seen to be for long enough.

    Not while enough members answer to agree on a leader, or have yet to run with what they were given
    since. One that was begun stays among them, or it
    would be taken for deleted.
    """
    obj, due = s.obj, due_at(s)
    under_way = obj.status.restore.uid if obj.status.restore is not None else None
    voters = s.entries("Member", "Leaving")
    returns = sum(s.said(m.name) is not None for m in voters) > len(voters) // 2
    late = due is not None and s.now >= due and not returns
    wanted = name_of(obj) if late and being_changed(s) is None else ""
    return [
        r for r in restores if not is_rescue(r) or r.metadata.uid == under_way or r.name == wanted
    ]


def to_be_called_off(
    obj: EtcdCluster, available: Verdict, restores: Sequence[EtcdRestore]
) -> list[EtcdRestore]:
    """Restores of the policy that are not wanted any more, and for which all members have not
    stopped yet: one that hung with its node may come back until then.
    """
    status, under_way = obj.status, obj.status.restore
    if under_way is not None and under_way.step == "Stopping":
        under_way = None
    begun = {one.uid for one in (under_way, status.restored) if one is not None}
    wanted = obj.spec.recovery.policy == "FromBackup" and not available.holds
    # Of a loss that is over, although another has come since.
    names = {r.name for r in restores} if status.quorum_lost_at is None else {name_of(obj)}
    return [
        r
        for r in restores
        if is_rescue(r)
        and r.status.phase not in ENDED
        and r.metadata.uid not in begun
        and not (wanted and r.name in names)
    ]


def said(rescue: Rescue | None, verdicts: Mapping[str, Verdict]) -> dict[str, Verdict]:
    """What the conditions say of the loss, and with it what is done about it."""
    if rescue is None:
        return dict(verdicts)
    found = dict(verdicts)
    for type_ in (reasons.AVAILABLE, reasons.READY):
        before = verdicts[type_]
        blocked = rescue.is_blocked and type_ == reasons.READY
        reason = reasons.RECOVERY_BLOCKED if blocked else before.reason
        found[type_] = Verdict(False, reason, f"{rescue.message}; {before.message}")
    return found


async def act(
    p: Pass[EtcdCluster],
    obj: EtcdCluster,
    rescue: Rescue | None,
    called_off: Sequence[EtcdRestore],
    *,
    returned: bool,
) -> None:
    """Makes the EtcdRestore that is due, and deletes what is not wanted any more.

    `returned`: there is a quorum again.
    """
    for restore in called_off:
        await p.kube.delete(KIND, restore.name, restore.namespace, uid=restore.metadata.uid)
        why = "a quorum has returned by itself" if returned else "it is not wanted any more"
        text = f"EtcdRestore {restore.name} is called off: {why}"
        p.event(reasons.RECOVERY_CALLED_OFF, text)
    lost = obj.status.quorum_lost_at
    if rescue is None or rescue.backup is None or lost is None:
        return
    manifest = {
        "apiVersion": KIND.api_version,
        "kind": KIND.kind,
        "metadata": {
            "name": name_of(obj),
            "annotations": {naming.ANNOTATION_RESCUE: lost.isoformat()},
        },
        "spec": {"etcdCluster": obj.name, "backup": rescue.backup},
    }
    if p.obj.status.quorum_lost_at != lost:
        # Its name must be the same after whatever happens to us.
        await p.latch()
    try:
        await p.kube.create(owned(manifest, obj))
    except AlreadyExists:
        p.log.info("the EtcdRestore is there already", name=name_of(obj))
        return
    text = f"no quorum since {_time(lost)}: EtcdBackup {rescue.backup} is restored"
    p.event(reasons.RECOVERING, text, warning=True)


STEP = BUMP // 10
"""What is recorded lags by so many at most: a restore raises revisions by more than that anyway."""


def note_revision(s: Assessment) -> None:
    """Records the highest revision that a majority of members has reached, now and then."""
    status, voters = s.obj.status, s.entries("Member", "Leaving")
    said = [found.revision for m in voters if (found := s.said(m.name)) is not None]
    told = sorted((revision for revision in said if revision < NO_ETCD), reverse=True)
    need = len(voters) // 2 + 1
    # What a client has seen a majority has; what one member alone says may be a lie, and stays.
    if len(told) >= need and told[need - 1] > (status.highest_revision or 0) + STEP:
        status.highest_revision = told[need - 1]
