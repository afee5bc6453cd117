"""EtcdCluster: one etcd cluster in the meta cluster, with a volume and a pod for each member."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import ConfigDict, Field

from kok.api.etcd.maintenance import EtcdMaintenance, EtcdTuning
from kok.api.etcd.status import (
    EtcdCertificate,
    EtcdClusterStatus,
    EtcdMember,
    EtcdMoves,
    EtcdOperation,
    EtcdReplacement,
)
from kok.api.etcd.store import EtcdBackupPolicy, RestoreSource
from kok.api.fields import (
    Duration,
    Images,
    Labels,
    Percent,
    Quantity,
    Resources,
    Toleration,
    at_least,
    grows,
    lasting,
    odd_members,
    rule,
    rules,
    says,
    shorter,
)
from kok.api.meta import ApiModel, Column, KindInfo, ObjectMeta, Resource, kok_kind
from kok.api.versionrules import etcd_upgrade

NAME_MAX = 45


class EtcdStorage(ApiModel):
    """The volume of each member."""

    model_config = ConfigDict(json_schema_extra=rules(at_least("spec.storage.size", "size", "1Gi")))

    size: Quantity = Field(
        default="8Gi",
        json_schema_extra=rules(grows("spec.storage.size")),
    )
    """Size of each member's volume; it may grow if the StorageClass can expand volumes."""
    class_name: str = Field(default="", max_length=253)
    """StorageClass of the volumes; the meta cluster's default if empty.

    A change moves the members to volumes of the new class, one by one.
    """
    quota: Percent = "80%"
    """Share of the volume that the database may fill before etcd refuses writes.

    512 MiB are always left for etcd's log.
    """


class EtcdPlacement(ApiModel):
    """Which meta nodes may run members; a change moves those that do not fit, one by one."""

    spread: str = Field(default="kubernetes.io/hostname", max_length=316)
    """Node label over whose values members are spread."""
    require_spread: bool = False
    """Whether a member rather waits than shares a value of `spread` with another."""
    node_selector: Labels = Field(default_factory=dict)
    """Labels that a node must carry."""
    tolerations: list[Toleration] = Field(default_factory=list, max_length=32)
    """Taints that members put up with."""


class EtcdTLS(ApiModel):
    """Certificates of peers, servers and clients; the operator makes and renews them."""

    model_config = ConfigDict(json_schema_extra=rules(shorter("spec.tls"), lasting("spec.tls")))

    leaf_duration: Duration = "8760h"
    """How long a certificate is valid."""
    renew_before: Duration = "720h"
    """How long before its end a certificate is renewed."""


class EtcdRecovery(ApiModel):
    """What is done about members that are gone, and may be when that is a majority."""

    replace_after: Duration = "5m"
    """How long a member must be seen to be gone together with its node before it is replaced.

    One that lost its data is replaced at once.
    """

    policy: Literal["Manual", "FromSurvivor", "FromBackup"] = "Manual"
    """`FromSurvivor`: the member that answers and holds the most goes on alone, and new ones join.

    One that told that it holds more, and is silent now, is waited for for a while. Its data is copied first, to `before-recovery-...` on its volume; the others' volumes go when
    it is healthy. What a majority confirmed and it does not hold is lost. Be sure that the others
    are gone: on a node that only the meta cluster cannot reach they might go on serving.

    `FromBackup`: when no majority has answered for `restoreAfter`, the newest backup of this etcd
    cluster that was proven (`spec.backup.verify`) is restored in place, without asking: this is the
    consent. All that was written since that backup is lost. Called off if a majority returns before
    the members are stopped.
    """
    restore_after: Duration = "15m"
    """How long the operator must have seen a majority to be lost before `FromBackup` restores a backup.

    What it did not watch does not count: it begins once more when the operator is started anew.
    """
    allow_data_loss: str = Field(
        default="",
        pattern=r"^[0-9a-f]*$",
        max_length=16,
        json_schema_extra=says("write the ID of the cluster, as status.clusterID shows it"),
    )
    """`status.clusterID` of the cluster whose latest data may be lost; nothing is done without.

    Good for one loss, the present or else the next one, also if that passes by itself
    (`status.consentUsedAt`); for another one, take it out and give it again.
    """


class EtcdClusterSpec(ApiModel):
    """What an etcd cluster is to be."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "spec.restoreFrom is for a new EtcdCluster; to restore this one, create an "
                "EtcdRestore",
                "has(self.restoreFrom) == has(oldSelf.restoreFrom)",
            )
        )
    )

    version: str = Field(
        default="3.6.10",
        max_length=16,
        json_schema_extra=rules(
            rule(
                "'spec.version: ' + self + ' is not an etcd version; "
                "write one such as 3.6.10, of minor 3.5, 3.6 or 3.7'",
                "self.matches('^3[.][567][.][0-9]+$')",
                expression=True,
            ),
        ),
    )
    """Version of etcd; it may go up by patch level or one minor, member by member."""
    members: int = Field(default=3, json_schema_extra=rules(odd_members("spec.members")))
    """Number of members; a change adds or removes them one by one."""
    storage: EtcdStorage = Field(default_factory=EtcdStorage)
    """The members' volumes."""
    placement: EtcdPlacement = Field(default_factory=EtcdPlacement)
    """Where members run."""
    resources: Resources = Field(
        default_factory=lambda: Resources(requests={"cpu": "100m", "memory": "128Mi"}),
    )
    """What each member asks for and may use; a change reaches a member when its pod is made anew."""
    maintenance: EtcdMaintenance = Field(default_factory=EtcdMaintenance)
    """What is done to the members' databases."""
    recovery: EtcdRecovery = Field(default_factory=EtcdRecovery)
    """What is done about members that are gone, and may be when that is a majority."""
    tuning: EtcdTuning = Field(default_factory=EtcdTuning)
    """Settings for slow disks and long distances between members."""
    tls: EtcdTLS = Field(default_factory=EtcdTLS)
    """Lifetimes of certificates."""
    images: Images = Field(default_factory=Images)
    """Where the etcd image comes from."""
    backup: EtcdBackupPolicy | None = None
    """Backups of the cluster."""
    restore_from: RestoreSource | None = None
    """A backup that a new cluster begins with, instead of empty.

    To restore an EtcdCluster that exists, create an EtcdRestore.
    """
    deletion_policy: Literal["Delete", "Retain"] = "Delete"
    """What happens to the volumes when the EtcdCluster is deleted.

    Retained volumes are never built upon by accident: an EtcdCluster created later under the same
    name waits, and tells how to go on with their data or without it.
    """
    hibernate: bool = False
    """Stops all members and keeps their volumes; `false` starts them again with their data.

    Where `backup.schedule` is set, a fresh backup is made first.
    """
    paused: bool = False
    """Stops all changes by the operator; the status is still kept."""


class EtcdCluster(Resource):
    """One etcd cluster, kept healthy by the etcd operator."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                f"'metadata.name: ' + self.metadata.name + ' is too long or does not start with "
                f"a letter; write at most {NAME_MAX} lower-case letters, digits and dashes'",
                f"self.metadata.name.size() <= {NAME_MAX} && "
                "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                expression=True,
            ),
            *etcd_upgrade(),
        )
    )

    info: ClassVar[KindInfo] = KindInfo(
        kind=kok_kind("EtcdCluster"),
        short_names=("etcd",),
        columns=(
            Column("Version", ".status.version"),
            Column("Members", ".status.desiredMembers", "integer"),
            Column("Healthy", ".status.readyMembers", "integer"),
            Column("DB", ".status.dbSize"),
            Column("Last Backup", ".status.lastBackup.at", "date"),
            Column("Leader", ".status.leader", wide=True),
            Column("Ready", ".status.conditions[?(@.type=='Ready')].status"),
            Column("Reason", ".status.conditions[?(@.type=='Ready')].reason"),
            Column("Age", ".metadata.creationTimestamp", "date"),
        ),
    )

    metadata: ObjectMeta
    spec: EtcdClusterSpec = Field(default_factory=EtcdClusterSpec)
    status: EtcdClusterStatus = Field(default_factory=EtcdClusterStatus)


__all__ = [
    "EtcdCertificate",
    "EtcdCluster",
    "EtcdClusterSpec",
    "EtcdClusterStatus",
    "EtcdMember",
    "EtcdMoves",
    "EtcdOperation",
    "EtcdReplacement",
]
