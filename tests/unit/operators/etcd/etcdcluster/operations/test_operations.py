"""What is done next about members: one thing at a time, and never what could lose a write."""

from __future__ import annotations

from tests.unit.operators.etcd.builders import (
    a_world,
    action,
    decided,
    doing,
    formed,
    says,
    wants,
)

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
