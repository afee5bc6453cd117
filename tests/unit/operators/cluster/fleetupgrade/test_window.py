"""When Clusters may be raised: windows that open, close, are missed and are caught up with."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kok.api.cluster.fleetstatus import FleetWindowStatus
from kok.api.cluster.fleetupgrade import FleetWindow
from kok.operators.cluster.fleetupgrade.window import window_now

NIGHTS = FleetWindow(cron="0 22 * * *", duration="6h")


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


BORN = at(1, 12)
LAST = FleetWindowStatus(due=at(1, 22), opened=at(1, 22))


@pytest.mark.parametrize(
    ("recorded", "now", "is_open", "changes"),
    [
        (None, at(1, 13), False, at(1, 22)),
        (None, at(1, 22), True, at(2, 4)),
        (LAST, at(2, 3, 59), True, at(2, 4)),
        (LAST, at(2, 4), False, at(2, 22)),
        (LAST, at(2, 22, 1), True, at(3, 4)),
        # Late, but still within it.
        (LAST, at(3, 3), True, at(3, 4)),
        # Nobody could look all night.
        (LAST, at(3, 9), True, at(3, 15)),
        (LAST, at(9, 9), True, at(9, 15)),
    ],
    ids=["before", "opens", "open", "closes", "next", "late", "missed", "missed for a week"],
)
def test_it_opens_and_closes(
    recorded: FleetWindowStatus | None, now: datetime, is_open: bool, changes: datetime
) -> None:
    found = window_now(NIGHTS, recorded, BORN, now)

    assert (found.is_open, found.changes) == (is_open, changes)


def test_one_that_is_caught_up_with_closes_after_as_long_a_time() -> None:
    missed = window_now(NIGHTS, LAST, BORN, at(3, 9)).recorded

    assert missed == FleetWindowStatus(due=at(2, 22), opened=at(3, 9))
    assert window_now(NIGHTS, missed, BORN, at(3, 14, 59)).is_open
    assert not window_now(NIGHTS, missed, BORN, at(3, 15)).is_open
    assert window_now(NIGHTS, missed, BORN, at(3, 22)).is_open


def test_one_that_was_seen_is_not_caught_up_with() -> None:
    seen = window_now(NIGHTS, LAST, BORN, at(2, 22, 5)).recorded

    assert not window_now(NIGHTS, seen, BORN, at(3, 9)).is_open


def test_it_is_open_for_what_is_created_within_it() -> None:
    assert window_now(NIGHTS, None, at(1, 23), at(1, 23, 1)).is_open


def test_without_one_it_is_always_open() -> None:
    assert window_now(None, None, BORN, BORN).is_open


def test_what_is_no_schedule_never_opens_and_is_told() -> None:
    found = window_now(FleetWindow(cron="0 25 * * *", duration="1h"), None, BORN, BORN)

    assert not found.is_open
    assert found.problem
