"""EtcdRestore: one in-place restore of an EtcdCluster from a backup, asked for explicitly."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from pydantic import ConfigDict, Field

from kok.api.etcd.store import (
    KEPT,
    ONE_SOURCE,
    SAME,
    SAME_PARTS,
    SEALED,
    SHORT_NAME,
    RestoreSource,
    StoredBackup,
)
from kok.api.fields import rule, rules
from kok.api.meta import Column, KindInfo, ObjectMeta, Resource, Status, kok_kind


class EtcdRestoreSpec(RestoreSource):
    """Which EtcdCluster is to get whose data.

    All that was written since the backup was made is lost. What stood there before is kept until
    the restored cluster is healthy.
    """

    model_config = ConfigDict(json_schema_extra=rules(ONE_SOURCE, SAME_PARTS, SEALED))

    etcd_cluster: str = Field(
        min_length=1,
        max_length=45,
        json_schema_extra=rules(rule(f"etcdCluster {KEPT}", SAME)),
    )
    """The EtcdCluster, in the same namespace."""


class EtcdRestoreStatus(Status):
    """How far a restore has come."""

    cluster_uid: str | None = Field(default=None, alias="clusterUID")
    """UID of the EtcdCluster; a later one of the same name is left alone."""
    source: StoredBackup | None = None
    """The backup, once it is found."""
    step: str | None = None
    """What is done with the backup now: it is looked for, described or verified."""
    attempts: int = 0
    """How often that was tried."""
    retry_at: datetime | None = None
    """When it is tried again."""
    completed_at: datetime | None = None
    """When the restored cluster was whole and healthy."""


class EtcdRestore(Resource):
    """One restore of an EtcdCluster in place; it happens once, and can be deleted afterwards."""

    model_config = ConfigDict(json_schema_extra=rules(SHORT_NAME))

    info: ClassVar[KindInfo] = KindInfo(
        kind=kok_kind("EtcdRestore"),
        short_names=("er",),
        columns=(
            Column("Cluster", ".spec.etcdCluster"),
            Column("Backup", ".spec.backup"),
            Column("Phase", ".status.phase"),
            Column("Reason", ".status.conditions[?(@.type=='Ready')].reason"),
            Column("Revision", ".status.source.revision", "integer", wide=True),
            Column("Age", ".metadata.creationTimestamp", "date"),
        ),
    )

    metadata: ObjectMeta
    spec: EtcdRestoreSpec
    status: EtcdRestoreStatus = Field(default_factory=EtcdRestoreStatus)


__all__ = ["EtcdRestore", "EtcdRestoreSpec", "EtcdRestoreStatus"]
