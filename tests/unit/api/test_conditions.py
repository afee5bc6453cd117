"""Conditions: truthful, and quiet when nothing is new."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from kok.api.meta import Status

NOON = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOON + timedelta(minutes=5)


@pytest.fixture
def status() -> Status:
    """One that was Ready at noon."""
    found = Status()
    found.set_condition("Ready", True, "AllGood", "fine", now=NOON, generation=1)
    return found


def test_a_first_condition_counts_as_a_change() -> None:
    assert Status().set_condition("Ready", False, "Waiting", now=NOON)


def test_a_message_rules_no_terminal() -> None:
    status = Status()
    status.set_condition("Ready", False, "Waiting", "it said \x1b[2J\u202e\nmore", now=NOON)
    assert [c.message for c in status.conditions] == ["it said ?[2J?\nmore"]


def test_none_means_unknown(status: Status) -> None:
    assert status.set_condition("Ready", None, "NoAnswer", now=LATER)
    found = status.condition("Ready")
    assert found is not None
    assert found.status == "Unknown"
    assert not status.is_true("Ready")


def test_what_stays_the_same_needs_no_write(status: Status) -> None:
    before = status.manifest()
    assert not status.set_condition("Ready", True, "AllGood", "fine", now=LATER, generation=1)
    assert status.manifest() == before


def test_a_new_reason_keeps_the_time_of_the_last_change(status: Status) -> None:
    assert not status.set_condition("Ready", True, "StillGood", "better", now=LATER)
    found = status.condition("Ready")
    assert found is not None
    assert (found.reason, found.message) == ("StillGood", "better")
    assert found.last_transition_time == NOON.replace(microsecond=0)


def test_a_change_of_status_moves_the_time(status: Status) -> None:
    assert status.set_condition("Ready", False, "Broken", now=LATER)
    found = status.condition("Ready")
    assert found is not None
    assert found.last_transition_time == LATER.replace(microsecond=0)


def test_times_are_written_as_kubernetes_does(status: Status) -> None:
    east = timezone(timedelta(hours=2))
    status.set_condition("Other", True, "Yes", now=NOON.astimezone(east))
    (_, other) = status.manifest()["conditions"]
    assert other["lastTransitionTime"] == "2026-11-22T12:00:00Z"


def test_conditions_keep_their_order(status: Status) -> None:
    status.set_condition("EtcdReady", True, "Yes", now=NOON)
    status.set_condition("Ready", False, "No", now=LATER)
    assert [c.type for c in status.conditions] == ["Ready", "EtcdReady"]


def test_conditions_that_say_nothing_more_can_go(status: Status) -> None:
    status.drop_conditions(["Ready", "NeverThere"])
    assert status.conditions == []


def test_a_message_never_outgrows_what_kubernetes_takes(status: Status) -> None:
    status.set_condition("Ready", True, "AllGood", "x" * 40000, now=LATER)
    assert Status.model_validate(status.manifest()).condition("Ready") is not None
