"""What is said of room: on volumes, below quotas, and where there is none left. Pure functions."""

from __future__ import annotations

from kok.api.etcd.etcdcluster import EtcdClusterStatus
from kok.kube import kinds
from kok.operators.etcd import reasons
from kok.operators.etcd.etcdcluster.members import templates
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.observed import storage
from kok.operators.etcd.etcdcluster.operations import Action
from kok.runtime.conditions import Verdict

NEAR = 0.8
"""Share of the quota from which on people are warned."""


def volumes(s: Assessment) -> Verdict | None:
    """What is to be said of volumes that are smaller than the spec says, if any are."""
    claims = [c for c in s.observed.all(kinds.PVC) if storage.is_smaller(s.obj, c)]
    if not claims:
        return None
    names_ = ", ".join(str(claim["metadata"]["name"]) for claim in claims)
    sizes = sorted({storage.capacity(claim) or "" for claim in claims})
    what = f"PersistentVolumeClaims {names_} have {', '.join(sizes)}"
    if s.observed.storage.fixed:
        classes = ", ".join(sorted(s.observed.storage.fixed))
        text = (
            f"{what} and stay so, as StorageClass {classes} cannot expand volumes "
            "(allowVolumeExpansion)"
        )
        return Verdict(False, reasons.VOLUMES_FIXED, text)
    text = f"{what} and are being expanded to {s.obj.spec.storage.size}"
    return Verdict(False, reasons.VOLUMES_GROWING, text)


def space_left(s: Assessment) -> Verdict:
    """Is every database well below its quota? Unknown while no member can be asked."""
    filled = {
        member.name: said.db_size / templates.running_quota(s.obj, s.observed, member.name)
        for member in s.obj.status.members
        if (said := s.said(member.name)) is not None
    }
    if not filled:
        return Verdict(None, reasons.UNREACHABLE, "no member can be asked")
    near = [name for name, share in filled.items() if share >= NEAR]
    if not near:
        return Verdict(True, reasons.ENOUGH)
    # In steps, so that a database that grows slowly is not written of all the time.
    percent = int(max(filled.values()) * 20) * 5
    text = (
        f"the databases of {', '.join(near)} fill {percent} % of their quota or more; at 100 % "
        "etcd refuses writes: delete keys, or let spec.storage.size or spec.storage.quota grow"
    )
    return Verdict(False, reasons.NEAR_QUOTA, text)


def alarmed(status: EtcdClusterStatus, action: Action | None) -> Verdict:
    """What is said while an alarm stands, with what is done about it."""
    raised = ", ".join(status.alarms)
    doing = f"; {action.message}" if action is not None else ""
    if any(alarm.endswith("CORRUPT") for alarm in status.alarms):
        ways = (
            "; nobody but a person can say whose data is right: restore a backup, or remove the "
            "members that are wrong and disarm the alarm with etcdctl"
        )
        text = f"members disagree on the data and refuse to serve it: {raised}{doing or ways}"
        return Verdict(False, reasons.CORRUPT, text)
    ways = (
        "; free space (delete keys, compact, defragment) and disarm the alarm with etcdctl, or let "
        "spec.storage.size or spec.storage.quota grow"
    )
    text = f"the database is full and takes no more writes: {raised}{doing or ways}"
    return Verdict(False, reasons.NO_SPACE, text)
