"""Who the members are is what a majority of them says, never what one says of the others."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY
from tests.unit.operators.etcd.builders import (
    CLUSTER_ID,
    NOW,
    a_world,
    action,
    decided,
    doing,
    fails,
    formed,
    learner,
    listed,
    report,
    says,
    seen,
    wants,
    with_state,
)

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.etcdclient.model import Alarm, EtcdError, ListedMember, Trouble
from kok.operators.etcd import reasons
from kok.operators.etcd.etcdcluster.members import health, roles
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.metrics import show
from kok.operators.etcd.etcdcluster.observed.model import Answer, Observed
from kok.operators.etcd.etcdcluster.operations import recover, run
from kok.operators.etcd.etcdcluster.operations.recover import Tell
from kok.operators.etcd.etcdcluster.restores import rescue
from kok.operators.etcd.settings import Tuning

SILENT = fails(EtcdError(Trouble.SILENT, "does not answer in time"))
NUMBERS = (0, 1, 2, 3, 4)


def listing(*numbers: int) -> tuple[ListedMember, ...]:
    return tuple(one for one in listed(5) if one.id in {f"id-{n}" for n in numbers})


def tells(number: int, *of: int) -> Answer:
    """Member `number`, which leads, answers with a list of these."""
    return replace(says(number, leader=number), members=listing(*of))


def world_of(obj: EtcdCluster, answers: dict[int, Answer]) -> Observed:
    """All pods are ready; members that are not among the answers are silent."""
    children = seen(obj, ()).children
    names = {m.name: int(m.name.rpartition("-")[2]) for m in obj.status.members}
    return Observed(children, {name: answers.get(n, SILENT) for name, n in names.items()})


def after(obj: EtcdCluster, world: Observed, passes: int) -> EtcdCluster:
    """The object after some passes at a second's distance that all see the same."""
    for second in range(passes):
        s = Assessment.of(obj, world, NOW + timedelta(seconds=second))
        run.record(obj, run.next_action(s), s.now)
    return obj


def states(obj: EtcdCluster) -> dict[str, int]:
    found = [m.state for m in obj.status.members]
    return {state: found.count(state) for state in set(found)}


# --- what fewer than a majority says


@pytest.mark.parametrize(
    ("count", "answers"),
    [
        (3, {0: tells(0, 0)}),
        (3, {0: tells(0, 0, 1)}),
        (5, {0: tells(0, 0)}),
        (5, {0: tells(0, 0, 1, 2), 1: tells(1, 0, 1, 2)}),
    ],
)
def test_nobody_leaves_by_the_word_of_fewer_than_a_majority(
    count: int, answers: dict[int, Answer]
) -> None:
    obj = formed(count)

    after(obj, world_of(obj, answers), passes=900)

    assert states(obj) == {"Member": count}


def test_nobody_leaves_by_the_word_of_one_while_another_is_on_its_way_out() -> None:
    obj = with_state(formed(), 2, "Leaving")
    doing(obj, "Replace", replaces="shop-etcd-2")

    after(obj, world_of(obj, {0: tells(0, 0)}), passes=900)

    assert states(obj) == {"Member": 2, "Leaving": 1}


def test_whose_list_lacks_a_member_is_told() -> None:
    obj = formed()

    views = Assessment.of(obj, world_of(obj, {0: tells(0, 0)}), NOW).members

    lacks = "the list of members that shop-etcd-0 tells lacks it"
    assert [lacks in (view.entry.message or "") for view in views] == [False, True, True]


def test_an_id_that_one_member_made_up_for_another_removes_nobody() -> None:
    """Before the others have answered for the first time, IDs are learnt from its list."""
    obj = formed()
    for member in obj.status.members[1:]:
        member.id = None
    made_up = tuple(
        replace(one, id=f"{one.id}-not") if one.id != "id-0" else one for one in listed()
    )
    health.learn(obj, seen(obj, made_up, a1=None, a2=None), roles.members_of(obj))
    honest = seen(obj, listed(), a2=SILENT)
    whole = seen(obj, listed())

    after(obj, honest, passes=900)
    health.learn(obj, whole, roles.members_of(obj))

    assert states(obj) == {"Member": 3}
    assert [m.id for m in obj.status.members] == ["id-0", "id-1", "id-2"]
    assert all(v.condition == "healthy" for v in Assessment.of(obj, whole, NOW).members)


# --- what a majority says, in each state on the way


def test_a_majority_suffices() -> None:
    obj = formed(5)
    answers = {n: tells(n, 0, 1, 2, 3) for n in (0, 1, 2)}

    found = action(obj, world_of(obj, answers))

    assert found.states == {"shop-etcd-4": "Leaving"}


def test_a_member_that_our_own_call_removed_is_not_waited_for() -> None:
    """The other one of two alone is a majority then, even if the answer to that call was lost."""
    obj = wants(with_state(formed(2), 1, "Leaving"), 1)
    doing(obj, "Shrink", member="shop-etcd-1", step="Removing")

    found = action(obj, world_of(obj, {0: tells(0, 0)}))

    assert found.states == {"shop-etcd-1": "Left"}


def test_while_it_still_votes_it_counts() -> None:
    obj = wants(with_state(formed(2), 1, "Leaving"), 1)
    doing(obj, "Shrink", member="shop-etcd-1")
    one = world_of(obj, {0: tells(0, 0, 1)})
    both = world_of(obj, {0: tells(0, 0, 1), 1: tells(1, 0, 1)})

    assert Assessment.of(obj, one, NOW).listed is None
    assert Assessment.of(obj, both, NOW).listed == listing(0, 1)


def test_a_learner_is_not_asked_and_one_that_votes_is() -> None:
    """It got its vote, and before that was recorded one of the others fell silent."""
    obj = with_state(formed(3), 2, "Joining")
    doing(obj, "Grow", member="shop-etcd-2")
    three = (*listing(0, 1), learner(2, votes=True))
    learns = seen(obj, (*listing(0, 1), learner(2)), a2=None)
    votes = seen(obj, three, a1=SILENT)

    assert Assessment.of(obj, learns, NOW).listed == (*listing(0, 1), learner(2))
    assert action(obj, votes).states["shop-etcd-2"] == "Member"


def test_the_first_of_a_cluster_that_grows_is_its_majority() -> None:
    obj = with_state(formed(1), 1, "Joining")
    doing(wants(obj, 3), "Grow", member="shop-etcd-1")

    assert Assessment.of(obj, world_of(obj, {0: tells(0, 0)}), NOW).listed == listing(0)


def test_members_of_somebody_else_are_not_waited_for() -> None:
    obj = formed(1)

    assert Assessment.of(obj, world_of(obj, {0: tells(0, *NUMBERS)}), NOW).listed == listed(5)


@pytest.mark.parametrize(("step", "agreed"), [("Fence", False), ("Force", True), ("Settle", True)])
def test_a_survivor_is_believed_alone_once_it_goes_on_alone(step: str, agreed: bool) -> None:
    obj = doing(formed(), "Recover", member="shop-etcd-1", step=step)

    found = Assessment.of(obj, world_of(obj, {1: tells(1, 1)}), NOW).listed

    assert found == (listing(1) if agreed else None)


# --- what is told of whether there is a quorum


def foreign(number: int, **more: Any) -> Answer:
    """A member that was made a cluster of its own, with another ID."""
    return replace(says(number, leader=number, cluster_id="other", **more), members=listing(number))


def observed(obj: EtcdCluster, answers: dict[int, Answer]) -> EtcdCluster:
    """The object after a pass that saw these answers, all others' pods being gone."""
    gone = {f"p{n}": None for n in NUMBERS if n not in answers}
    s = Assessment.of(obj, a_world(obj, answers, **gone), NOW)
    available = report(s, None, None, run.next_action(s))
    rescue.note(obj, available, NOW)
    recover.note_logs(s, available)
    show(obj, s.observed)
    return obj


def says_of(obj: EtcdCluster) -> tuple[str, str, float | None]:
    """Status and reason of Available, and what Prometheus sees of the quorum."""
    found = obj.status.condition(reasons.AVAILABLE)
    assert found is not None
    at = {"namespace": obj.namespace, "name": obj.name}
    return found.status, found.reason, REGISTRY.get_sample_value("kok_etcd_quorum", at)


def test_the_word_of_a_foreign_member_is_no_quorum() -> None:
    ours = says(1, leader=None, quorum=False)
    for answers in ({0: foreign(0)}, {0: foreign(0), 1: ours}, {0: foreign(0), 2: foreign(2)}):
        obj = observed(formed(recovery={"policy": "FromBackup"}), answers)

        assert says_of(obj) == ("False", reasons.QUORUM_LOST, 0)
        assert obj.status.quorum_lost_at == NOW, "what the policy says is begun"
        assert obj.status.leader is None


def test_what_members_held_is_not_forgotten_by_the_word_of_a_foreign_one() -> None:
    obj = observed(formed(), {1: says(1, leader=None, quorum=False)})

    observed(obj, {0: foreign(0)})

    assert obj.status.members[1].log_index == 10


def test_an_alarm_of_a_foreign_member_is_none_of_ours() -> None:
    raised = (Alarm("id-1", "CORRUPT"),)

    obj = observed(formed(), {0: foreign(0, alarms=raised), 1: says(1), 2: says(2)})

    assert obj.status.alarms == []


@pytest.mark.parametrize(
    ("count", "answers"),
    [(3, {0: tells(0, 0)}), (5, {0: tells(0, 0, 1, 2), 1: tells(1, 0, 1, 2)})],
)
def test_a_list_that_lacks_members_and_that_no_majority_tells_is_no_quorum(
    count: int, answers: dict[int, Answer]
) -> None:
    obj = observed(formed(count), answers)

    assert says_of(obj) == ("False", reasons.MEMBERS_DISAGREE, 0)
    available, ready = (obj.status.condition(t) for t in (reasons.AVAILABLE, reasons.READY))
    assert available is not None
    assert "answers with a list of members that lacks" in available.message
    assert ready is not None
    assert ready.reason == reasons.MEMBERS_DISAGREE


@pytest.mark.parametrize(
    ("obj", "answers"),
    [
        (formed(), {0: tells(0, 0, 1, 2)}),
        (formed(), {0: tells(0, 0, 1), 1: tells(1, 0, 1)}),
        (with_state(formed(2), 1, "Leaving"), {0: tells(0, 0)}),
        (with_state(formed(1), 1, "Joining", id="id-1"), {0: tells(0, 0)}),
    ],
    ids=["it names all", "a majority says so", "one has left", "one is to join"],
)
def test_one_member_is_enough_where_its_list_is_the_clusters(
    obj: EtcdCluster, answers: dict[int, Answer]
) -> None:
    assert says_of(observed(obj, answers))[:2] == ("True", reasons.QUORUM)


def test_a_member_that_refuses_the_operator_tells_of_a_quorum_by_a_list_of_ours_alone() -> None:
    """As with etcd's authentication: it tells no status, and so not of which cluster it is."""
    error = EtcdError(Trouble.DENIED, "permission denied")

    def refuses(*ids: str) -> Answer:
        told = tells(0, 0, 1, 2).members or ()
        given = tuple(replace(one, id=id_) for one, id_ in zip(told, ids, strict=True))
        return Answer(None, given, error)

    ours = world_of(formed(), {0: refuses("id-0", "id-1", "id-2")})
    assert roles.has_quorum(formed(), ours)
    another = world_of(formed(), {0: refuses("id-7", "id-1", "id-2")})
    assert not roles.has_quorum(formed(), another)


# --- where one member's word is enough to leave things alone


def allowed(**status: Any) -> EtcdCluster:
    obj = formed(recovery={"policy": "FromSurvivor", "allowDataLoss": CLUSTER_ID})
    obj.status.set_condition(
        reasons.AVAILABLE, False, reasons.QUORUM_LOST, "", now=NOW, generation=1
    )
    return doing(obj, "Recover", **status) if status else obj


def test_no_recovery_begins_while_anybody_finds_a_quorum() -> None:
    """The operator may be cut off from the others, which are no less a quorum for that."""
    obj = allowed()
    found = world_of(obj, {0: tells(0, 0, 1, 2)})
    world = Observed(found.children, found.answers, worker_image="kok:1")

    assert decided(obj, world, seconds=2 * Tuning().recover_after.total_seconds()) is None


def test_one_that_finds_a_quorum_calls_a_recovery_off() -> None:
    obj = allowed(member="shop-etcd-0", step="Fence")
    text = "a quorum has returned by itself; nothing was lost"

    found = action(obj, world_of(obj, {0: tells(0, 0, 1, 2)}))

    assert found.operation is None
    assert found.call == Tell(reasons.RECOVERY_CALLED_OFF, text)
