"""What is done next about members: one thing at a time, and never what could lose a write."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.unit.operators.etcd.builders import (
    NOW,
    a_world,
    action,
    decided,
    doing,
    formed,
    learner,
    listed,
    says,
    seen,
    wants,
    with_state,
)

from kok.operators.etcd.etcdcluster import decide

# --- at rest


def test_nothing_is_done_about_a_healthy_cluster_of_the_right_size() -> None:
    assert decided(formed(), a_world(formed())) is None


def test_nothing_is_done_before_there_is_a_cluster() -> None:
    obj = formed()
    obj.status.cluster_id = None

    assert decided(wants(obj, 5), a_world(formed())) is None


def test_nothing_is_done_without_a_quorum() -> None:
    obj = wants(formed(), 5)
    answers = {n: says(n, quorum=False, leader=None) for n in range(3)}

    assert decided(obj, a_world(formed(), answers)) is None


def test_an_operation_is_kept_while_there_is_no_quorum() -> None:
    obj = doing(formed(), "Grow", member="shop-etcd-3")
    answers = {n: says(n, quorum=False, leader=None) for n in range(3)}

    found = action(obj, a_world(formed(), answers))

    assert found.operation == obj.status.operation
    assert found.call is None


# --- how often it is looked at


@pytest.mark.parametrize(("age", "after"), [(10, 0.3), (200, 1.0), (1000, 5.0)])
def test_what_is_waited_for_in_vain_is_looked_at_less_often(age: int, after: float) -> None:
    obj = doing(with_state(wants(formed(), 5), 3, "Joining"), "Grow", member="shop-etcd-3")
    waits = action(obj, seen(obj, (*listed(), learner(3, started=False)), a3=None))

    assert decide.patient(waits, waits.after, NOW + timedelta(seconds=age)) == after
