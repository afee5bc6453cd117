"""Figures of members in the status: true, and still while nothing happens that matters."""

from __future__ import annotations

import pytest
from tests.unit.operators.etcd.builders import NOW, a_world, formed, report, says

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.operators.etcd.etcdcluster.conditions import figures
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.observed.model import Answer

QUOTA = 6_871_947_673


def reported(obj: EtcdCluster, answers: dict[int, Answer]) -> EtcdCluster:
    report(Assessment.of(obj, a_world(obj, answers), NOW), None, None, None)
    return obj


def test_each_member_tells_its_share_of_the_quota_its_lag_and_its_format() -> None:
    answers = {
        0: says(0, db_size=QUOTA // 2, raft_index=50_000, applied_index=50_000),
        1: says(1, applied_index=45_000, storage_version="3.5.0"),
    }

    first, second, third = reported(formed(), answers).status.members

    assert (first.quota_used, first.raft_lag, first.storage_version) == (50, 0, "3.6.0")
    assert (second.quota_used, second.raft_lag, second.storage_version) == (0, 1000, "3.5.0")
    assert (third.quota_used, third.raft_lag) == (None, None), "it did not answer"


def test_what_a_member_was_last_seen_with_stays_but_for_its_lag() -> None:
    obj = reported(formed(), {n: says(n, db_size=QUOTA // 2) for n in range(3)})

    last = reported(obj, {0: says(0), 1: says(1)}).status.members[2]

    assert (last.quota_used, last.storage_version, last.raft_lag) == (50, "3.6.0", None)


def test_clients_that_write_do_not_make_the_status_change() -> None:
    obj = reported(formed(), {n: says(n) for n in range(3)})
    before = obj.status.model_dump()

    busy = {n: says(n, raft_index=9000 + n, applied_index=8900 - 300 * n) for n in range(3)}
    reported(obj, busy)

    assert obj.status.model_dump() == before


def test_a_member_of_another_cluster_is_no_measure() -> None:
    answers = {0: says(0), 1: says(1), 2: says(2, cluster_id="other", raft_index=10**6)}

    lags = figures.lags(formed(), a_world(formed(), answers))

    assert lags == {"shop-etcd-0": 0, "shop-etcd-1": 0}


@pytest.mark.parametrize(
    ("lag", "shown"), [(0, 0), (999, 0), (1000, 1000), (9999, 1000), (123_456, 100_000)]
)
def test_lags_are_told_in_steps(lag: int, shown: int) -> None:
    assert figures.coarse(lag) == shown
