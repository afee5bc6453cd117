"""Which members leave, the leader last, and never one whom the quorum needs."""

from __future__ import annotations

from tests.unit.operators.etcd.builders import (
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

from kok.etcdclient.model import ListedMember
from kok.operators.etcd import naming, reasons
from kok.operators.etcd.etcdcluster.operations.action import MoveLeader, Remove


def test_the_highest_number_leaves_first() -> None:
    found = action(wants(formed(), 1), a_world(formed()))

    assert found.states == {"shop-etcd-2": "Leaving"}
    assert (found.reason, found.call) == (reasons.SHRINKING, None)


def test_the_leader_stays_where_another_can_leave() -> None:
    answers = {n: says(n, leader=2) for n in range(3)}

    assert action(wants(formed(), 1), a_world(formed(), answers)).states == {
        "shop-etcd-1": "Leaving"
    }


def test_one_that_is_not_healthy_leaves_first() -> None:
    found = action(wants(formed(), 1), a_world(formed(), {0: says(0), 2: says(2)}))

    assert found.states == {"shop-etcd-1": "Leaving"}


def test_a_member_that_leaves_is_removed_by_its_id() -> None:
    obj = doing(with_state(wants(formed(), 1), 2, "Leaving"), "Shrink", member="shop-etcd-2")

    found = action(obj, a_world(formed()))

    assert found.call == Remove("https://10.0.0.1:2379", "shop-etcd-2", "id-2")


def test_a_leader_that_leaves_hands_over_first() -> None:
    obj = with_state(wants(formed(), 1), 2, "Leaving")
    answers = {n: says(n, leader=2, applied_index=10 + n) for n in range(3)}

    found = action(obj, a_world(formed(), answers))

    assert found.call == MoveLeader("https://10.0.0.3:2379", "shop-etcd-1", "id-1")


def test_nobody_is_removed_whom_the_quorum_needs() -> None:
    obj = with_state(wants(formed(), 1), 2, "Leaving")

    found = action(obj, a_world(formed(), {0: says(0), 2: says(2)}))

    assert found.call is None
    assert "stays until enough others are healthy" in found.message


def test_a_member_that_is_wanted_again_before_it_left_stays() -> None:
    obj = doing(with_state(formed(), 2, "Leaving"), "Shrink", member="shop-etcd-2")

    found = action(obj, a_world(obj))

    assert found.states == {"shop-etcd-2": "Member"}
    assert found.call is None


def test_one_that_etcd_does_not_list_any_more_has_left() -> None:
    obj = with_state(wants(formed(), 1), 2, "Leaving")

    found = action(obj, seen(obj, listed(2)))

    assert found.states == {"shop-etcd-2": "Left"}


def test_a_learner_that_was_given_up_before_etcd_answered_is_removed() -> None:
    obj = formed()
    obj.status.next_member = 4
    world = seen(obj, (*listed(), learner(3, started=False)))

    assert action(obj, world).call == Remove(
        "https://10.0.0.1:2379",
        naming.peer_url("shop-etcd", "team-a", "shop-etcd-3"),
        "id-3",
    )


def test_a_member_that_somebody_else_added_is_left_alone_but_counts() -> None:
    obj = formed()
    foreign = ListedMember("id-9", "mine", ("https://elsewhere:2380",), (), False)

    assert decided(obj, seen(obj, (*listed(), foreign))) is None
    assert decided(wants(obj, 5), seen(obj, (*listed(), foreign))) is None
