"""What is done next about members: one thing at a time, and never what could lose a write."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.operators.etcd.builders import (
    NOW,
    a_pod,
    a_world,
    formed,
    listed,
    says,
    without,
)

from kok.api.etcdcluster import EtcdCluster, EtcdMember, EtcdOperation, EtcdReplacement
from kok.kube.apply import index
from kok.operators.etcd import engine, layout, plan, reasons, render
from kok.operators.etcd.client import Listed
from kok.operators.etcd.observe import World
from kok.operators.etcd.operations import Action
from kok.operators.etcd.operations.calls import AddLearner, MoveLeader, Nudge, Promote, Remove
from kok.operators.etcd.situation import Situation


def decided(obj: EtcdCluster, world: World, **later: float) -> Action | None:
    return engine.decide(Situation.of(obj, world, NOW + timedelta(**later)))


def action(obj: EtcdCluster, world: World, **later: float) -> Action:
    found = decided(obj, world, **later)
    assert found is not None
    return found


def wants(obj: EtcdCluster, members: int) -> EtcdCluster:
    obj.spec.members = members
    return obj


def with_state(obj: EtcdCluster, number: int, state: Any, **more: Any) -> EtcdCluster:
    """The member in another state; one that there is not yet is added."""
    name = f"{obj.name}-{number}"
    if name not in [m.name for m in obj.status.members]:
        obj.status.members.append(EtcdMember(name=name))
    for member in obj.status.members:
        if member.name == name:
            member.state = state
            for key, value in more.items():
                setattr(member, key, value)
    return obj


def doing(obj: EtcdCluster, type_: Any, **more: Any) -> EtcdCluster:
    obj.status.operation = EtcdOperation(type=type_, since=NOW, reason="because", **more)
    return obj


def learner(number: int, *, started: bool = True, votes: bool = False) -> Listed:
    name = f"shop-etcd-{number}"
    urls = (layout.client_url("shop-etcd", "team-a", name),) if started else ()
    peer = (layout.peer_url("shop-etcd", "team-a", name),)
    return Listed(f"id-{number}", name if started else "", peer, urls, not votes)


def seen(obj: EtcdCluster, members: tuple[Listed, ...], **answers: Any) -> World:
    """Members answer with that list; `a1=...` replaces what member 1 answers, None silences it."""
    said = {}
    for member in obj.status.members:
        number = int(member.name.rpartition("-")[2])
        answer = answers.get(f"a{number}", says(number))
        if answer is not None:
            said[member.name] = replace(answer, members=members if answer.members else None)
    return World(a_world(obj, {}).children, said)


VOLUME_1 = ("PersistentVolumeClaim", "shop-etcd-1")

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


# --- more members


def test_a_new_member_is_recorded_before_anything_is_made_of_it() -> None:
    obj = wants(formed(), 5)

    found = action(obj, a_world(formed()))

    assert (found.reason, found.call) == (reasons.GROWING, None)
    # The second is only prepared.
    assert found.states == {"shop-etcd-3": "Joining", "shop-etcd-4": "Joining"}
    assert found.operation is not None
    assert (found.operation.type, found.operation.member) == ("Grow", "shop-etcd-3")


def test_a_name_is_never_used_twice() -> None:
    obj = wants(formed(), 5)
    obj.status.next_member = 9

    found = action(obj, a_world(formed()))

    assert set(found.states) == {"shop-etcd-9", "shop-etcd-10"}


def test_nobody_is_added_while_a_member_is_not_healthy() -> None:
    obj = wants(formed(), 5)

    assert decided(obj, a_world(formed(), {0: says(0), 1: says(1)})) is None


def test_a_member_that_etcd_does_not_know_is_added() -> None:
    obj = doing(with_state(wants(formed(), 5), 3, "Joining"), "Grow", member="shop-etcd-3")

    found = action(obj, seen(obj, listed(), a3=None))

    url = layout.peer_url("shop-etcd", "team-a", "shop-etcd-3")
    assert found.call == AddLearner("https://10.0.0.1:2379", "shop-etcd-3", url)


def test_another_member_is_asked_where_one_refuses_for_long() -> None:
    obj = doing(with_state(wants(formed(), 5), 3, "Joining"), "Grow", member="shop-etcd-3")
    world = seen(obj, listed(), a3=None)

    calls = [action(obj, world, seconds=seconds).call for seconds in (0, 19, 20, 40, 60)]

    asked = [call.at for call in calls if isinstance(call, AddLearner)]
    assert asked[0] == asked[1] == asked[4]
    assert len({asked[0], asked[2], asked[3]}) == 3


def test_a_member_that_etcd_knows_is_not_added_again() -> None:
    obj = doing(with_state(wants(formed(), 5), 3, "Joining"), "Grow", member="shop-etcd-3")

    found = action(obj, seen(obj, (*listed(), learner(3, started=False)), a3=None))

    assert found.call is None
    assert found.operation is not None
    assert found.operation.step == "Starting"


@pytest.mark.parametrize(
    ("applied", "votes"), [(10, True), (9_000, True), (20, False), (0, False)], ids=str
)
def test_a_learner_gets_its_vote_when_it_has_caught_up_by_its_own_account(
    applied: int, votes: bool
) -> None:
    obj = with_state(wants(formed(), 5), 3, "Joining", id="id-3")
    doing(obj, "Grow", member="shop-etcd-3")
    leads = says(0, raft_index=10_000 if applied != 10 else 10)
    world = seen(
        obj,
        (*listed(), learner(3)),
        a0=leads,
        a3=says(3, is_learner=True, applied_index=applied, quorum=False),
    )

    found = action(obj, world)

    expected = Promote("https://10.0.0.1:2379", "shop-etcd-3", "id-3")
    assert found.call == (expected if votes else None)


def test_a_member_that_votes_is_one() -> None:
    obj = with_state(wants(formed(), 5), 3, "Joining", id="id-3")

    found = action(obj, seen(obj, (*listed(), learner(3, votes=True))))

    assert found.states == {"shop-etcd-3": "Member", "shop-etcd-4": "Joining"}


def test_a_member_whose_turn_comes_later_waits_for_it() -> None:
    obj = with_state(with_state(wants(formed(), 5), 3, "Joining"), 4, "Joining")
    doing(obj, "Grow", member="shop-etcd-3")
    world = seen(obj, (*listed(), learner(3, started=False)), a3=None, a4=None)

    assert action(obj, world).call is None
    assert plan.start_of(obj, world, "shop-etcd-4") is None, "its container cannot start"
    start = plan.start_of(obj, world, "shop-etcd-3")
    assert start is not None
    assert [name for name, _ in start.existing] == [f"shop-etcd-{n}" for n in range(4)]


def test_a_container_that_waited_for_its_list_is_looked_at_again() -> None:
    obj = doing(with_state(wants(formed(), 5), 3, "Joining"), "Grow", member="shop-etcd-3")
    world = seen(obj, (*listed(), learner(3, started=False)), a3=None)
    waits = a_pod(obj, 3, ready=False, state={"waiting": {"reason": "CreateContainerConfigError"}})
    starts = render.start_map(obj, {"shop-etcd-3": plan.start_of(obj, world, "shop-etcd-3")})
    without_list = World({**world.children, **index([waits])}, world.answers)
    with_list = World({**without_list.children, **index([starts])}, world.answers)

    assert action(obj, without_list).call is None
    assert action(obj, with_list).call == Nudge("shop-etcd-3-0", "pod-3")


def test_the_ones_that_are_not_wanted_any_more_are_given_up_and_the_others_go_on() -> None:
    obj = with_state(with_state(wants(formed(1), 5), 3, "Joining"), 4, "Joining")
    obj.spec.members = 3
    with_state(obj, 2, "Member", id="id-2")

    found = action(obj, seen(obj, (listed(1)[0], listed()[2]), a3=None, a4=None))

    assert found.states == {"shop-etcd-4": "Leaving"}


def test_an_operation_ends_when_all_is_as_wanted() -> None:
    obj = doing(formed(), "Grow", member="shop-etcd-2")

    assert decided(obj, a_world(formed())) is None


def test_a_member_that_is_not_wanted_any_more_before_it_votes_is_given_up() -> None:
    obj = doing(with_state(formed(), 3, "Joining"), "Grow", member="shop-etcd-3")

    found = action(obj, seen(obj, (*listed(), learner(3, started=False)), a3=None))

    assert found.states == {"shop-etcd-3": "Leaving"}
    assert found.call is None


# --- fewer members


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
        layout.peer_url("shop-etcd", "team-a", "shop-etcd-3"),
        "id-3",
    )


def test_a_member_that_somebody_else_added_is_left_alone_but_counts() -> None:
    obj = formed()
    foreign = Listed("id-9", "mine", ("https://elsewhere:2380",), (), False)

    assert decided(obj, seen(obj, (*listed(), foreign))) is None
    assert decided(wants(obj, 5), seen(obj, (*listed(), foreign))) is None


# --- lost members


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


# --- moves


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
    world = World({**world.children, **index([unready])}, world.answers)
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


# --- how often it is looked at


@pytest.mark.parametrize(("age", "after"), [(10, 0.3), (200, 1.0), (1000, 5.0)])
def test_what_is_waited_for_in_vain_is_looked_at_less_often(age: int, after: float) -> None:
    obj = doing(with_state(wants(formed(), 5), 3, "Joining"), "Grow", member="shop-etcd-3")
    waits = action(obj, seen(obj, (*listed(), learner(3, started=False)), a3=None))

    assert engine.patient(waits, waits.after, NOW + timedelta(seconds=age)) == after
