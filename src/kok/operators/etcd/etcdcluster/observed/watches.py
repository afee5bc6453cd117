"""Since when this process has looked at an EtcdCluster without a gap.

Patience that ends with a loss of data counts only time that was watched. What was true before the
operator was away need not have been true meanwhile: after a power cut that took operator and members
alike, members are given as long to come back as if they had gone at the moment of the first look.
Kept in memory: a process that begins has seen nothing, and nothing is written for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.runtime.controller.reconciler import Key

GAP = timedelta(minutes=2)
"""How long after a look nothing is known any more; several times the pause between two looks."""


@dataclass(frozen=True, slots=True)
class Watch:
    """An unbroken row of looks: its first and its last one."""

    since: datetime
    last: datetime


def looked(before: Watch | None, now: datetime) -> Watch:
    """One more look; a clock that was set is a gap, too. Pure."""
    if before is None or not timedelta() <= now - before.last <= GAP:
        return Watch(now, now)
    return Watch(before.since, now)


def counted(since: datetime, observed: Observed, now: datetime) -> datetime:
    """From when on to count what has been so since `since`: only while it was watched. Pure."""
    return max(since, observed.watched_since or now)


class Watches:
    """The rows of looks at all EtcdClusters."""

    def __init__(self) -> None:
        self._rows: dict[Key, Watch] = {}

    def look(self, key: Key, now: datetime) -> datetime:
        """Notes a look; since when there has been no gap."""
        row = self._rows[key] = looked(self._rows.get(key), now)
        return row.since

    def forget(self, key: Key) -> None:
        """There is nothing to be looked at any more."""
        self._rows.pop(key, None)
