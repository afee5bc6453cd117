"""EtcdBackup: one snapshot of an etcd cluster, where it lies and whether it can be restored."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import ConfigDict, Field

from kok.api.etcd.store import (
    SAME,
    SEALED,
    SHORT_NAME,
    BackupEncryption,
    BackupKey,
    BackupStore,
    BackupWorker,
)
from kok.api.fields import rule, rules
from kok.api.meta import ApiModel, Column, KindInfo, ObjectMeta, Resource, Status, kok_kind

FIXED = "of an EtcdBackup cannot be changed; create another EtcdBackup"


class EtcdBackupSpec(ApiModel):
    """Of what a backup is made, and where it is to lie."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"store and encryption {FIXED}",
                "has(self.store) == has(oldSelf.store) && "
                "has(self.encryption) == has(oldSelf.encryption)",
            ),
            SEALED,
        )
    )

    etcd_cluster: str = Field(
        min_length=1, max_length=45, json_schema_extra=rules(rule(f"etcdCluster {FIXED}", SAME))
    )
    """The EtcdCluster, in the same namespace."""
    store: BackupStore | None = Field(
        default=None, json_schema_extra=rules(rule(f"store {FIXED}", SAME))
    )
    """Where the backup is to lie; what `spec.backup` of the EtcdCluster says if absent."""
    encryption: BackupEncryption | None = Field(
        default=None, json_schema_extra=rules(rule(f"encryption {FIXED}", SAME))
    )
    """How it is encrypted; with `store` absent, what `spec.backup` of the EtcdCluster says."""
    worker: BackupWorker | None = None
    """The pods that make, prove and remove it; as `spec.backup.worker` of the EtcdCluster says if

    absent.
    """
    deletion_policy: Literal["Delete", "Retain"] = "Delete"
    """What happens to the stored backup when the EtcdBackup is deleted."""


class EtcdProof(ApiModel):
    """A trial restore of a backup."""

    request: str
    """Value of the annotation `kok.dev/verify` that asked for it."""
    result: Literal["Running", "Passed", "Failed", "Unknown"]
    """What came of it; `Unknown`: it could not be tried."""
    at: datetime
    """When it was asked for, and then when it ended."""
    message: str | None = None
    """What was compared, or what is wrong."""
    attempts: int = 0
    """How often it was tried."""
    retry_at: datetime | None = None
    """When it is tried again."""


class EtcdBackupStatus(Status):
    """What became of a backup."""

    store: BackupStore | None = None
    """Where it lies, as it was when the backup was begun."""
    encryption: BackupEncryption | None = None
    """The Secret of the keys that it is encrypted with."""
    worker: BackupWorker | None = None
    """What its pods were like; its removal needs to know when the EtcdCluster is gone."""
    key: BackupKey | None = None
    """Where it lies in the store."""
    begun: bool | None = None
    """Whether a pod that stores it was ever seen: before, there is nothing to be removed."""
    location: str | None = None
    """Where it lies, for people."""
    size: int | None = None
    """Bytes of what is stored."""
    size_summary: str | None = None
    """The same for people."""
    sha256: str | None = None
    """SHA-256 of what is stored."""
    revision: int | None = None
    """Revision of etcd up to which every acknowledged write is in it."""
    keys: int | None = None
    """Number of keys that it holds."""
    hash: int | None = None
    """etcd's own hash of its content at that revision."""
    compact_revision: int | None = None
    """Revision up to which history was compacted when the hash was made."""
    etcd_version: str | None = None
    """Version of etcd that it was made of; that one or a later one can restore it."""
    sealed_keys: str | None = None
    """SHA-256 of the sealed keys that it holds; absent: it holds none."""
    cluster_id: str | None = Field(default=None, alias="clusterID")
    """ID of the etcd cluster that it was made of, in hexadecimal."""
    started_at: datetime | None = None
    """When the snapshot was begun."""
    completed_at: datetime | None = None
    """When it was stored and had been read back."""
    attempts: int = 0
    """How often making it was tried."""
    job_seen: int | None = None
    """The latest of these tries whose Job was seen: one that is gone since may have a pod that lives on.
    """
    retry_at: datetime | None = None
    """When it is tried again."""
    verification: EtcdProof | None = None
    """The latest proof that it can be restored."""
    proven_at: datetime | None = None
    """When a proof last showed that it can be restored; absent if a later one showed that it cannot."""


class EtcdBackup(Resource):
    """One backup of an EtcdCluster; it outlives the EtcdCluster."""

    model_config = ConfigDict(json_schema_extra=rules(SHORT_NAME))

    info: ClassVar[KindInfo] = KindInfo(
        kind=kok_kind("EtcdBackup"),
        short_names=("eb",),
        columns=(
            Column("Cluster", ".spec.etcdCluster"),
            Column("Phase", ".status.phase"),
            Column("Size", ".status.sizeSummary"),
            Column("Revision", ".status.revision", "integer"),
            Column("Verified", ".status.verification.result"),
            Column("Reason", ".status.conditions[?(@.type=='Ready')].reason", wide=True),
            Column("Location", ".status.location", wide=True),
            Column("Age", ".metadata.creationTimestamp", "date"),
        ),
    )

    metadata: ObjectMeta
    spec: EtcdBackupSpec
    status: EtcdBackupStatus = Field(default_factory=EtcdBackupStatus)


__all__ = ["EtcdBackup", "EtcdBackupSpec", "EtcdBackupStatus"]
