"""Figures of members that follow from several answers, or from an answer and the spec."""

from __future__ import annotations

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.operators.etcd.etcdcluster.members import templates
from kok.operators.etcd.etcdcluster.observe import World

LAG_FROM = 1000
"""Members are asked one after the other while clients write: less than this tells nothing."""


def lags(obj: EtcdCluster, world: World) -> dict[str, int]:
    """Entries of the log that each member has yet to apply, to the foremost; of those that answer."""
    said = {
        name: answer.status
        for name, answer in world.answers.items()
        if answer.status is not None and answer.status.cluster_id == obj.status.cluster_id
    }
    foremost = max((status.raft_index for status in said.values()), default=0)
    return {name: max(0, foremost - status.applied_index) for name, status in said.items()}


def fill(obj: EtcdCluster, world: World) -> None:
    """Writes them into the members of `obj.status`, in steps that stand still while all is well.

    Sizes have to be there already.
    """
    behind = lags(obj, world)
    for entry in obj.status.members:
        quota = templates.running_quota(obj, world, entry.name)
        entry.quota_used = None if entry.db_size is None else round(100 * entry.db_size / quota)
        entry.raft_lag = coarse(behind[entry.name]) if entry.name in behind else None


def coarse(lag: int) -> int:
    """A lag rounded down to 0, 1000, 10 000...

    >>> coarse(999), coarse(4321), coarse(10_000)
    (0, 1000, 10000)
    """
    return int(10 ** (len(str(lag)) - 1)) if lag >= LAG_FROM else 0
