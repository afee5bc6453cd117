"""What Prometheus sees of etcd clusters. Labels are bounded: objects and their members only."""

from __future__ import annotations

from prometheus_client import Gauge

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.etcdrestore import EtcdRestore
from kok.operators.etcd.backups import schedule

_CLUSTER = ("namespace", "name")
_MEMBER = (*_CLUSTER, "member")
ALARMS = ("NOSPACE", "CORRUPT")

READY = Gauge("kok_etcd_ready", "Whether the condition Ready holds.", _CLUSTER)
MEMBERS = Gauge("kok_etcd_members", "Members wanted.", _CLUSTER)
HEALTHY = Gauge("kok_etcd_members_healthy", "Members that are healthy.", _CLUSTER)
QUORUM = Gauge(
    "kok_etcd_quorum",
    "Whether a majority of members takes part; absent if unknown, not formed yet, or in a restore.",
    _CLUSTER,
)
OPERATION = Gauge(
    "kok_etcd_operation_start_timestamp_seconds",
    "When the operation under way began, by its type; absent at rest.",
    (*_CLUSTER, "type"),
)
RESTORE = Gauge(
    "kok_etcd_restore_start_timestamp_seconds",
    "When the restore under way began; absent at rest.",
    _CLUSTER,
)
RESTORE_FAILED = Gauge(
    "kok_etcd_restore_failed",
    "Whether an EtcdRestore failed; shown until that is deleted.",
    (*_CLUSTER, "restore"),
)
CA_ROTATION = Gauge(
    "kok_etcd_ca_rotation_phase_start_timestamp_seconds",
    "When the present phase of a rotation of the CA began; absent at rest.",
    (*_CLUSTER, "phase"),
)
BACKUP_FAILED = Gauge(
    "kok_etcd_backup_failed",
    "Whether an EtcdBackup that a person asked for failed; shown until that is deleted.",
    (*_CLUSTER, "backup"),
)
RENEWAL = Gauge(
    "kok_etcd_certificate_expiry_timestamp_seconds",
    "When a certificate ends, by the Secret that holds it.",
    (*_CLUSTER, "secret"),
)
BACKUPS_HEALTHY = Gauge(
    "kok_etcd_backups_healthy", "Whether backups are stored as scheduled.", _CLUSTER
)
BACKUP_AT = Gauge(
    "kok_etcd_backup_last_success_timestamp_seconds",
    "When the last good backup was stored.",
    _CLUSTER,
)
BACKUP_SIZE = Gauge("kok_etcd_backup_last_size_bytes", "Size of the last good backup.", _CLUSTER)
PROVEN_AT = Gauge(
    "kok_etcd_backup_last_verified_timestamp_seconds",
    "When a backup was last restored for a trial, with success.",
    _CLUSTER,
)
PROOF_DUE = Gauge(
    "kok_etcd_backup_verification_due_timestamp_seconds",
    "When the schedule last asked for a trial restore.",
    _CLUSTER,
)
PROOF_FAILED = Gauge(
    "kok_etcd_backup_verification_failed", "Whether the latest trial restore failed.", _CLUSTER
)
MEMBER_UP = Gauge("kok_etcd_member_healthy", "Whether a member is healthy.", _MEMBER)
MEMBER_LEADER = Gauge("kok_etcd_member_leader", "Whether a member leads.", _MEMBER)
MEMBER_SIZE = Gauge("kok_etcd_member_db_size_bytes", "Size of a member's database file.", _MEMBER)
MEMBER_USED = Gauge("kok_etcd_member_db_in_use_bytes", "Part of it that holds data.", _MEMBER)
MEMBER_QUOTA = Gauge(
    "kok_etcd_member_quota_bytes", "Size of the database at which it refuses writes.", _MEMBER
)
MEMBER_LAG = Gauge(
    "kok_etcd_member_raft_lag", "Entries that a member has yet to apply, to the foremost.", _MEMBER
)
MEMBER_ANSWER = Gauge(
    "kok_etcd_member_answer_seconds", "How long a member's last consistent read took.", _MEMBER
)
MEMBER_ALARM = Gauge("kok_etcd_member_alarm", "Alarms that are raised.", (*_MEMBER, "alarm"))

_ALL = (
    *(READY, MEMBERS, HEALTHY, QUORUM, OPERATION, RESTORE, RENEWAL, CA_ROTATION),
    *(MEMBER_UP, MEMBER_LEADER, MEMBER_SIZE, MEMBER_USED, MEMBER_QUOTA, MEMBER_LAG),
    *(MEMBER_ANSWER, MEMBER_ALARM),
    *(BACKUPS_HEALTHY, BACKUP_AT, BACKUP_SIZE, PROVEN_AT, PROOF_DUE, PROOF_FAILED),
)


def show_backup(obj: EtcdBackup, phase: str | None) -> None:
    """Sets what is shown of one EtcdBackup; of those of a schedule the EtcdCluster tells."""
    if schedule.slot(obj) is None:
        labels = (obj.namespace, obj.spec.etcd_cluster, obj.name)
        BACKUP_FAILED.labels(*labels).set(phase == "Failed")


def forget_backup(namespace: str, name: str) -> None:
    """Removes it."""
    BACKUP_FAILED.remove_by_labels({"namespace": namespace, "backup": name})


def show_restore(obj: EtcdRestore, phase: str | None) -> None:
    """Sets what is shown of one EtcdRestore."""
    RESTORE_FAILED.labels(obj.namespace, obj.spec.etcd_cluster, obj.name).set(phase == "Failed")


def forget_restore(namespace: str, name: str) -> None:
    """Removes it."""
    RESTORE_FAILED.remove_by_labels({"namespace": namespace, "restore": name})


def forget(namespace: str, name: str) -> None:
    """Removes all that is shown of one object."""
    for gauge in _ALL:
        gauge.remove_by_labels({"namespace": namespace, "name": name})
