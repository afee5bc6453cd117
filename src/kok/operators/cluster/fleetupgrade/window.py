"""When Clusters may be raised. Pure; all times are in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from kok.api.cluster.fleetstatus import FleetWindowStatus
from kok.api.cluster.fleetupgrade import FleetWindow
from kok.api.fields import span
from kok.runtime.operations import crontab


@dataclass(frozen=True, slots=True)
class Window:
    """How it is now."""

    is_open: bool
    recorded: FleetWindowStatus | None = None
    """To be recorded: the one that was open last."""
    changes: datetime | None = None
    """When it closes, or opens; None if it never does."""
    problem: str | None = None
    """Why nobody can tell when it opens."""


def window_now(
    spec: FleetWindow | None, recorded: FleetWindowStatus | None, born: datetime, now: datetime
) -> Window:
    """The window of a FleetUpgrade that was created at `born`.

    One that opened and closed while nobody could look is open as of now, for as long as it would
    have been. While an object is paused it is looked at: what passes then is not caught up with.
    """
    if spec is None:
        return Window(is_open=True)
    if problem := crontab.problem(spec.cron):
        return Window(is_open=False, recorded=recorded, problem=problem)
    length = span(spec.duration)
    due = crontab.last_due(spec.cron, recorded.due if recorded else born - length, now)
    if due is not None:
        recorded = FleetWindowStatus(due=due, opened=now.replace(microsecond=0))
    if recorded is None:
        return Window(is_open=False, changes=crontab.next_due(spec.cron, now))
    missed = recorded.opened >= recorded.due + length
    end = (recorded.opened if missed else recorded.due) + length
    if now < end:
        return Window(is_open=True, recorded=recorded, changes=end)
    return Window(is_open=False, recorded=recorded, changes=crontab.next_due(spec.cron, now))
