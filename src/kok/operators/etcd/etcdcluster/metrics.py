"""Shows what Prometheus sees of one EtcdCluster, from its status and what its members answered."""

from __future__ import annotations

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.operators.etcd import clusterstatus, reasons
from kok.operators.etcd import metrics as gauges
from kok.operators.etcd.etcdcluster.certificates import trust
from kok.operators.etcd.etcdcluster.conditions import figures
from kok.operators.etcd.etcdcluster.members import templates
from kok.operators.etcd.etcdcluster.observed.model import Answer, Observed

_HAS_QUORUM = {
    reasons.QUORUM: True,
    reasons.QUORUM_LOST: False,
    reasons.RECOVERING: False,
    reasons.MEMBERS_DISAGREE: False,
}
"""What the reasons of the condition Available tell; the others leave it open."""


def show(obj: EtcdCluster, observed: Observed) -> None:
    """Sets all gauges of one object from its status and what its members answered."""
    at, status = (obj.namespace, obj.name), obj.status
    gauges.forget(*at)
    for certificate in status.certificates:
        gauges.RENEWAL.labels(*at, certificate.name).set(certificate.not_after.timestamp())
    if clusterstatus.stands_still(status):
        # That nobody runs, and nothing goes on, is as it should be.
        return
    gauges.READY.labels(*at).set(status.is_true(reasons.READY))
    gauges.MEMBERS.labels(*at).set(status.desired_members)
    gauges.HEALTHY.labels(*at).set(status.ready_members)
    available = status.condition(reasons.AVAILABLE)
    if status.restore is not None:
        # That its members are stopped is as it should be.
        gauges.RESTORE.labels(*at).set(status.restore.since.timestamp())
    elif available is not None and available.reason in _HAS_QUORUM:
        gauges.QUORUM.labels(*at).set(_HAS_QUORUM[available.reason])
    if status.operation is not None:
        gauges.OPERATION.labels(*at, status.operation.type).set(status.operation.since.timestamp())
    rotation = trust.under_way(status)
    if rotation is not None:
        gauges.CA_ROTATION.labels(*at, rotation.phase).set(rotation.since.timestamp())
    _show_backups(obj)
    _show_members(obj, observed)


def _show_members(obj: EtcdCluster, observed: Observed) -> None:
    at, status = (obj.namespace, obj.name), obj.status
    said = {n: a.status for n, a in observed.answers.items() if a.status is not None}
    behind = figures.lags(obj, observed)
    for member in status.members:
        one = (*at, member.name)
        gauges.MEMBER_UP.labels(*one).set(member.ready)
        gauges.MEMBER_LEADER.labels(*one).set(member.role == "Leader")
        gauges.MEMBER_QUOTA.labels(*one).set(templates.running_quota(obj, observed, member.name))
        for alarm in gauges.ALARMS:
            gauges.MEMBER_ALARM.labels(*one, alarm).set(f"{member.name}: {alarm}" in status.alarms)
        took = observed.answers.get(member.name, Answer()).seconds
        if took is not None:
            gauges.MEMBER_ANSWER.labels(*one).set(took)
        if member.name in behind:
            gauges.MEMBER_LAG.labels(*one).set(behind[member.name])
        answer = said.get(member.name)
        if answer is not None:
            gauges.MEMBER_SIZE.labels(*one).set(answer.db_size)
            gauges.MEMBER_USED.labels(*one).set(answer.in_use)


def _show_backups(obj: EtcdCluster) -> None:
    at, status = (obj.namespace, obj.name), obj.status
    backups = status.condition(reasons.BACKUPS_HEALTHY)
    if backups is not None:
        gauges.BACKUPS_HEALTHY.labels(*at).set(backups.status != "False")
        gauges.PROOF_FAILED.labels(*at).set(backups.reason == reasons.VERIFICATION_FAILED)
    if status.last_backup is not None:
        gauges.BACKUP_AT.labels(*at).set(status.last_backup.at.timestamp())
        gauges.BACKUP_SIZE.labels(*at).set(status.last_backup.size)
    if status.last_verified is not None:
        gauges.PROVEN_AT.labels(*at).set(status.last_verified.at.timestamp())
    if status.last_verify_slot is not None:
        gauges.PROOF_DUE.labels(*at).set(status.last_verify_slot.timestamp())
