"""When a backup is tried again, of whom it is taken and where it lies. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.store import BackupEncryption, BackupStore
from kok.api.meta import Manifest
from kok.backup.description import key_of, time_of
from kok.operators.etcd import reasons
from kok.operators.etcd.backups.schedule import slot
from kok.operators.etcd.clocks import AHEAD, is_ahead
from kok.operators.etcd.jobs.outcome import Failed

FIRST_DELAY = timedelta(seconds=20)
LONGEST_DELAY = timedelta(minutes=30)
LOOKS = 2.0, 30.0
"""Seconds at least and at most between two looks for keys that are yet to be put into etcd."""
_NAME = 180
"""Characters of an EtcdBackup's name in a key: a file's name has 255, with time, UID and suffixes."""
ATTEMPTS = 5
"""How often a backup that somebody asked for is tried if its failures may pass by themselves."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a backup is to lie."""

    store: BackupStore
    encryption: BackupEncryption | None


def place(obj: EtcdBackup, cluster: EtcdCluster) -> Place | None:
    """By the EtcdBackup's own spec, else by its EtcdCluster's; None if neither says it."""
    if obj.spec.store is not None:
        return Place(obj.spec.store, obj.spec.encryption)
    wanted = cluster.spec.backup
    if wanted is None:
        return None
    return Place(wanted.store, obj.spec.encryption or wanted.encryption)


def key(obj: EtcdBackup, now: datetime) -> str:
    """Where it is to lie in its store; never where a backup of the same name may lie already.

    The time of the first attempt stands in it, which tells the newest one in a store from others.
    No attempt comes before the EtcdBackup: then it is our clock that is behind the API server's.
    """
    begun = max(now, obj.metadata.creation_timestamp or now)
    unique = f"{obj.name[:_NAME]}-{obj.metadata.uid[:8]}"
    return key_of(f"{obj.namespace}/{obj.spec.etcd_cluster}", unique, begun)


def retry_at(obj: EtcdBackup, failed: Failed, now: datetime) -> datetime | None:
    """When to try again after the attempt that `obj.status.attempts` counts; None: never.

    A backup that is due by schedule is tried until the next one is due, whatever the failure:
    somebody may mend it meanwhile. One that a person asked for gives up, so that he is told.
    """
    attempts = obj.status.attempts
    if slot(obj) is None and (not failed.transient or attempts >= ATTEMPTS):
        return None
    delay: timedelta = min(FIRST_DELAY * 2.0 ** min(attempts - 1, 10), LONGEST_DELAY)
    return (now + delay).replace(microsecond=0)


def begun_at(obj: EtcdBackup, told: datetime, now: datetime) -> datetime:
    """When the snapshot of a backup that is complete was begun: as its worker says, if that can be;
    else the time of its first attempt.
    """
    named = time_of(obj.status.key) if obj.status.key is not None else None
    earliest = obj.metadata.creation_timestamp or told
    possible = earliest - AHEAD <= told <= now + AHEAD
    return told if possible else named or earliest


def is_ending(pod: Manifest, now: datetime) -> bool:
    """Whether a pod of a deleted Job is within the time that it has for coming to its end."""
    when = pod["metadata"].get("deletionTimestamp")
    return when is None or now <= datetime.fromisoformat(when) + AHEAD


def look_again(obj: EtcdBackup, now: datetime) -> float:
    """Seconds until the next look at what the EtcdCluster has to do first: as many as it has waited
    so far, within bounds.
    """
    ready, least, most = obj.status.condition(reasons.READY), *LOOKS
    since = ready.last_transition_time if ready is not None and ready.status != "True" else now
    return min(max(least, (now - since).total_seconds()), most)


def superseded(obj: EtcdBackup, cluster: EtcdCluster | None, now: datetime) -> bool:
    """Whether trying on is of no use: a later backup is due, or there is nothing to back up.

    One whose slot is yet to come was due by a clock that was wrong: it would be tried until then.
    """
    mine = slot(obj)
    if mine is None:
        return False
    latest = cluster.status.last_backup_slot if cluster is not None else None
    return cluster is None or is_ahead(mine, now) or (latest is not None and latest > mine)


def member_to_ask(cluster: EtcdCluster) -> str | None:
    """A healthy member, rather a follower: reading all data should not slow the leader."""
    ready = [member for member in cluster.status.members if member.ready]
    ready.sort(key=lambda member: (member.role != "Follower", member.name))
    return ready[0].name if ready else None
