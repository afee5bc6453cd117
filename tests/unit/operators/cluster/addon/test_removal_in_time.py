"""How much of a removal is begun by when."""

from __future__ import annotations

from datetime import timedelta

from kok.operators.cluster.addon.delete import REMOVAL, _due


def test_one_step_after_the_other_is_begun_and_all_of_them_before_the_time_is_over() -> None:
    found = [_due(3, timedelta(seconds=at), REMOVAL) for at in (0, 10, 15, 30, 45, 59)]
    assert found == [1, 1, 2, 3, 4, 4]
