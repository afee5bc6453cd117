"""What is known of a stored backup, from its EtcdBackup or from what lies beside it. Pure."""

from __future__ import annotations

from kok.api.etcd.etcdbackup import EtcdBackupStatus
from kok.api.etcd.store import BackupEncryption, BackupStore, StoredBackup
from kok.backup.description import Description


def stored(status: EtcdBackupStatus) -> StoredBackup:
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
