"""Why a command of the worker failed, as it is reported; the operator hands it on to users."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why nothing came of a command. The values are stable: they appear in conditions."""

    # Those that may well pass by themselves; see `TRANSIENT`.
    ETCD_UNREACHABLE = "EtcdUnreachable"
    """The member cannot be reached or broke off; the message names it."""
    ETCD_SILENT = "EtcdSilent"
    """The member answers, but no data came for too long: a slow disk, or no quorum."""
    SNAPSHOT_INCOMPLETE = "SnapshotIncomplete"
    """The member's snapshot ended early. Nothing was stored."""
    STORE_UNREACHABLE = "StoreUnreachable"
    """The store cannot be reached or broke off, also when tried again; check its address."""
    STORE_BUSY = "StoreBusy"
    """The store kept answering that it is overloaded or has an error of its own (HTTP 5xx, 429)."""
    STORE_SILENT = "StoreSilent"
    """The store took or gave no data for too long."""
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    """The command took longer than it was given."""
    INTERRUPTED = "Interrupted"
    """The worker was told to end before it was through; what it had begun was taken back."""
    OVERTAKEN = "BackupOvertaken"
    """An earlier try that had been given up was faster; the next one finds what it has stored."""

    # Those that somebody must look at.
    SPEC_INVALID = "WorkerSpecInvalid"
    """The worker was not told properly what to do: operator and worker differ in version."""
    CREDENTIALS_UNUSABLE = "CredentialsUnusable"
    """A certificate, key or password in a Secret is missing or unreadable; the message says which."""
    ETCD_UNTRUSTED = "EtcdUntrusted"
    """The member and the worker do not trust each other's certificates."""
    ETCD_DENIED = "EtcdDenied"
    """Authentication is on in etcd, and the client certificate's user may not take snapshots.

    Grant the role `root` to the user of the certificate's common name, `etcd-client`.
    """
    ETCD_REFUSED = "EtcdRefused"
    """The member refuses for a reason of its own, which the message tells."""
    SNAPSHOT_CORRUPT = "SnapshotCorrupt"
    """The data does not match the snapshot's own checksum. Nothing was stored."""
    STORE_UNTRUSTED = "StoreUntrusted"
    """The store's certificate does not hold; set its CA in the backup's store."""
    STORE_FORBIDDEN = "StoreForbidden"
    """The store's address lies where the administrator of the meta cluster lets nobody connect to."""
    STORE_DENIED = "StoreDenied"
    """The store refuses the credentials, or does not allow them what is needed."""
    STORE_MISSING = "StoreMissing"
    """There is no such bucket, or the directory is not there."""
    STORE_REFUSED = "StoreRefused"
    """The store refuses for a reason of its own, which the message tells."""
    STORE_FULL = "StoreFull"
    """No space is left where the data was to be written."""
    DISK_FAILED = "DiskFailed"
    """Reading or writing a mounted volume failed; the message has the system's words."""
    KEY_TAKEN = "BackupKeyTaken"
    """Another backup lies under this key already; it was left as it is."""
    OBJECT_MISSING = "BackupMissing"
    """The stored backup is gone from the store."""
    OBJECT_UNDESCRIBED = "BackupUndescribed"
    """A snapshot lies there without the description that every complete backup has beside it."""
    OBJECT_TRUNCATED = "BackupTruncated"
    """What is stored is shorter than what was written."""
    OBJECT_ALTERED = "BackupAltered"
    """What is stored is not what was written: checksums differ. Do not restore from it."""
    KEY_MISSING = "EncryptionKeyMissing"
    """The backup is encrypted, and none of the given keys is the one it was encrypted with."""
    INTERNAL = "WorkerFailed"
    """The worker failed in a way that it does not know; its log tells more."""


TRANSIENT = frozenset(
    {
        Reason.ETCD_UNREACHABLE,
        Reason.ETCD_SILENT,
        Reason.SNAPSHOT_INCOMPLETE,
        Reason.STORE_UNREACHABLE,
        Reason.STORE_BUSY,
        Reason.STORE_SILENT,
        Reason.DEADLINE_EXCEEDED,
        Reason.INTERRUPTED,
        Reason.OVERTAKEN,
    }
)
"""After these, trying the same again may help."""
