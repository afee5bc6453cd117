"""Operations of any kind: which one has the pass, how it is told of, how often it is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from kok.runtime.operations.action import Action, first, patient, transition

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PAUSES = ((timedelta(minutes=15), 5.0), (timedelta(minutes=3), 1.0))


@dataclass(frozen=True)
class Recorded:
    """An operation as a status has it."""

    type: str
    since: datetime = NOW
    reason: str = "the spec says so"
    step: str = ""


GROW, SHRINK = Recorded("Grow"), Recorded("Shrink")


def test_the_first_plan_that_has_something_to_do_has_the_pass() -> None:
    def never(_: int) -> None:
        return None

    def grow(have: int) -> Action[Recorded, None] | None:
        return Action("Growing", f"{have} and one", GROW) if have < 3 else None

    def shrink(have: int) -> Action[Recorded, None]:
        return Action("Shrinking", f"{have} less one", SHRINK)

    found = [first((never, grow, shrink), have) for have in (2, 3)]
    assert [action and action.reason for action in found] == ["Growing", "Shrinking"]
    assert first((never,), 1) is None


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (None, None, []),
        (None, GROW, ["OperationBegun"]),
        (GROW, Recorded("Grow", step="Adding"), []),
        (GROW, Recorded("Grow", since=NOW + timedelta(1)), ["OperationBegun"]),
        (GROW, SHRINK, ["OperationBegun"]),
        (GROW, None, ["OperationFinished"]),
    ],
)
def test_people_hear_of_the_beginning_and_the_end_alone(
    before: Recorded | None, after: Recorded | None, told: list[str]
) -> None:
    assert [reason for reason, _ in transition(before, after)] == told


@pytest.mark.parametrize(("age", "after"), [(10, 0.3), (200, 1.0), (1000, 5.0)])
def test_what_is_waited_for_in_vain_is_looked_at_less_often(age: int, after: float) -> None:
    assert patient(GROW, 0.3, NOW + timedelta(seconds=age), PAUSES) == after
    assert patient(None, 0.3, NOW + timedelta(seconds=age), PAUSES) == 0.3
