"""What is known of stored backups: where they lie, when they were taken, and what trials have shown. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from kok.api.etcd.etcdbackup import EtcdBackup, EtcdBackupStatus
from kok.api.etcd.store import BackupEncryption, BackupStore, StoredBackup
from kok.backup.description import Description, time_of
from kok.backup.reasons import Reason
from kok.operators.etcd import reasons
from kok.operators.etcd.clocks import is_ahead


def stored_backup(status: EtcdBackupStatus) -> StoredBackup:
    """Of a complete EtcdBackup. Raises `ValueError` for one that lacks what was recorded."""
    if status.store is None or status.key is None or status.revision is None:
        raise ValueError("nothing is recorded of where it lies and what it holds")
    return StoredBackup(
        store=status.store,
        encryption=status.encryption,
        key=status.key,
        sha256=status.sha256 or "",
        size=status.size or 0,
        revision=status.revision,
        keys=status.keys,
        hash=status.hash,
        compact_revision=status.compact_revision,
        etcd_version=status.etcd_version or "",
        sealed_keys=status.sealed_keys,
    )


def described(
    store: BackupStore, encryption: BackupEncryption | None, told: Description
) -> StoredBackup:
    """Of one that was found in a store."""
    return StoredBackup(
        store=store,
        encryption=encryption,
        key=told.key,
        sha256=told.sha256,
        size=told.size,
        revision=told.contents.revision,
        keys=told.contents.keys,
        hash=told.contents.hash,
        compact_revision=told.contents.compact_revision,
        etcd_version=told.contents.etcd_version,
        sealed_keys=told.contents.sealed_keys,
    )


def taken(backup: EtcdBackup) -> datetime:
    """When a backup was begun, as far as several clocks agree.

    That of the API server says from when on it can have been; those of the operator (in the key of
    the stored object, and at its end) and of the worker's node say when. One clock that is ahead
    makes no backup the newest for ever, nor does one that is behind make it the oldest; and what the
    store says of it counts no more than that.
    """
    status, made = backup.status, backup.metadata.creation_timestamp
    named = time_of(status.key) if status.key is not None else None
    told = [when for when in (named, status.started_at, status.completed_at) if when is not None]
    earliest = min(told, default=made)
    if earliest is None:
        raise ValueError(f"{backup} was not read from an API server")
    return earliest if made is None else max(earliest, made)


def complete(backups: Iterable[EtcdBackup], now: datetime | None = None) -> list[EtcdBackup]:
    """Those that are stored, newest first, whatever trials have shown.

    Whose time is yet to come by `now` are behind all others: it is not known.
    """
    stored = [b for b in backups if b.status.phase == "Complete" and not b.deleting]

    def rank(backup: EtcdBackup) -> tuple[bool, datetime]:
        when = taken(backup)
        return now is None or not is_ahead(when, now), when

    return sorted(stored, key=rank, reverse=True)


def good(backups: Iterable[EtcdBackup], now: datetime | None = None) -> list[EtcdBackup]:
    """Those that can be restored, in the order of `complete`."""
    return [b for b in complete(backups, now) if not is_refuted(b)]


def is_good(backup: EtcdBackup) -> bool:
    """Whether it is complete, and no trial has shown that it cannot be restored."""
    return backup.status.phase == "Complete" and not backup.deleting and not is_refuted(backup)


def is_refuted(backup: EtcdBackup) -> bool:
    """Whether a trial has shown that it cannot be restored, and none since that it can.

    A trial that could not be made, or is under way, takes nothing back.
    """
    proof, ready = backup.status.verification, backup.status.condition(reasons.READY)
    if proof is None or proof.result == "Passed":
        return False
    said = ready is not None and ready.reason == reasons.VERIFICATION_FAILED
    return proof.result == "Failed" or said


def proven_at(backup: EtcdBackup) -> datetime | None:
    """When a trial has shown that it can be restored; None if none has, or a later one refuted it."""
    proof = backup.status.verification
    if proof is None or is_refuted(backup):
        return None
    return proof.at if proof.result == "Passed" else backup.status.proven_at


def is_proven(backup: EtcdBackup) -> bool:
    """Whether a trial has shown that it can be restored, and none since that it cannot."""
    return proven_at(backup) is not None


BAD = {
    Reason.OBJECT_MISSING,
    Reason.OBJECT_UNDESCRIBED,
    Reason.OBJECT_TRUNCATED,
    Reason.OBJECT_ALTERED,
    Reason.SNAPSHOT_CORRUPT,
}
"""Failures that say something of the backup, and not of what happened to be in the way.

A key that is not in its Secret, and containers that end without a word, are in the way.
"""


def human(size: int) -> str | None:
    """A size for people; None if it is not known.

    >>> human(4_312_345)
    '4 MB'
    """
    if size <= 0:
        return None
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            value = size / factor
            return f"{value:.1f} {unit}" if value < 10 and unit == "GB" else f"{value:.0f} {unit}"
    return f"{size} B"
