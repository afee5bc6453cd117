"""When backups are due, and which are no longer needed. Pure functions; all times are in UTC."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from cronsim import CronSim, CronSimError

from kok.api.etcdbackup import EtcdBackup
from kok.api.etcdstore import EtcdBackupRetention

FAILED_KEPT = 3
"""How many failed backups of a schedule are kept, so that people can see what was wrong."""


def problem(cron: str) -> str | None:
    """Why nobody can tell when a schedule is due, or None."""
    try:
        CronSim(cron, datetime(2026, 1, 1))
    except CronSimError as error:
        return str(error)
    return None


def last_due(cron: str, after: datetime, now: datetime) -> datetime | None:
    """The latest minute after `after` and up to `now` at which a schedule is due; None: none was,
    as with no schedule at all.

    Of several that were missed only the latest counts: one backup holds what each of them would.
    """
    if not cron:
        return None
    minute = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    try:
        found = next(CronSim(cron, minute, reverse=True), None)
    except CronSimError:
        return None
    return found if found is not None and found > after else None


def next_due(cron: str, now: datetime) -> datetime | None:
    """The next minute at which a schedule is due; None if it never is."""
    try:
        return next(CronSim(cron, now), None)
    except CronSimError:
        return None


def backup_name(etcd: str, slot: datetime) -> str:
    """The EtcdBackup of a slot: whoever makes it, also after a restart, makes the same."""
    return f"{etcd}-{slot:%Y%m%d-%H%M}"


def good(backups: Iterable[EtcdBackup]) -> list[EtcdBackup]:
    """Those that can be restored, newest first."""
    return sorted((b for b in backups if is_good(b)), key=_taken, reverse=True)


def is_good(backup: EtcdBackup) -> bool:
    """Whether it is complete, and no trial has shown that it cannot be restored."""
    status = backup.status
    refuted = status.verification is not None and status.verification.result == "Failed"
    return status.phase == "Complete" and not refuted and not backup.deleting


def expendable(
    backups: Sequence[EtcdBackup], keep: EtcdBackupRetention, now: datetime
) -> list[EtcdBackup]:
    """Backups of the schedule that may go.

    The newest `keep.last` good ones stay whatever their age, so that with nothing but failures
    the last good one is never removed; and so does the newest that was proven. Failed ones go
    once there are newer ones.
    """
    fine = good(backups)
    oldest = now - timedelta(days=keep.days)
    kept = {b.name for b in fine[: keep.last]} | {b.name for b in fine if _taken(b) > oldest}
    proven = next((b.name for b in fine if is_proven(b)), None)
    failed = [b for b in backups if _is_over(b) and not is_good(b) and not b.deleting]
    failed.sort(key=lambda b: b.name, reverse=True)
    spare = [b for b in fine if b.name not in kept and b.name != proven and not _in_use(b)]
    return [*spare, *failed[FAILED_KEPT:]]


def is_proven(backup: EtcdBackup) -> bool:
    """Whether the latest trial has shown that it can be restored."""
    proof = backup.status.verification
    return proof is not None and proof.result == "Passed"


def _in_use(backup: EtcdBackup) -> bool:
    proof = backup.status.verification
    return proof is not None and proof.result == "Running"


def _is_over(backup: EtcdBackup) -> bool:
    return backup.status.phase in {"Complete", "Failed"} and not _in_use(backup)


def _taken(backup: EtcdBackup) -> datetime:
    taken = backup.status.started_at or backup.metadata.creation_timestamp
    if taken is None:
        raise ValueError(f"{backup} was not read from an API server")
    return taken
