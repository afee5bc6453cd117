"""What a pass over an EtcdBackup goes on with."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.operators.etcd.builders import NOW
from tests.unit.operators.etcd.etcdbackup.builders import a_backup

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.operators.etcd.etcdbackup import snapshot, trial
from kok.operators.etcd.etcdbackup.decide import REQUEST_MAX, Decision, decide
from kok.operators.etcd.naming import ANNOTATION_VERIFY

AT = NOW.isoformat()
LATER = (NOW + timedelta(seconds=30)).isoformat()


def complete(asked: str = "", **trial_: Any) -> EtcdBackup:
    """One that is stored, with what is recorded of its latest trial."""
    more = {"verification": {"request": "first", "at": AT, **trial_}} if trial_ else {}
    made = a_backup(phase="Complete", **more)
    made.metadata.annotations[ANNOTATION_VERIFY] = asked
    return made


@pytest.mark.parametrize("phase", [None, "Pending", "Running"])
def test_until_it_is_stored_it_is_attempted(phase: str | None) -> None:
    assert decide(a_backup(phase=phase), NOW) == Decision("Attempt", phase or "Pending")


def test_one_that_failed_is_left_alone() -> None:
    assert decide(a_backup(phase="Failed"), NOW) == Decision("Rest", "Failed")


def test_a_trial_begins_when_another_one_is_asked_for() -> None:
    for made in (complete("first"), complete("second", result="Passed")):
        found = decide(made, NOW)

        assert found.step == "Trial"
        assert found.asked is not None
        assert (found.asked.request, found.asked.result, found.asked.at) == (
            made.metadata.annotations[ANNOTATION_VERIFY],
            "Running",
            NOW,
        )


@pytest.mark.parametrize(
    "made", [complete(), complete("first", result="Passed"), complete("", result="Failed")]
)
def test_nothing_is_done_that_was_not_asked_for(made: EtcdBackup) -> None:
    assert decide(made, NOW) == Decision("Rest", "Complete")


def test_a_trial_under_way_comes_to_its_end_before_another_one_begins() -> None:
    assert decide(complete("second", result="Running"), NOW) == Decision("Trial", "Complete")


def test_a_trial_that_failed_waits_for_its_time() -> None:
    made = complete("first", result="Running", attempts=1, retryAt=LATER)

    assert decide(made, NOW) == Decision("Rest", "Complete", after=30.0)
    assert decide(made, NOW + timedelta(minutes=1)).step == "Trial"


def test_no_more_is_recorded_of_a_request_than_its_beginning() -> None:
    found = decide(complete("x" * 1000), NOW)
    assert found.asked is not None
    assert len(found.asked.request) == REQUEST_MAX


def test_only_the_job_of_what_is_under_way_is_looked_at() -> None:
    assert snapshot.job_under_way(a_backup(phase="Pending", attempts=2)) is None
    assert snapshot.job_under_way(a_backup(phase="Running", attempts=2)) == "one-backup-2"
    assert trial.job_under_way(complete("first", result="Running")) is None
    assert trial.job_under_way(complete("first", result="Running", attempts=1)) is not None
    again = complete("first", result="Running", attempts=1, retryAt=LATER)
    assert trial.job_under_way(again) is None
