"""What the backup of a schedule is called, and which are no longer needed. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.store import EtcdBackupRetention
from kok.operators.etcd import naming
from kok.operators.etcd.backups.stored import complete, is_proven, is_refuted, taken
from kok.operators.etcd.clocks import is_ahead

FAILED_KEPT = 3
"""How many failed backups of a schedule are kept, so that people can see what was wrong."""


def backup_name(etcd: str, slot: datetime) -> str:
    """The EtcdBackup of a slot: whoever makes it, also after a restart, makes the same."""
    return f"{etcd}-{slot:%Y%m%d-%H%M}"


# --- which may go


def expendable(
    backups: Sequence[EtcdBackup], keep: EtcdBackupRetention, now: datetime
) -> list[EtcdBackup]:
    """Backups of the schedule that may go, oldest first.

    The newest `keep.last` good ones stay whatever their age, so that with nothing but failures
    the last good one is never removed; and so does the newest that was proven. Those that a trial
    has refuted stay by the same rules, counted for themselves: what made the trial fail may be
    mended, and they push out no good one. Failed ones, of which nothing is stored, go once there
    are newer ones.

    Those whose time is yet to come stay, too: a clock that jumps back takes none away. And those that
    were made while all clocks were behind are no older than what they hold more than: see `_settled`.
    """
    known = [b for b in complete(backups) if not is_ahead(taken(b), now)]
    when = _settled(known)
    known.sort(key=lambda b: (when[b.name], b.status.revision or 0, taken(b)), reverse=True)
    fine = [b for b in known if not is_refuted(b)]
    refuted = [b for b in known if is_refuted(b)]
    proven = next((b.name for b in fine if is_proven(b)), None)
    old = [*_old(fine, when, keep, now), *_old(refuted, when, keep, now)]
    spare = [b for b in old if b.name != proven and not _in_use(b)]
    failed = [b for b in backups if b.status.phase == "Failed" and not b.deleting]
    failed.sort(key=_age, reverse=True)
    gone = [*spare, *failed[FAILED_KEPT:]]
    return sorted(gone, key=lambda b: (when.get(b.name, taken(b)), b.name))


def _settled(known: Sequence[EtcdBackup]) -> dict[str, datetime]:
    """When each was taken, by name: by the clocks, but not before any of the same etcd cluster that
    has a lower revision. So what was made while all clocks were behind keeps its place.
    """
    settled = {b.name: taken(b) for b in known}
    lines: dict[str, list[tuple[int, str]]] = {}
    for b in known:
        if b.status.revision is not None and b.status.cluster_id is not None:
            lines.setdefault(b.status.cluster_id, []).append((b.status.revision, b.name))
    for line in lines.values():
        since = latest = datetime.min.replace(tzinfo=UTC)
        for _, same in groupby(sorted(line), key=lambda one: one[0]):
            for _, name in same:
                settled[name] = max(settled[name], since)
                latest = max(latest, settled[name])
            since = latest
    return settled


def _old(
    newest_first: Sequence[EtcdBackup],
    when: Mapping[str, datetime],
    keep: EtcdBackupRetention,
    now: datetime,
) -> list[EtcdBackup]:
    """Those beyond the newest `keep.last` that are too old.

    Days count from the newest one unless that is later than `now`: a clock that jumps ahead makes
    none of them old, and where no more are made none goes.
    """
    if not newest_first:
        return []
    oldest = min(now, when[newest_first[0].name]) - timedelta(days=keep.days)
    return [b for b in newest_first[keep.last :] if when[b.name] <= oldest]


def going(backups: Iterable[EtcdBackup]) -> int:
    """How many are being removed."""
    return sum(b.deleting for b in backups)


def _in_use(backup: EtcdBackup) -> bool:
    proof = backup.status.verification
    return proof is not None and proof.result == "Running"


def _age(backup: EtcdBackup) -> tuple[datetime, str]:
    return taken(backup), backup.name


def slot(obj: EtcdBackup) -> datetime | None:
    """When the schedule was due that had it made; None for one that a person asked for."""
    text = obj.metadata.annotations.get(naming.ANNOTATION_SLOT, "")
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
