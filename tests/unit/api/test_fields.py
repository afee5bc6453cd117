"""Durations, and what the models take beside the API server's own checks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from kok.api.fields import Duration, Quantity, Resources, seconds, span


class Holder(BaseModel):
    """Fields of these types."""

    duration: Duration = "1s"
    quantity: Quantity = "1"


@pytest.mark.parametrize(
    ("text", "length"),
    [("0s", 0), ("90s", 90), ("1h30m", 5400), ("720h", 2_592_000), ("250ms", 0.25), ("1m1m", 120)],
)
def test_durations_add_up(text: str, length: float) -> None:
    assert seconds(text) == length
    assert span(text) == timedelta(seconds=length)


@given(
    st.lists(
        st.tuples(st.integers(0, 9999), st.sampled_from(["ms", "s", "m", "h"])),
        min_size=1,
        max_size=4,
    )
)
def test_every_duration_that_is_taken_has_a_length(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{n}{unit}" for n, unit in parts)
    assert Holder(duration=text).duration == text
    assert seconds(text) == sum(seconds(f"{n}{unit}") for n, unit in parts)


@pytest.mark.parametrize("digits", [1, 6, 7, 9, 31, 5000])
@pytest.mark.parametrize("unit", ["ms", "s", "m", "h"])
def test_no_duration_leads_beyond_the_dates(digits: int, unit: str) -> None:
    """Those of objects that were stored before the form had a bound, too."""
    text = "9" * digits + unit
    if len(text) <= 32:
        assert Holder(duration=text).duration == text
    now = datetime(2026, 11, 29, tzinfo=UTC)
    assert now < now + span(text) < datetime(4000, 1, 1, tzinfo=UTC)
    assert now + span("999999h" * 4) > now + timedelta(days=400 * 365)


@pytest.mark.parametrize("text", ["", "5", "m", "-1h", "1.5h", "1 h", "1d"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Holder(duration=text)


@pytest.mark.parametrize(
    "text",
    ["8Gi", "512Mi", "2", "0.5", ".5", "100m", "1.5Gi", "1Pi", "2Ei", "3e8", "3E-2", "5u", "1P"],
)
def test_amounts_are_taken(text: str) -> None:
    assert Holder(quantity=text).quantity == text


def test_a_whole_number_is_the_text_that_it_stands_for() -> None:
    assert Holder.model_validate({"quantity": 1}).quantity == "1"
    assert Resources.model_validate({"limits": {"cpu": 2}}).limits == {"cpu": "2"}


@pytest.mark.parametrize("value", [True, 0.5, "1e999999999", "-1", "8GB"])
def test_other_amounts_are_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        Holder.model_validate({"quantity": value})
