"""Clocks that are wrong, those of members and that which recorded a time. Pure functions.

etcd itself works with any clock: it waits by monotonic time, and of a peer's clock it says no more
than a line in its log. What a wrong clock does is that certificates which hold are taken for invalid.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.operators.etcd.etcdbackup.schedule import is_ahead
from kok.operators.etcd.etcdcluster.certificates import certificates
from kok.operators.etcd.etcdcluster.observed import Answer, World


def past(when: datetime | None, now: datetime) -> datetime | None:
    """A time that was recorded; None for one that is yet to come, by a clock that was wrong or is:
    what was recorded then is as good as not known.
    """
    return when if when is not None and not is_ahead(when, now) else None


def is_recent(when: datetime | None, now: datetime, within: timedelta) -> bool:
    """Whether a time that was recorded lies no further back than that; not if it is yet to come."""
    known = past(when, now)
    return known is not None and now - known < within


def trouble(obj: EtcdCluster, world: World, answer: Answer, now: datetime) -> str | None:
    """What is wrong with a member's clock, if by it certificates are not valid.

    Whose clock is right nobody can tell from here, but the operator's is the one by which
    certificates are made. Where they are invalid by that one as well, no clock is to blame.
    """
    if answer.clock is None:
        return None
    why = certificates.invalid_at(obj, world.secrets, answer.clock)
    if why is None or why == certificates.invalid_at(obj, world.secrets, now):
        return None
    off = (answer.clock - now).total_seconds()
    side = "ahead of" if off > 0 else "behind"
    return f"its clock is {_roughly(abs(off))} {side} the operator's, so that for it certificates {why}"


def _roughly(seconds: float) -> str:
    """A span that reads the same from pass to pass.

    >>> _roughly(1801.4), _roughly(7300.0), _roughly(900_000.0)
    ('30 minutes', '2 hours', '10 days')
    """
    for size, word in ((86_400, "days"), (3_600, "hours")):
        if seconds >= 2 * size:
            return f"{round(seconds / size)} {word}"
    return f"{round(seconds / 60)} minutes"
