"""What was not watched does not count as having been so."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.unit.operators.etcd.builders import NOW

from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.operators.etcd.etcdcluster.observed.watches import GAP, Watch, Watches, counted, looked

KEY = ("team-a", "shop-etcd")
SECOND = timedelta(seconds=1)


def test_looks_without_a_gap_are_one_row() -> None:
    first = looked(None, NOW)
    second = looked(first, NOW + GAP)

    assert first == Watch(NOW, NOW)
    assert second == Watch(NOW, NOW + GAP)


@pytest.mark.parametrize("pause", [GAP + SECOND, timedelta(hours=2), -SECOND])
def test_a_gap_or_a_clock_that_was_set_begins_another_row(pause: timedelta) -> None:
    assert looked(Watch(NOW - GAP, NOW), NOW + pause) == Watch(NOW + pause, NOW + pause)


def test_a_process_that_begins_has_seen_nothing() -> None:
    assert counted(NOW - timedelta(hours=2), Observed(), NOW) == NOW
    assert counted(NOW - timedelta(hours=2), Observed(watched_since=NOW - GAP), NOW) == NOW - GAP
    assert counted(NOW - SECOND, Observed(watched_since=NOW - GAP), NOW) == NOW - SECOND


def test_each_object_has_its_row_and_another_of_its_name_begins_anew() -> None:
    watches = Watches()
    watches.look(KEY, NOW)
    watches.look(("team-b", "shop-etcd"), NOW + SECOND)

    assert watches.look(KEY, NOW + GAP) == NOW
    watches.forget(KEY)
    assert watches.look(KEY, NOW + GAP) == NOW + GAP
    assert watches.look(("team-b", "shop-etcd"), NOW + GAP) == NOW + SECOND
