"""What events say of an object."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from kok.runtime.pods.messages import (
    event_gist,
    last_error_line,
    latest_complaint,
    one_line,
    quoted,
    summaries_of,
    utc_text,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def event(reason: str, note: str, minutes: int, *, uid: str = "u", last: int = 0) -> dict[str, Any]:
    """An event in the form of events.k8s.io, as the older recorders write it."""
    times = [(NOON + timedelta(minutes=m)).isoformat() for m in (minutes, last or minutes)]
    return {
        "regarding": {"uid": uid},
        "reason": reason,
        "note": note,
        "deprecatedFirstTimestamp": times[0].replace("+00:00", "Z"),
        "deprecatedLastTimestamp": times[1].replace("+00:00", "Z"),
        "eventTime": None,
    }


def test_the_last_complaint_counts() -> None:
    told = [
        event("Pulled", "x", 9),
        event("Unhealthy", "a\n  b", 1, last=5),
        event("Unhealthy", "c", 2),
    ]
    found = latest_complaint(summaries_of(told, "u"))
    assert found is not None
    assert found.note == "a b"
    assert (found.since, found.last) == (NOON + timedelta(minutes=1), NOON + timedelta(minutes=5))


def test_only_this_very_object_is_meant() -> None:
    assert summaries_of([event("FailedCreate", "no", 1, uid="of one before")], "u") == []


def test_of_an_event_no_more_is_kept_than_is_read() -> None:
    told = [
        {
            **event("Unhealthy", "a b" * 10**6, 1, last=5),
            "metadata": {"annotations": {"x": "y" * 10**6}},
        },
        {**event("Unhealthy", "newest", 2, last=9), "series": {"lastObservedTime": None}},
        event("Unhealthy", "another's", 3, uid="v"),
    ]
    kept = [found for one in told if (found := event_gist("u", one)) is not None]
    assert len(kept) == 2
    assert len(str(kept)) < 5_000
    assert summaries_of(kept, "u") == summaries_of(told, "u")


def test_a_newer_recorders_series_is_understood() -> None:
    series = {"series": {"lastObservedTime": "2026-01-01T12:09:00.000000Z"}}
    one = {**event("Unhealthy", "statuscode: 401", 3), **series, "eventTime": None}
    found = latest_complaint(summaries_of([one], "u"))
    assert found is not None
    assert found.last == NOON + timedelta(minutes=9)


def test_what_has_no_usable_time_or_endless_text_does_no_harm() -> None:
    broken = {"regarding": {"uid": "u"}, "eventTime": "yesterday", "note": "x"}
    long = event("FailedCreate", "x " * 10**6, 1)
    [word] = summaries_of([broken, long], "u")
    assert len(word.note) <= 400


def test_what_somebody_says_rules_no_terminal() -> None:
    hostile = "a\x1b[2J\x9b1m\u202eb\nc"
    for tell in (one_line, quoted, last_error_line):
        assert tell(hostile).endswith("c")
        assert tell(hostile).isprintable()
    assert one_line(hostile) == "a?[2J?1m?b c"


def test_a_moment_is_told_in_utc() -> None:
    assert utc_text(NOON) == "2026-01-01 12:00:00 UTC"
