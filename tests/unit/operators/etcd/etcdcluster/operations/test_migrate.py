"""Members that are to be elsewhere: each gets a successor before it leaves."""

from __future__ import annotations

from tests.unit.operators.etcd.builders import (
    a_pod,
    a_world,
    action,
    decided,
    doing,
    formed,
    learner,
    listed,
    says,
    seen,
    with_state,
)

from kok.kube.apply.serverside import index
from kok.operators.etcd import reasons
from kok.operators.etcd.etcdcluster.observed.model import Observed


def test_a_member_on_the_wrong_class_gets_a_successor_first() -> None:
    obj = formed(storage={"className": "slow"})
    world = a_world(obj)
    obj.spec.storage.class_name = "fast"

    found = action(obj, world)

    assert found.reason == reasons.MOVING
    assert found.states == {"shop-etcd-3": "Joining"}
    assert found.operation is not None
    assert found.operation.replaces == "shop-etcd-1", "the leader comes last"


def test_the_one_whose_place_was_taken_leaves() -> None:
    obj = with_state(formed(storage={"className": "slow"}), 3, "Member", id="id-3")
    doing(obj, "Migrate", member="shop-etcd-3", replaces="shop-etcd-1")
    world = seen(obj, (*listed(), learner(3, votes=True)))
    obj.spec.storage.class_name = "fast"

    found = action(obj, world)

    assert found.states == {"shop-etcd-1": "Leaving"}
    assert found.operation is not None
    assert found.operation.type == "Migrate"


def test_a_successor_that_is_not_healthy_yet_is_not_the_one_that_leaves() -> None:
    obj = with_state(formed(1, storage={"className": "slow"}), 3, "Member", id="id-3")
    doing(obj, "Migrate", member="shop-etcd-3", replaces="shop-etcd-0")
    world = seen(obj, (listed(1)[0], learner(3, votes=True)))
    unready = a_pod(obj, 3, ready=False)
    world = Observed({**world.children, **index([unready])}, world.answers)
    obj.spec.storage.class_name = "fast"

    found = action(obj, world)

    assert found.states == {}
    assert found.operation is not None
    assert (found.operation.type, found.operation.step) == ("Migrate", "Waiting")


def test_a_move_that_is_not_wanted_any_more_is_given_up() -> None:
    obj = with_state(formed(storage={"className": "slow"}), 3, "Joining")
    doing(obj, "Migrate", member="shop-etcd-3", replaces="shop-etcd-1")

    found = action(obj, seen(obj, listed(), a3=None))

    assert found.states == {"shop-etcd-3": "Leaving"}
    assert "need not move any more" in found.message


def test_nobody_is_moved_while_a_member_is_not_healthy() -> None:
    obj = formed(storage={"className": "slow"})
    world = a_world(obj, {0: says(0), 1: says(1)})
    obj.spec.storage.class_name = "fast"

    assert decided(obj, world) is None
