"""Clocks that are wrong: a time that was recorded may be yet to come. Pure functions."""

from __future__ import annotations

from datetime import datetime, timedelta

AHEAD = timedelta(minutes=1)
"""By how much the clocks of a meta cluster may differ."""


# --- of what is stored


def is_ahead(when: datetime, now: datetime) -> bool:
    """Whether a time is yet to come, so that of two clocks one was or is wrong."""
    return when > now + AHEAD


def past(when: datetime | None, now: datetime) -> datetime | None:
    """A time that was recorded; None for one that is yet to come, by a clock that was wrong or is:
    what was recorded then is as good as not known.
    """
    return when if when is not None and not is_ahead(when, now) else None


def is_recent(when: datetime | None, now: datetime, within: timedelta) -> bool:
    """Whether a time that was recorded lies no further back than that; not if it is yet to come."""
    known = past(when, now)
    return known is not None and now - known < within


def waits(until: datetime, now: datetime, longest: timedelta) -> bool:
    """Whether the time of the next attempt is yet to come; one further ahead than any delay was
    recorded by a clock that was wrong, and counts as none.
    """
    return now < until <= now + longest
