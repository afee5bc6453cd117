"""What a Cluster says of its etcd."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from kok.api.etcd.etcdcluster import EtcdRecovery
from kok.api.etcd.maintenance import EtcdMaintenance, EtcdTuning
from kok.api.etcd.store import EtcdBackupPolicy, RestoreSource
from kok.api.fields import (
    Quantity,
    Resources,
    at_least,
    grows,
    odd_members,
    rule,
    rules,
)
from kok.api.meta import ApiModel


class ClusterEtcdStorage(ApiModel):
    """The volume of each etcd member."""

    model_config = ConfigDict(
        json_schema_extra=rules(at_least("spec.etcd.storage.size", "size", "1Gi"))
    )

    size: Quantity = Field(default="8Gi", json_schema_extra=rules(grows("spec.etcd.storage.size")))
    """Size of each member's volume; it may grow if the StorageClass can expand volumes."""
    class_name: str = Field(default="", max_length=253)
    """StorageClass of the volumes; the meta cluster's default if empty.

    A change moves the members to volumes of the new class, one by one.
    """


class ClusterEtcd(ApiModel):
    """The EtcdCluster that is made for this Cluster; what is absent comes from the profile."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "spec.etcd.restoreFrom is for a new Cluster; to restore the etcd of this one, "
                "create an EtcdRestore",
                "has(self.restoreFrom) == has(oldSelf.restoreFrom)",
            )
        )
    )

    members: int | None = Field(
        default=None, json_schema_extra=rules(odd_members("spec.etcd.members"))
    )
    """Number of etcd members."""
    version: str | None = Field(
        default=None,
        max_length=16,
        json_schema_extra=rules(
            rule(
                "'spec.etcd.version: ' + self + ' is not an etcd version; write one such as "
                "3.6.10, of minor 3.5, 3.6 or 3.7'",
                "self.matches('^3[.][567][.][0-9]+$')",
                expression=True,
            )
        ),
    )
    """Version of etcd; the one that belongs to the Kubernetes version if absent."""
    storage: ClusterEtcdStorage = Field(default_factory=ClusterEtcdStorage)
    """The members' volumes."""
    resources: Resources | None = None
    """What each member asks for and may use."""
    maintenance: EtcdMaintenance | None = None
    """What is done to the members' databases, and when."""
    recovery: EtcdRecovery | None = None
    """What may be done when a majority of the members is lost for good."""
    tuning: EtcdTuning | None = None
    """Settings for slow disks and long distances between members."""
    backup: EtcdBackupPolicy | None = None
    """Backups of etcd: store, schedule, proofs and how long they are kept."""
    restore_from: RestoreSource | None = None
    """A backup that a new Cluster's etcd begins with, instead of empty."""
