"""How members join: recorded, known to etcd, started, caught up, and only then with a vote."""

from __future__ import annotations

import pytest
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
    wants,
    with_state,
)

from kok.kube.apply.serverside import index
from kok.operators.etcd import naming, reasons
from kok.operators.etcd.etcdcluster import render
from kok.operators.etcd.etcdcluster.members import roles
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.operators.etcd.etcdcluster.operations.action import AddLearner, Nudge, Promote


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

    url = naming.peer_url("shop-etcd", "team-a", "shop-etcd-3")
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
    assert roles.start_of(obj, world, "shop-etcd-4") is None, "its container cannot start"
    start = roles.start_of(obj, world, "shop-etcd-3")
    assert start is not None
    assert [name for name, _ in start.existing] == [f"shop-etcd-{n}" for n in range(4)]


def test_a_container_that_waited_for_its_list_is_looked_at_again() -> None:
    obj = doing(with_state(wants(formed(), 5), 3, "Joining"), "Grow", member="shop-etcd-3")
    world = seen(obj, (*listed(), learner(3, started=False)), a3=None)
    waits = a_pod(obj, 3, ready=False, state={"waiting": {"reason": "CreateContainerConfigError"}})
    starts = render.start_map(obj, {"shop-etcd-3": roles.start_of(obj, world, "shop-etcd-3")})
    without_list = Observed({**world.children, **index([waits])}, world.answers)
    with_list = Observed({**without_list.children, **index([starts])}, world.answers)

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
