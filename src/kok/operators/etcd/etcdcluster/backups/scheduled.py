"""An EtcdCluster's own care for its backups: makes them when they are due, removes old ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.etcdrestore import EtcdRestore
from kok.api.etcd.status import EtcdBackupSummary, EtcdProofSummary, EtcdScheduleSeen
from kok.api.etcd.store import EtcdBackupRetention
from kok.api.meta import Manifest
from kok.api.names import LABEL_MANAGED_BY, MANAGED_BY
from kok.backup.reasons import Reason
from kok.kube.client import Kube
from kok.kube.decoding.strip import unrecorded
from kok.kube.errors import AlreadyExists, TooLarge
from kok.kube.lists.tolerant import readable
from kok.operators.etcd import clocks, naming, reasons
from kok.operators.etcd.backups import schedule, stored
from kok.runtime.conditions import Verdict
from kok.runtime.controller.reconciler import Pass
from kok.runtime.operations import crontab
from kok.runtime.process.event_loop import at_nobodys_expense

KIND, RESTORE = EtcdBackup.info.kind, EtcdRestore.info.kind
LATE = timedelta(hours=2)
"""How long after its slot a backup counts as overdue: large ones and full queues take time."""
_QUIET = {reasons.QUEUED, reasons.BACKUP_RUNNING}
REMOVED_AT_ONCE = 3
"""Backups that are being removed at the same time: one wrong judgement costs no more."""


async def read(kube: Kube, obj: EtcdCluster) -> list[EtcdBackup]:
    """The EtcdBackups of an EtcdCluster, by name."""
    listed = await kube.list(KIND, obj.namespace, keep=partial(about, obj.name))
    # One that cannot be read is neither counted nor deleted.
    found = readable(EtcdBackup, (m for m in listed if m))
    return sorted(found, key=lambda b: b.name)


def about(etcd: str, work: Manifest) -> Manifest:
    """For `keep` of a list: an EtcdBackup or EtcdRestore, if it is that EtcdCluster's, without the
    record of who wrote what; each pass reads all of the namespace.
    """
    if (work.get("spec") or {}).get("etcdCluster") != etcd:
        return {}
    return unrecorded(work)


def note(obj: EtcdCluster, backups: Sequence[EtcdBackup], now: datetime) -> None:
    """Records which backup is the last good one, which trial was, and since when the schedule is so."""
    status = obj.status
    newest = next(iter(stored.good(backups, now)), None)
    status.last_verified = _last_verified(backups, now)
    status.last_backup = None
    if newest is not None and newest.status.completed_at is not None:
        end = newest.status.completed_at
        status.last_backup = EtcdBackupSummary(
            name=newest.name,
            at=stored.taken(newest) if clocks.is_ahead(end, now) else end,
            size=newest.status.size or 0,
        )
    _note_schedule(obj, now)


def _note_schedule(obj: EtcdCluster, now: datetime) -> None:
    """Records since when the schedule has been what it is: nothing was due by it before."""
    status, seen = obj.status, obj.status.backup_schedule
    cron = obj.spec.backup.schedule if obj.spec.backup is not None else ""
    if not cron:
        status.backup_schedule = None
    elif seen is None or seen.schedule != cron or clocks.is_ahead(seen.since, now):
        since = now.replace(microsecond=0)
        if seen is None and status.condition(reasons.BACKUPS_HEALTHY) is not None:
            # It was judged by an earlier release, which did not record that.
            since = _begun(obj, now)
        status.backup_schedule = EtcdScheduleSeen(schedule=cron, since=since)


def judge(obj: EtcdCluster, backups: Sequence[EtcdBackup], now: datetime) -> Verdict | None:
    """Are backups made and proven as the schedules say? None without a schedule."""
    policy = obj.spec.backup
    if policy is None or not (policy.schedule or policy.verify):
        return None
    for field, cron in (("schedule", policy.schedule), ("verify", policy.verify)):
        wrong = crontab.problem(cron) if cron else None
        if wrong is not None:
            text = f"spec.backup.{field}: {cron!r} is no schedule ({wrong})"
            return Verdict(
                False, reasons.SCHEDULE_INVALID, f"{text}; write one such as 0 */6 * * *"
            )
    trouble = _trouble(scheduled(backups), now) or _refuted(backups, now) or _early(obj, now)
    if trouble is not None:
        return trouble
    fine = stored.good(backups, now)
    seen, begun = obj.status.backup_schedule, _begun(obj, now)
    begun = max(begun, seen.since) if seen is not None else begun
    due = crontab.last_due(policy.schedule, begun, now - LATE)
    if due is not None and not any(_covers(b, due, now) for b in fine):
        last = f"the last one is {fine[0].name}" if fine else "there is none"
        text = f"no backup was stored since {due:%Y-%m-%d %H:%M} UTC, when one was due; {last}"
        return Verdict(False, reasons.BACKUP_OVERDUE, text)
    if not fine:
        return Verdict(None, reasons.NO_BACKUP_YET, "no backup has been due so far")
    return Verdict(True, reasons.BACKED_UP, f"the last backup is EtcdBackup {fine[0].name}")


def _early(obj: EtcdCluster, now: datetime) -> Verdict | None:
    """That by what is recorded nothing is due for long, since a clock was ahead."""
    slot = obj.status.last_backup_slot
    if slot is None or not clocks.is_ahead(slot, now):
        return None
    text = (
        f"status.lastBackupSlot is {slot:%Y-%m-%d %H:%M} UTC, which is yet to come: the clock of the "
        "operator's node was ahead, or is behind; it counts as none"
    )
    return Verdict(False, reasons.BACKUP_OVERDUE, text)


def _covers(backup: EtcdBackup, due: datetime, now: datetime) -> bool:
    """Whether a backup is one that was due then, or a later one; not if nobody knows its time."""
    end = backup.status.completed_at or due
    return end >= due and not clocks.is_ahead(stored.taken(backup), now)


def _trouble(mine: Sequence[EtcdBackup], now: datetime) -> Verdict | None:
    """What keeps the latest backup of the schedule from being made."""
    known = [b for b in mine if not clocks.is_ahead(schedule.slot(b) or now, now)]
    if not known or known[-1].status.phase == "Complete":
        return None
    latest = known[-1]
    ready = latest.status.condition(reasons.READY)
    if ready is None or (ready.reason in _QUIET and latest.status.attempts <= 1):
        return None
    return Verdict(False, ready.reason, f"EtcdBackup {latest.name}: {ready.message}")


def _refuted(backups: Sequence[EtcdBackup], now: datetime) -> Verdict | None:
    """The latest proof, if it showed that a backup cannot be restored, or not with the keys there."""
    tried = [
        (proof.at, b)
        for b in backups
        if (proof := b.status.verification) is not None
        and not clocks.is_ahead(proof.at, now)
        and (proof.result in {"Passed", "Failed"} or stored.is_refuted(b) or _is_locked(b))
    ]
    if not tried:
        return None
    _, backup = max(tried, key=lambda found: found[0])
    proof, ready = backup.status.verification, backup.status.condition(reasons.READY)
    why = proof.message if proof is not None else None
    if _is_locked(backup):
        return Verdict(False, Reason.KEY_MISSING.value, f"EtcdBackup {backup.name}: {why}")
    if not stored.is_refuted(backup):
        return None
    why = why or (ready.message if ready is not None else "")
    return Verdict(False, reasons.VERIFICATION_FAILED, f"EtcdBackup {backup.name}: {why}")


def _is_locked(backup: EtcdBackup) -> bool:
    """Whether the latest trial found no key for it; the backup itself may be good."""
    said = backup.status.condition(reasons.VERIFIED_CONDITION)
    return said is not None and said.reason == Reason.KEY_MISSING


def _last_verified(backups: Sequence[EtcdBackup], now: datetime) -> EtcdProofSummary | None:
    passed = [(stored.proven_at(b), b.name) for b in backups]
    known = [(at, name) for at, name in passed if at is not None and not clocks.is_ahead(at, now)]
    found = max(known, default=None)
    return EtcdProofSummary(name=found[1], at=found[0]) if found is not None else None


def scheduled(backups: Sequence[EtcdBackup]) -> list[EtcdBackup]:
    """Those that were made because they were due, in the order of names, which carry the time."""
    return [b for b in backups if naming.ANNOTATION_SLOT in b.metadata.annotations]


async def keep(p: Pass[EtcdCluster], obj: EtcdCluster, backups: Sequence[EtcdBackup]) -> None:
    """Makes what is due and removes what may go."""
    policy = obj.spec.backup
    if policy is None or obj.status.cluster_id is None:
        return
    due = crontab.last_due(policy.schedule, _begun(obj, p.now), p.now)
    if due is not None:
        try:
            await p.kube.create(_backup(obj, due))
        except AlreadyExists:
            p.log.info("the backup is there already", slot=due.isoformat())
        # Recorded after it was made: cut off in between, the next pass finds the name taken.
        obj.status.last_backup_slot = due
    await _ask_for_proof(p, obj, backups)
    await _remove(p, scheduled(backups), policy.keep)


async def _remove(
    p: Pass[EtcdCluster], mine: Sequence[EtcdBackup], wanted: EtcdBackupRetention
) -> None:
    """A few at a time, the oldest first, and none that an EtcdRestore is about to use."""
    old = schedule.expendable(mine, wanted, p.now)
    room = REMOVED_AT_ONCE - schedule.going(mine)
    if not old or room <= 0:
        return
    restores = await _restores(p)
    free = [b for b in old if not is_pinned(b, restores)]
    for backup in free[:room]:
        await p.kube.delete(KIND, backup.name, backup.namespace, uid=backup.metadata.uid)


async def _restores(p: Pass[EtcdCluster]) -> list[Manifest]:
    """The EtcdRestores that may be about to use a backup of this EtcdCluster.

    Also those of other EtcdClusters, of which some begin with a backup of this one, and those of all
    namespaces that are looked after: there a Cluster is restored elsewhere.
    """
    namespace, watched = p.obj.namespace, p.settings.namespaces
    found = await p.kube.list(RESTORE, namespace, keep=summary)
    of_others = partial(summary_elsewhere, namespace)
    for where in watched or (None,):
        if where == namespace:
            continue
        try:
            # Of no tenant who may have any number of them.
            found += await at_nobodys_expense(p.kube.list(RESTORE, where, keep=of_others))
        except TooLarge as error:
            # Who makes that many must not fill the stores of others.
            p.log.warning("EtcdRestores of others are not looked at", why=error.message)
    return found


async def _ask_for_proof(
    p: Pass[EtcdCluster], obj: EtcdCluster, backups: Sequence[EtcdBackup]
) -> None:
    """Of the newest backup, once for each time at which one is due.

    Also if it was refuted: what made the trial fail would refute those before it as well. It is
    asked for again until it passes, or there is a newer one.
    """
    policy, newest = obj.spec.backup, next(iter(stored.complete(backups, p.now)), None)
    if policy is None or newest is None:
        return
    begun = obj.status.last_verify_slot
    if begun is None or clocks.is_ahead(begun, p.now):
        begun = obj.metadata.creation_timestamp or p.now
    due = crontab.last_due(policy.verify, begun, p.now)
    if due is not None:
        wanted = {"metadata": {"annotations": {naming.ANNOTATION_VERIFY: due.isoformat()}}}
        await p.kube.patch(KIND, newest.name, newest.namespace, wanted)
        obj.status.last_verify_slot = due


def until_next(obj: EtcdCluster, now: datetime) -> float | None:
    """Seconds until something is due, or None if nothing ever is."""
    policy = obj.spec.backup
    crons = [cron for cron in (policy.schedule, policy.verify) if cron] if policy else []
    coming = [when for cron in crons if (when := crontab.next_due(cron, now)) is not None]
    return (min(coming) - now).total_seconds() if coming else None


def _backup(obj: EtcdCluster, slot: datetime) -> Manifest:
    return {
        "apiVersion": KIND.api_version,
        "kind": KIND.kind,
        "metadata": {
            "name": schedule.backup_name(obj.name, slot),
            "namespace": obj.namespace,
            "labels": {LABEL_MANAGED_BY: MANAGED_BY},
            "annotations": {naming.ANNOTATION_SLOT: slot.isoformat()},
        },
        "spec": {"etcdCluster": obj.name},
    }


def _begun(obj: EtcdCluster, now: datetime) -> datetime:
    """From when on backups are due: the last one, or the EtcdCluster's beginning.

    A last one that is yet to come was recorded by a clock that was wrong: it counts as none, or
    nothing would be due until then.
    """
    begun = obj.status.last_backup_slot
    if begun is None or clocks.is_ahead(begun, now):
        begun = obj.metadata.creation_timestamp
    if begun is None:
        raise ValueError(f"{obj} was not read from an API server")
    return begun


_OVER = {"Complete", "Failed"}


def summary(restore: Manifest) -> Manifest:
    """For `keep` of a list: what `is_pinned` reads."""
    spec, status = _map(restore, "spec"), _map(restore, "status")
    return {
        "spec": {"backup": spec.get("backup"), "key": spec.get("key")},
        "status": {
            "phase": status.get("phase"),
            "source": {"key": _map(status, "source").get("key")},
        },
    }


def summary_elsewhere(namespace: str, restore: Manifest) -> Manifest | None:
    """For `keep` of a list: the same of one in another namespace, if it means a backup of this one.

    It can mean it only by its key. Which store it names is not compared: one bucket has many
    addresses, and a part of the EtcdBackup's UID stands in the key, so that nobody names it by chance.
    """
    if restore["metadata"].get("namespace") == namespace:
        return None
    found = summary(restore)
    found["spec"]["backup"] = None
    keys = found["spec"]["key"], found["status"]["source"]["key"]
    return found if any(str(key).startswith(f"{namespace}/") for key in keys) else None


def is_pinned(backup: EtcdBackup, restores: Iterable[Manifest]) -> bool:
    """Whether a restore that has not come to its end names a backup, or has found it in a store."""
    key = backup.status.key
    for restore in restores:
        spec, status = restore["spec"], restore["status"]
        if status["phase"] in _OVER:
            continue
        keys = {spec["key"], status["source"]["key"]}
        if spec["backup"] == backup.name or (key is not None and key in keys):
            return True
    return False


def _map(of: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = of.get(key)
    return found if isinstance(found, Mapping) else {}
