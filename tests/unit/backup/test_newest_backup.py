"""Which backup is the newest, whatever clock was or is wrong."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.unit.operators.etcd.builders import NOW

from kok.backup.newest_backup import Candidate, doubt, newest

HOUR, DAY, YEAR = timedelta(hours=1), timedelta(days=1), timedelta(days=365)


def hourly(count: int = 48) -> list[Candidate]:
    """`h0` is the newest, of now."""
    return [Candidate(f"h{n}", NOW - n * HOUR, 1000 - n, "abc") for n in range(count)]


def found(backups: list[Candidate], now: timedelta = timedelta()) -> tuple[str, str | None]:
    """The newest one, and what is told against it."""
    one = newest(backups, NOW + now)
    assert one is not None
    return backups[one.index].name, None if one.against is None else backups[one.against].name


def test_of_none_there_is_no_newest() -> None:
    assert newest([], NOW) is None


@pytest.mark.parametrize("now", [timedelta(), -DAY, -YEAR, YEAR])
def test_whoever_looks_may_have_a_clock_that_is_wrong(now: timedelta) -> None:
    assert found(hourly(), now) == ("h0", None)


@pytest.mark.parametrize("certain", [True, False])
def test_one_of_a_clock_that_was_ahead_is_not_the_newest(*, certain: bool) -> None:
    ahead = Candidate("ahead", NOW + YEAR, 3, "abc", is_certain=certain)
    assert found([ahead, *hourly()]) == ("h0", None)


def test_of_a_clock_that_was_ahead_for_all_the_latest_is_the_newest_all_the_same() -> None:
    ahead = [Candidate(f"a{n}", NOW + YEAR - n * HOUR, 2000 - n, "abc") for n in range(3)]
    assert found([*hourly(), *ahead]) == ("a0", None)


def test_one_of_a_clock_that_was_behind_is_not_passed_over_in_silence() -> None:
    behind = Candidate("behind", NOW - 400 * DAY, 2000, "abc")
    assert found([*hourly(), behind]) == ("h0", "behind")


def test_of_two_clusters_nobody_can_compare_revisions() -> None:
    ahead = Candidate("ahead", NOW + YEAR, 3, "of before")
    assert found([ahead, *hourly()]) == ("ahead", "h0")
    assert found([*hourly(), Candidate("earlier", NOW - DAY / 2, 9000, "of before")]) == (
        "h0",
        None,
    )


def test_what_is_made_within_minutes_is_not_told_apart_by_revisions() -> None:
    """A member that lags a little gives a snapshot of a revision a little lower."""
    backups = [
        Candidate("first", NOW - timedelta(seconds=30), 7, "abc"),
        Candidate("last", NOW, 6, "abc"),
    ]
    assert found(backups) == ("last", None)


def test_a_doubt_names_both_with_what_speaks_for_each() -> None:
    text = doubt(Candidate("a", NOW, 3, "x"), Candidate("b", NOW - DAY, 4, "x"))
    assert "a (of 2026-11-01 12:00:00 UTC, revision 3)" in text
    assert "b (of 2026-10-31 12:00:00 UTC, revision 4)" in text
