"""Numbers of things, and shares of them."""

from __future__ import annotations

import pytest

from kok.api.shares import resolved


@pytest.mark.parametrize(
    ("of", "total", "number"),
    [("25%", 100, 25), ("25%", 3, 1), ("1%", 1, 1), ("50%", 5, 2), (0, 9, 0), (4, 2, 4)],
)
def test_a_share_is_rounded_down_and_never_nothing(of: int | str, total: int, number: int) -> None:
    assert resolved(of, total) == number
