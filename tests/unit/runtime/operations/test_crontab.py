"""When what recurs is due."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kok.runtime.operations import crontab

SIX_HOURLY = "0 */6 * * *"


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 11, 1, hour, minute, second, tzinfo=UTC)


@pytest.mark.parametrize(
    ("after", "now", "due"),
    [
        (at(0), at(5, 59, 59), None),
        (at(0), at(6), at(6)),
        (at(0), at(6, 0, 30), at(6)),
        (at(6), at(6, 0, 30), None),
        (at(0), at(23), at(18)),
    ],
    ids=["not yet", "to the second", "late", "already made", "only the latest of those missed"],
)
def test_a_slot_is_due_once(after: datetime, now: datetime, due: datetime | None) -> None:
    assert crontab.last_due(SIX_HOURLY, after, now) == due


def test_the_next_slot_is_told() -> None:
    assert crontab.next_due(SIX_HOURLY, at(6)) == at(12)


def test_what_is_no_schedule_is_told() -> None:
    assert crontab.problem(SIX_HOURLY) is None
    assert crontab.problem("0 25 * * *")
    assert crontab.last_due("0 25 * * *", at(0), at(6)) is None
    assert crontab.next_due("0 25 * * *", at(0)) is None
