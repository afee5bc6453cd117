"""Pure parts of the end of a pass."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.fakeapi import merge

from kok.kube.errors import KubeError, TooManyRequests
from kok.runtime.controller.errors import Invalid, Paused, Wait
from kok.runtime.controller.outcome import Outcome, backoff, classify, delay_after, merge_patch
from kok.runtime.settings import Settings

LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
VALUES = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=3) | st.lists(LEAVES, max_size=2),
    lambda inner: st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=2), VALUES, max_size=4)


@given(OBJECTS, OBJECTS)
def test_a_patch_leads_from_one_to_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert merge(before, merge_patch(before, after)) == after


@given(OBJECTS)
def test_no_difference_needs_no_patch(one: dict[str, Any]) -> None:
    assert merge_patch(one, one) == {}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Wait("A", "a"), ("wait", "A", "a")),
        (Invalid("B", "b"), ("invalid", "B", "b")),
        (Paused("PUT x"), ("paused", "Paused", "spec.paused is true; not done: PUT x")),
        (KubeError(500, "", "c"), ("error", "InternalError", "c")),
        (KubeError(403, "Forbidden", "d"), ("error", "Forbidden", "d")),
    ],
)
def test_errors_become_reasons(error: Exception, expected: tuple[str, str, str]) -> None:
    assert classify(error) == expected


def test_back_off_grows_from_one_second_to_five_minutes() -> None:
    settings = Settings()
    delays = [backoff(n, settings, 1.0) for n in range(1, 12)]
    assert delays[:4] == [1, 2, 4, 8]
    assert delays[-1] == 300
    assert backoff(1, settings, 0.0) == 0.75
    assert backoff(10_000, settings, 1.0) == 300


def test_a_server_that_asks_for_time_gets_it() -> None:
    error = TooManyRequests(429, "TooManyRequests", "slow down", {"retryAfterSeconds": 20})
    outcome = Outcome("error", after=error.retry_after, error=error)
    assert delay_after(outcome, 1, Settings(), 0.5) == 20
