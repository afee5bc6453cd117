"""What the status of an EtcdCluster tells others of its restores and its sleep. Pure functions."""

from __future__ import annotations

from datetime import datetime, timedelta

from kok.api.etcd.etcdcluster import EtcdCluster, EtcdClusterStatus
from kok.api.etcd.etcdrestore import EtcdRestore
from kok.operators.etcd import naming

ENDED = {"Complete", "Failed"}
STOPPED = {"Stopping", "Seeding"}
"""Steps at which no member may be made or started, and from which there is a way back."""
PATIENCE = timedelta(minutes=10)
"""How long the members of a restored cluster are waited for before another restore goes first."""


def origin(obj: EtcdCluster) -> str:
    """The EtcdRestore by which an EtcdCluster with `spec.restoreFrom` gets its first data."""
    return naming.restore_from(obj.name)


def is_void(obj: EtcdCluster, restore: EtcdRestore) -> bool:
    """Whether it is the one of `spec.restoreFrom`, and the EtcdCluster got its first data otherwise.

    It may have waited for long. Nobody asked for what has been written since to be overwritten.
    """
    status = obj.status
    if restore.name != origin(obj) or obj.spec.restore_from is None or status.seed is None:
        return False
    return restore.metadata.uid not in {
        one.uid for one in (status.restore, status.restored) if one is not None
    }


def restore_waited_until(obj: EtcdCluster) -> datetime | None:
    """Until when a restore whose data is in place is waited for; None if there is none."""
    restore, restored = obj.status.restore, obj.status.restored
    if restore is None or restored is None or restore.step in STOPPED:
        return None
    return restored.at + PATIENCE


def stands_still(status: EtcdClusterStatus) -> bool:
    """Whether nothing may be begun about members."""
    sleep = status.hibernation
    return sleep is not None and sleep.step != "BackingUp"
