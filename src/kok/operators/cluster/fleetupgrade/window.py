"""When Clusters may be raised. Pure; all times are in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from kok.api.cluster.fleetstatus import FleetWindowStatus
from kok.api.cluster.fleetupgrade import FleetUpgrade, FleetWindow
from kok.api.fields import span
from kok.runtime.operations import crontab

EVER = datetime.min.replace(tzinfo=UTC)
"""After this all is due that ever was."""


@dataclass(frozen=True, slots=True)
class Window:
    """How it is now."""

    is_open: bool
    recorded: FleetWindowStatus | None = None
    """To be recorded: the one that was due last."""
    changes: datetime | None = None
    """When it closes, or opens; None if it never does."""
    problem: str | None = None
    """Why nobody can tell when it opens."""


def window_of(fleet: FleetUpgrade, now: datetime, *, catches_up: bool = True) -> Window:
    """The window of a FleetUpgrade; `catches_up`: whether one that was missed could have been used."""
    status = fleet.status
    seen = status.phase is not None or status.started_at is not None
    born = None if seen else fleet.metadata.creation_timestamp
    return window_now(fleet.spec.window, status.window, born, now, catches_up=catches_up)


def window_now(
    spec: FleetWindow | None,
    recorded: FleetWindowStatus | None,
    born: datetime | None,
    now: datetime,
    *,
    catches_up: bool = True,
) -> Window:
    """The window of a FleetUpgrade, of which `recorded` is what was seen last.

    One that opened and closed while nobody could look is open as of now, for as long as it would
    have been. Without `catches_up` it is not: it could not have been used. Nor is one that passed before
    somebody wrote the window, or changed its schedule; `born` is when that was created of which nothing was
    ever seen, and None for any other.
    """
    if spec is None:
        return Window(is_open=True)
    if problem := crontab.problem(spec.cron):
        kept = recorded and recorded.model_copy(update={"cron": spec.cron})
        return Window(is_open=False, recorded=kept, problem=problem)
    length, coming = span(spec.duration), crontab.next_due(spec.cron, now)
    due = crontab.last_due(spec.cron, EVER, now)
    if due is None:
        return Window(is_open=False, changes=coming)
    seen = _seen(spec, recorded)
    if seen is None or due > seen.due:
        looked = now if recorded is not None or born is None else born - length
        looked = seen.due if seen is not None else looked
        missed = catches_up and due > looked and now >= due + length
        opened = now.replace(microsecond=0) if missed else due
        seen = FleetWindowStatus(due=due, opened=opened, cron=spec.cron)
    end = seen.opened + length
    if now < end:
        return Window(is_open=True, recorded=seen, changes=end)
    return Window(is_open=False, recorded=seen, changes=coming)


def _seen(spec: FleetWindow, recorded: FleetWindowStatus | None) -> FleetWindowStatus | None:
    """What was seen last of this schedule; None where that was another one.

    A record without a schedule is of an operator that did not write it: it is of this one if it was due by
    it. In it `opened` is when that operator first looked, unless the window was over by then and caught up
    with.
    """
    if recorded is None or recorded.cron == spec.cron:
        return recorded
    if recorded.cron or crontab.last_due(spec.cron, EVER, recorded.due) != recorded.due:
        return None
    caught_up = recorded.opened >= recorded.due + span(spec.duration)
    opened = recorded.opened if caught_up else recorded.due
    return FleetWindowStatus(due=recorded.due, opened=opened, cron=spec.cron)
