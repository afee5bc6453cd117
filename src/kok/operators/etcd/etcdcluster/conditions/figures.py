"""What the status shows of members beside conditions: who they are, sizes, how far they lag. Pure."""

from __future__ import annotations

from kok.api import names
from kok.api.etcd.etcdcluster import EtcdCluster, EtcdClusterStatus
from kok.operators.etcd import naming
from kok.operators.etcd.backups.stored import human
from kok.operators.etcd.etcdcluster.certificates import certificates
from kok.operators.etcd.etcdcluster.members import health, roles, templates
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.versions import parse

LAG_FROM = 1000
"""Members are asked one after the other while clients write: less than this tells nothing."""
SIZE_STEP = 4 * 1024**2
SIZE_SHARE = 0.1
"""A size is written again when it doubled or halved, or changed by more than these bytes and this
share of it: small databases breathe, and nobody cares for a megabyte of a large one."""


def see(s: Assessment) -> None:
    """Puts into the status of `s.obj` what was seen: members as they were judged, and sums of them."""
    obj, observed, status = s.obj, s.observed, s.obj.status
    entries = [view.entry for view in s.members]
    versions = [m.version for m in entries if m.version]
    # What a foreign member tells is not about this cluster.
    ours = {
        name: answer
        for name, answer in observed.answers.items()
        if answer.status is not None and answer.status.cluster_id == status.cluster_id
    }
    leader = health.leader_of(ours) if roles.has_quorum(obj, observed) else None
    formats = [a.status.storage_version for a in ours.values() if a.status is not None]
    status.members = entries
    status.desired_members = obj.spec.members
    status.ready_members = sum(entry.ready for entry in entries)
    status.version = min(versions, key=parse) if versions else status.version
    status.storage_version = min((f for f in formats if f), key=parse, default=None) or (
        status.storage_version
    )
    status.leader = next((m.name for m in entries if leader and m.id == leader), None)
    if observed.answers:
        status.alarms = health.alarms_of(entries, ours)
    secrets = observed.secrets
    client = names.etcd_client_secret(obj.name)
    status.endpoints = [naming.endpoint(obj.name, obj.namespace)]
    status.client_secret = client if client in secrets else None
    status.certificates = certificates.dates(obj, secrets)


def settle(before: EtcdClusterStatus, obj: EtcdCluster, observed: Observed) -> None:
    """Brings figures of `obj.status` into the form in which they are shown; at the end of a pass.

    `before` is the status as the pass found it.
    """
    keep_sizes(before, obj.status)
    _fill(obj, observed)
    obj.status.db_size = human(max((m.db_size or 0 for m in obj.status.members), default=0))


def keep_sizes(before: EtcdClusterStatus, status: EtcdClusterStatus) -> None:
    """Leaves sizes as they were told last if nothing else changed and they hardly did.

    A database grows and shrinks a little all the time, and a status that follows it would be
    written on every pass.
    """
    old = {entry.name: entry for entry in before.members}
    if any(
        not _close(old[m.name].db_size, m.db_size) or not _close(old[m.name].in_use, m.in_use)
        for m in status.members
        if m.name in old
    ):
        return
    calm = status.model_copy(deep=True)
    calm.db_size = before.db_size
    for entry in calm.members:
        if entry.name in old:
            entry.db_size, entry.in_use = old[entry.name].db_size, old[entry.name].in_use
    if calm == before:
        status.members = calm.members


def _close(one: int | None, other: int | None) -> bool:
    if one == other or one is None or other is None:
        return one == other
    small, large = sorted((one, other))
    return large < 2 * small and large - small <= max(SIZE_STEP, SIZE_SHARE * large)


def lags(obj: EtcdCluster, observed: Observed) -> dict[str, int]:
    """Entries of the log that each member has yet to apply, to the foremost; of those that answer."""
    said = {
        name: answer.status
        for name, answer in observed.answers.items()
        if answer.status is not None and answer.status.cluster_id == obj.status.cluster_id
    }
    foremost = max((status.raft_index for status in said.values()), default=0)
    return {name: max(0, foremost - status.applied_index) for name, status in said.items()}


def _fill(obj: EtcdCluster, observed: Observed) -> None:
    """Quota and lag of the members of `obj.status`, in steps that stand still while all is well."""
    behind = lags(obj, observed)
    for entry in obj.status.members:
        quota = templates.running_quota(obj, observed, entry.name)
        entry.quota_used = None if entry.db_size is None else round(100 * entry.db_size / quota)
        entry.raft_lag = coarse(behind[entry.name]) if entry.name in behind else None


def coarse(lag: int) -> int:
    """A lag rounded down to 0, 1000, 10 000...

    >>> coarse(999), coarse(4321), coarse(10_000)
    (0, 1000, 10000)
    """
    return int(10 ** (len(str(lag)) - 1)) if lag >= LAG_FROM else 0
