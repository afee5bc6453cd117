"""Durations, and what the models take beside the API server's own checks."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from kok.api.fields import Duration, Quantity, seconds, span


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


@pytest.mark.parametrize("text", ["", "5", "m", "-1h", "1.5h", "1 h", "1d"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        Holder(duration=text)


@pytest.mark.parametrize("text", ["8Gi", "512Mi", "2", "0.5", "100m", "1.5Gi"])
def test_amounts_are_taken(text: str) -> None:
    assert Holder(quantity=text).quantity == text
