"""When what recurs is due, by five fields of cron. Pure functions; all times are in UTC."""

from __future__ import annotations

from datetime import datetime, timedelta

from cronsim import CronSim, CronSimError


def problem(cron: str) -> str | None:
    """Why nobody can tell when a schedule is due, or None."""
    try:
        CronSim(cron, datetime(2026, 1, 1))
    except CronSimError as error:
        return str(error)
    return None


def last_due(cron: str, after: datetime, now: datetime) -> datetime | None:
    """The latest minute after `after` and up to `now` at which a schedule is due; None: none was,
    as with no schedule at all.

    Of several that were missed only the latest counts.
    """
    if not cron:
        return None
    minute = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    try:
        found = next(CronSim(cron, minute, reverse=True), None)
    except CronSimError:
        return None
    return found if found is not None and found > after else None


def next_due(cron: str, now: datetime) -> datetime | None:
    """The next minute at which a schedule is due; None if it never is."""
    try:
        return next(CronSim(cron, now), None)
    except CronSimError:
        return None
