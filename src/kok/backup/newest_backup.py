"""Which of several backups is the newest, although clocks were or are wrong. Pure functions.

Times are told by clocks, that by which they are looked at among them. Revisions are not: while an
etcd cluster has its ID, a higher one was written later, unless a member went on alone after the loss
of a quorum. Where times and revisions contradict each other, nobody but a person can tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

SKEW = timedelta(minutes=10)
"""By how much the clocks of nodes, and those by which backups are looked at, may differ."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is known of a backup."""

    name: str
    """For people."""
    when: datetime
    """When it was begun, as clocks say."""
    revision: int | None
    cluster: str | None
    """ID of the etcd cluster; only revisions of one can be compared."""
    is_certain: bool = True
    """Whether the clocks that told the time agree."""


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest by the clocks, and by its revision where clocks contradict each other."""

    index: int
    against: int | None = None
    """One that is newer by what else is known: then nobody knows which is the newest."""


def newest(backups: Sequence[Candidate], now: datetime) -> Newest | None:
    """Which of them is the newest; None if there are none.

    One whose time is yet to come, or in doubt, is the newest only if it holds no less than the newest
    of the others: of two clocks one is wrong, and it may be that which tells `now`.
    """
    if not backups:
        return None
    everyone = range(len(backups))
    latest = _latest(backups, everyone)
    sure = [i for i in everyone if backups[i].is_certain and backups[i].when <= now + SKEW]
    known = _latest(backups, sure) if sure else latest
    if not _same_cluster(backups[known], backups[latest]):
        return Newest(latest, known)
    best = known if _holds_more(backups[known], backups[latest]) else latest
    mine = backups[best]
    more = [i for i in everyone if _holds_more(backups[i], mine) and _is_apart(backups[i], mine)]
    return Newest(best, max(more, key=lambda i: backups[i].revision or 0) if more else None)


def doubt(one: Candidate, other: Candidate) -> str:
    """The sentence for two of which nobody knows which is the newer one."""
    return (
        f"nobody can tell whether {one.name} ({_said(one)}) or {other.name} ({_said(other)}) is the "
        "newest, since a clock was or is wrong"
    )


def _latest(backups: Sequence[Candidate], some: Sequence[int]) -> int:
    return max(some, key=lambda i: (backups[i].when, backups[i].revision or 0))


def _same_cluster(one: Candidate, other: Candidate) -> bool:
    """Whether revisions tell which is the newer one; a backup is always of its own cluster."""
    comparable = None not in {one.revision, other.revision, one.cluster}
    return one is other or (comparable and one.cluster == other.cluster)


def _holds_more(one: Candidate, other: Candidate) -> bool:
    if one.revision is None or other.revision is None:
        return False
    return _same_cluster(one, other) and one.revision > other.revision


def _is_apart(one: Candidate, other: Candidate) -> bool:
    """Whether what is written within that time is no matter of clocks."""
    return abs(one.when - other.when) > SKEW


def _said(one: Candidate) -> str:
    revision = f", revision {one.revision}" if one.revision is not None else ""
    return f"of {one.when:%Y-%m-%d %H:%M:%S} UTC{revision}"
