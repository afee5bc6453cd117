"""An EtcdCluster sleeps: its members are stopped, their volumes stay, and nothing else is done.

    BackingUp   where backups are made on a schedule, a fresh one is asked for and waited for
    Stopping    StatefulSets and pods of all members go
    Asleep      nobody runs; certificates are still renewed
    Waking      members start again with what they have; operations wait until all are there

Each step is recorded before anything is done for it, and all is looked at anew then. An operation
about members that was under way stays where it is, and goes on after that.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.status import EtcdHibernation, HibernationStep
from kok.api.etcd.store import NAME_MAX
from kok.api.meta import Manifest
from kok.api.names import LABEL_MANAGED_BY, MANAGED_BY
from kok.kube import kinds
from kok.kube.errors import AlreadyExists
from kok.kube.events import Event
from kok.operators.etcd import clocks, naming, reasons
from kok.operators.etcd.backups import stored
from kok.operators.etcd.clocks import is_recent
from kok.operators.etcd.etcdcluster.members import roles
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.operators.etcd.etcdcluster.restores import seeding
from kok.runtime.conditions import Verdict
from kok.runtime.controller.reconciler import Pass

KIND = EtcdBackup.info.kind


# --- what is to be done


def following(
    obj: EtcdCluster, observed: Observed, backups: Sequence[EtcdBackup], now: datetime
) -> HibernationStep | None:
    """The step that comes next, be it the present one; None if there is, or is to be, none."""
    sleep, wanted = obj.status.hibernation, obj.spec.hibernate
    if sleep is None or sleep.step == "BackingUp":
        if not wanted or (sleep is None and keeps_awake(obj) is not None):
            return None
        stored = sleep is not None and is_backed_up(obj, backups, sleep, now)
        ready = keeps_awake(obj) is None and (stored or not needs_backup(obj))
        return "Stopping" if ready else "BackingUp"
    if wanted:
        return "Stopping" if _running(obj, observed) else "Asleep"
    starts = is_recent(sleep.since, now, observed.tuning.waking_for)
    over = sleep.step == "Waking" and (_is_awake(obj) or not starts)
    return None if over else "Waking"


def keeps_awake(obj: EtcdCluster) -> str | None:
    """What has to come to its end first, because it must not be left half done."""
    status = obj.status
    if status.restore is not None:
        return f"EtcdRestore {status.restore.name} is under way"
    if status.operation is not None and status.operation.type == "Recover":
        return "a majority of members is being recovered"
    return None


def needs_backup(obj: EtcdCluster) -> bool:
    """Whether a fresh backup comes first: there is data, backups are made, and nobody waived it."""
    policy = obj.spec.backup
    waived = obj.metadata.annotations.get(naming.ANNOTATION_SLEEP_WITHOUT_BACKUP, "").strip()
    return (
        policy is not None
        and bool(policy.schedule)
        and obj.status.cluster_id is not None
        and waived != "true"
    )


def is_backed_up(
    obj: EtcdCluster, backups: Sequence[EtcdBackup], sleep: EtcdHibernation, now: datetime
) -> bool:
    """Whether the backup that was asked for is stored, or any other that was begun later."""
    # The time of the request is recorded without its fraction of a second.
    mine, asked = backup_name(obj, sleep), sleep.since + timedelta(seconds=1)
    fine = stored.good(backups)
    later = [b for b in fine if not clocks.is_ahead(stored.taken(b), now)]
    return any(b.name == mine for b in fine) or any(stored.taken(b) >= asked for b in later)


def _is_awake(obj: EtcdCluster) -> bool:
    members = [m for m in obj.status.members if m.state == "Member"]
    return bool(members) and all(m.ready for m in members)


def _running(obj: EtcdCluster, observed: Observed) -> list[Manifest]:
    """StatefulSets and pods of members that are still there."""
    sets = [m for m in observed.all(kinds.STATEFULSET) if roles.is_ours(m, obj)]
    pods = [
        m
        for m in observed.all(kinds.POD)
        if naming.LABEL_MEMBER in (m["metadata"].get("labels") or {})
    ]
    return [*sets, *pods]


def turn(
    obj: EtcdCluster, observed: Observed, backups: Sequence[EtcdBackup], now: datetime
) -> Event | None:
    """Puts the step that comes next into the status of `obj`, and tells of it; None if it is the
    present one.
    """
    status, before = obj.status, obj.status.hibernation
    step = following(obj, observed, backups, now)
    if step == (before.step if before is not None else None):
        return None
    now = now.replace(microsecond=0)
    status.hibernation = EtcdHibernation(step=step, since=now) if step is not None else None
    if step in {"Waking", None} and before is not None and before.step != "BackingUp":
        for member in status.members:
            # It was not ill while it slept.
            member.unhealthy_since = None
        if obj.spec.backup is not None:
            # What was due in the meantime is not made up for.
            status.last_backup_slot = now
    return Event(reasons.HIBERNATION, _SAID.get(step or "", "all members are back"))


# --- doing it


async def act(p: Pass[EtcdCluster], obj: EtcdCluster, observed: Observed) -> float | None:
    """Stops members that are to be stopped; seconds until the next look, or None at rest."""
    if roles.is_down(obj.status):
        sets = [m for m in _running(obj, observed) if m["kind"] == kinds.STATEFULSET.kind]
        await seeding.delete(p, sets)
    sleep = obj.status.hibernation
    at_rest = sleep is None or sleep.step == "Asleep"
    return None if at_rest else observed.tuning.look_stopping


def backup_name(obj: EtcdCluster, sleep: EtcdHibernation) -> str:
    """The EtcdBackup that is asked for: whoever asks, also after a restart, asks for the same.

    It is one of the schedule, out of turn: it is tried again, and kept, like the others.
    """
    stamp = f"-{sleep.since:%Y%m%d-%H%M%S}"
    return obj.name[: NAME_MAX - len(stamp)] + stamp


async def ask_for_backup(
    p: Pass[EtcdCluster], obj: EtcdCluster, backups: Sequence[EtcdBackup]
) -> None:
    """Asks once for the backup that is made before members are stopped."""
    sleep = obj.status.hibernation
    if sleep is None or any(b.name == backup_name(obj, sleep) for b in backups):
        return
    name = backup_name(obj, sleep)
    manifest = {
        "apiVersion": KIND.api_version,
        "kind": KIND.kind,
        "metadata": {
            "name": name,
            "namespace": obj.namespace,
            "labels": {LABEL_MANAGED_BY: MANAGED_BY},
            "annotations": {naming.ANNOTATION_SLOT: sleep.since.isoformat()},
        },
        "spec": {"etcdCluster": obj.name},
    }
    try:
        await p.kube.create(manifest)
    except AlreadyExists:
        p.log.info("the EtcdBackup is there already", name=name)


# --- what is said of it

_SAID = {
    "BackingUp": "a backup is made first",
    "Stopping": "the members are stopped; their volumes are kept",
    "Asleep": "no member runs any more; their volumes are kept",
    "Waking": "the members start again",
}


def told(obj: EtcdCluster, observed: Observed) -> dict[str, Verdict]:
    """What conditions say in place of what would be said of an EtcdCluster that is awake."""
    sleep = obj.status.hibernation
    if sleep is None:
        if not obj.spec.hibernate or (why := keeps_awake(obj)) is None:
            return {}
        text = f"spec.hibernate is true, but {why}; the members are stopped after that"
        return {reasons.READY: Verdict(False, reasons.HIBERNATING, text)}
    if sleep.step == "BackingUp":
        return {reasons.READY: Verdict(False, reasons.HIBERNATING, _backing_up(obj, sleep))}
    asleep = sleep.step == "Asleep"
    reason = {
        "Stopping": reasons.HIBERNATING,
        "Asleep": reasons.HIBERNATED,
        "Waking": reasons.WAKING,
    }[sleep.step]
    text = _SAID[sleep.step]
    if asleep:
        text = f"spec.hibernate is true: {text}. Set it to false to have them back"
    elif sleep.step == "Stopping" and (left := _running(obj, observed)):
        names = ", ".join(f"{m['kind']} {m['metadata']['name']}" for m in left)
        text = f"{text}; waits for {names} to go"
    elif sleep.step == "Waking":
        late = "; ".join(f"{m.name}: {m.message}" for m in obj.status.members if m.message)
        text = f"{text}; {late}" if late else text
    no, unknown = Verdict(False, reason, text), Verdict(None, reason, text)
    found = {reasons.AVAILABLE: no, reasons.MEMBERS_HEALTHY: no, reasons.READY: no}
    # Those that start are asked, and tell whether clients can read and write already.
    if sleep.step == "Waking" and roles.has_quorum(obj, observed):
        del found[reasons.AVAILABLE]
    return {**found, reasons.UP_TO_DATE: unknown, reasons.SPACE_LEFT: unknown}


def _backing_up(obj: EtcdCluster, sleep: EtcdHibernation) -> str:
    return (
        f"before the members are stopped, EtcdBackup {backup_name(obj, sleep)} is waited for; to go "
        f"without a fresh backup, annotate the EtcdCluster with "
        f"{naming.ANNOTATION_SLEEP_WITHOUT_BACKUP}=true"
    )
