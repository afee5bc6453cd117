"""Members that lost their data, or were removed by somebody else: others get their places."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

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
    without,
)

from kok.api.etcd.etcdcluster import EtcdReplacement
from kok.operators.etcd import reasons

VOLUME_1 = ("PersistentVolumeClaim", "shop-etcd-1")


def test_a_lost_member_is_given_up_while_the_others_have_a_quorum() -> None:
    world = without(a_world(formed(), {0: says(0), 2: says(2)}, p1=None), VOLUME_1)

    found = action(formed(), world)

    assert found.states == {"shop-etcd-1": "Leaving"}
    assert found.operation is not None
    assert (found.operation.type, found.operation.replaces) == ("Replace", "shop-etcd-1")
    assert "PersistentVolumeClaim shop-etcd-1, is gone" in found.operation.reason


def test_a_lost_member_whom_the_quorum_needs_is_kept() -> None:
    quorum = {0: says(0), 1: says(1, quorum=False, leader=None)}
    lost = without(a_world(formed(), quorum, p2=None), ("PersistentVolumeClaim", "shop-etcd-2"))

    assert decided(formed(), lost) is None


def test_a_lost_member_that_is_one_too_many_is_only_removed() -> None:
    world = without(a_world(formed(), {0: says(0), 2: says(2)}, p1=None), VOLUME_1)

    found = action(wants(formed(), 1), world)

    assert found.operation is not None
    assert found.operation.type == "Shrink"


def test_a_member_that_was_removed_behind_our_back_is_replaced() -> None:
    obj = formed()

    found = action(obj, seen(obj, listed(2), a2=None))

    assert found.states == {"shop-etcd-2": "Leaving"}
    assert found.operation is not None
    assert "by somebody else" in found.operation.reason


def test_nobody_counts_as_removed_while_members_disagree_on_the_list() -> None:
    obj = formed()
    forced = replace(says(0), members=listed(1))

    assert decided(obj, seen(obj, listed(3), a0=forced)) is None


def test_the_place_of_a_lost_member_is_given_to_a_new_one() -> None:
    obj = formed()
    obj.status.members = [m for m in obj.status.members if m.name != "shop-etcd-1"]
    doing(obj, "Replace", replaces="shop-etcd-1")

    found = action(obj, seen(obj, tuple(one for one in listed() if one.id != "id-1")))

    assert found.states == {"shop-etcd-3": "Joining"}
    assert found.operation is not None
    assert (found.operation.type, found.operation.replaces) == ("Replace", "shop-etcd-1")
    assert found.reason == reasons.REPLACING


def test_a_learner_that_lost_its_data_is_given_up_and_the_next_one_waits_a_while() -> None:
    obj = with_state(wants(formed(), 5), 3, "Joining", id="id-3")
    doing(obj, "Grow", member="shop-etcd-3")
    world = seen(obj, (*listed(), learner(3)), a3=None)
    world = without(world, ("PersistentVolumeClaim", "shop-etcd-3"), ("Pod", "shop-etcd-3-0"))

    given_up = action(obj, world)

    assert given_up.states == {"shop-etcd-3": "Leaving"}
    assert given_up.operation is not None
    assert (given_up.operation.type, given_up.operation.attempts) == ("Grow", 1)
    after = wants(formed(), 5)
    after.status.operation = given_up.operation
    assert action(after, a_world(formed()), seconds=9).states == {}
    again = action(after, a_world(formed()), seconds=11)
    assert set(again.states) == {"shop-etcd-3", "shop-etcd-4"}


def test_no_more_than_three_members_are_replaced_within_an_hour() -> None:
    obj = formed()
    obj.status.replacements = [
        EtcdReplacement(member=f"shop-etcd-{n}", at=NOW - timedelta(minutes=n), reason="lost")
        for n in (50, 20, 10)
    ]
    world = without(a_world(formed(), {0: says(0), 2: says(2)}, p1=None), VOLUME_1)

    told = action(obj, world)

    assert (told.states, told.call) == ({}, None)
    assert "find out what takes their data" in told.message
    assert action(obj, world, minutes=11).states == {"shop-etcd-1": "Leaving"}
