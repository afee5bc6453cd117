"""A majority that is lost for good: nothing without consent, and never two clusters."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.unit.operators.etcd.builders import (
    CLUSTER_ID,
    NOW,
    a_world,
    formed,
    report,
    says,
    without,
)

from kok.api.etcd.etcdcluster import EtcdCluster, EtcdOperation
from kok.api.etcd.status import EtcdHibernation
from kok.operators.etcd import clusterstatus, reasons
from kok.operators.etcd.etcdcluster import render
from kok.operators.etcd.etcdcluster.members import roles, templates
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.observed.model import Answer, Observed
from kok.operators.etcd.etcdcluster.operations import Action, recover, run
from kok.operators.etcd.etcdcluster.operations.recover import SILENCE, Fence, Tell
from kok.operators.etcd.etcdcluster.operations.roll import Restart
from kok.operators.etcd.etcdcluster.restores import rescue
from kok.operators.etcd.settings import Tuning

ALL = ("shop-etcd-0", "shop-etcd-1", "shop-etcd-2")
PATIENCE = Tuning().recover_after
LATER = PATIENCE.total_seconds()


def lost(allow: str = CLUSTER_ID, policy: str = "FromSurvivor") -> EtcdCluster:
    """A cluster that was said to have no quorum at NOW."""
    obj = formed(recovery={"policy": policy, "allowDataLoss": allow})
    obj.status.quorum_lost_at = NOW
    return obj


def lost_five() -> EtcdCluster:
    """The same with five members."""
    five = formed(5, recovery={"policy": "FromSurvivor", "allowDataLoss": CLUSTER_ID})
    five.status.quorum_lost_at = NOW
    return five


def told(obj: EtcdCluster, answers: dict[int, Answer], seconds: float = 0) -> EtcdCluster:
    """The object after a pass in which these members answered."""
    situation = Assessment.of(obj, world_of(obj, answers), NOW + timedelta(seconds=seconds))
    recover.note_logs(situation, report(situation, None, None, run.next_action(situation)))
    return obj


def alone(number: int = 1, **more: Any) -> dict[int, Answer]:
    return {number: says(number, leader=None, quorum=False, **more)}


def world_of(obj: EtcdCluster, answers: dict[int, Answer], **pods: Any) -> Observed:
    return replace(a_world(obj, answers, **pods), worker_image="kok:1")


def decided(obj: EtcdCluster, world: Observed, seconds: float = LATER) -> Action | None:
    return run.next_action(Assessment.of(obj, world, NOW + timedelta(seconds=seconds)))


def recovering(step: str) -> EtcdCluster:
    obj = lost()
    obj.status.operation = EtcdOperation(
        type="Recover", member=ALL[1], step=step, since=NOW, reason="no quorum is left"
    )
    return obj


def test_the_others_are_stopped_before_the_one_that_holds_the_most_goes_on_alone() -> None:
    answers = {
        0: says(0, leader=None, quorum=False, raft_index=7),
        1: says(1, leader=None, quorum=False, raft_index=9),
    }
    five = lost_five()

    found = decided(five, world_of(five, answers))

    assert found is not None
    assert found.operation is not None
    assert (found.operation.member, found.operation.step) == (ALL[1], "Fence")
    assert found.call == Fence((ALL[0], ALL[2], "shop-etcd-3", "shop-etcd-4"))


def test_nothing_is_done_without_consent_for_this_very_cluster() -> None:
    for obj in (lost(policy="Manual"), lost(allow=""), lost(allow="abc")):
        assert decided(obj, world_of(obj, alone())) is None


def test_what_was_not_watched_is_not_waited_through() -> None:
    """The operator was away for hours: a quorum may have been there, or be about to return."""
    obj, back = lost(), NOW + timedelta(hours=2)
    world = replace(world_of(obj, alone()), watched_since=back)

    assert decided(obj, world, 7200) is None
    assert decided(obj, world, 7200 + LATER - 1) is None
    assert decided(obj, world, 7200 + LATER) is not None


def test_a_member_that_told_that_it_holds_more_is_waited_for() -> None:
    less = says(0, leader=None, quorum=False, raft_index=50)
    more = says(1, leader=None, quorum=False, raft_index=100)
    obj = told(lost_five(), {0: less, 1: more})

    assert decided(obj, world_of(obj, {0: less})) is None, "in this very pass it is silent"
    told(obj, {0: less}, seconds=LATER)

    silent = obj.status.members[1]
    assert (silent.log_index, silent.silent_since) == (100, NOW + timedelta(seconds=LATER))
    available = obj.status.condition(reasons.AVAILABLE)
    assert available is not None
    assert "shop-etcd-1 up to index 100 was there before it fell silent" in available.message
    until = LATER + SILENCE.total_seconds()
    assert decided(obj, world_of(obj, {0: less}), until - 1) is None
    again = decided(obj, world_of(obj, {0: less, 1: more}), until - 1)
    assert again is not None
    assert again.operation is not None
    assert again.operation.member == ALL[1]
    gone = decided(obj, world_of(obj, {0: less}), until)
    assert gone is not None
    assert gone.operation is not None
    assert gone.operation.member == ALL[0]


def test_how_long_it_was_silent_counts_only_while_it_was_watched() -> None:
    less = says(0, leader=None, quorum=False, raft_index=50)
    obj = told(lost_five(), {0: less, 1: says(1, leader=None, quorum=False, raft_index=100)})
    told(obj, {0: less}, seconds=LATER)
    world = replace(world_of(obj, {0: less}), watched_since=NOW + timedelta(hours=2))

    assert decided(obj, world, 7200 + LATER) is None


def test_a_member_that_lost_its_volume_is_not_waited_for() -> None:
    less = says(0, leader=None, quorum=False, raft_index=50)
    obj = told(lost_five(), {0: less, 1: says(1, leader=None, quorum=False, raft_index=100)})
    world = without(world_of(obj, {0: less}, p1=None), ("PersistentVolumeClaim", ALL[1]))

    found = decided(obj, world)

    assert found is not None
    assert found.operation is not None
    assert found.operation.member == ALL[0]


def test_what_members_held_is_forgotten_when_a_quorum_is_back() -> None:
    obj = told(lost(), alone(raft_index=2**64 - 1))
    assert obj.status.members[1].log_index == recover.MOST, "the API server takes no more"

    told(obj, {n: says(n) for n in range(3)})

    assert [m.log_index for m in obj.status.members] == [None, None, None]


def test_while_the_others_are_stopped_one_that_holds_more_takes_the_survivors_place() -> None:
    obj = recovering("Fence")
    less = says(1, leader=None, quorum=False, raft_index=50)
    more = says(2, leader=None, quorum=False, raft_index=100)
    world = without(world_of(obj, {1: less, 2: more}), ("StatefulSet", ALL[2]))

    found = decided(obj, world)

    assert found is not None
    assert found.operation is not None
    assert (found.operation.member, found.operation.step) == (ALL[2], "Fence")
    assert found.call == Fence((ALL[0], ALL[1]))
    obj.status.operation = found.operation
    assert roles.may_run(obj, world, ALL[2])
    then = decided(obj, world)
    assert then is not None
    assert then.operation == found.operation, "it stays"


def test_a_consent_is_for_one_loss() -> None:
    obj = lost()
    fence, force = recovering("Fence").status.operation, recovering("Force").status.operation
    recover.use_consent(obj, None, fence, NOW)
    assert obj.status.consent_used_at is None, "nothing was lost by it yet"
    recover.use_consent(obj, fence, force, NOW)
    recover.use_consent(obj, force, None, NOW + timedelta(hours=1))

    assert obj.status.consent_used_at == NOW
    recover.note_consent(obj)
    assert decided(obj, world_of(obj, alone())) is None
    available = told(obj, alone()).status.condition(reasons.AVAILABLE)
    assert available is not None
    assert "is void since 2026-11-01 12:00:00 UTC" in available.message

    obj.spec.recovery.allow_data_loss = ""
    recover.note_consent(obj)
    obj.spec.recovery.allow_data_loss = CLUSTER_ID
    recover.note_consent(obj)
    assert decided(obj, world_of(obj, alone())) is not None


def passed(
    obj: EtcdCluster, answers: dict[int, Answer], later: timedelta = timedelta(), **pods: Any
) -> EtcdCluster:
    """The object after a pass over it, of which only the decisions are made."""
    now = NOW + later
    situation = Assessment.of(obj, world_of(obj, answers, **pods), now)
    still = clusterstatus.stands_still(obj.status)
    decision = None if still else run.next_action(situation)
    available = report(situation, None, None, decision)
    recover.lapse(obj, available, now)
    rescue.note(obj, available, now)
    recover.use_consent(obj, obj.status.operation, decision.operation if decision else None, now)
    obj.status.operation = decision.operation if decision else None
    return obj


WHOLE = {n: says(n) for n in range(3)}
MUCH_LATER = timedelta(days=200)


def test_a_consent_is_void_when_its_loss_has_passed_by_itself() -> None:
    for obj in (lost(), recovering("Fence")):
        passed(obj, alone())
        passed(obj, WHOLE, timedelta(seconds=30))

        passed(obj, alone(), MUCH_LATER)
        passed(obj, alone(), MUCH_LATER + PATIENCE)

        assert obj.status.operation is None
        available = obj.status.condition(reasons.AVAILABLE)
        assert available is not None
        assert "is void since 2026-11-01 12:00:30 UTC" in available.message


def test_a_consent_does_not_outlive_its_loss_in_sleep() -> None:
    obj = passed(lost(), alone())
    obj.status.hibernation = EtcdHibernation(step="Stopping", since=NOW)
    passed(obj, {})
    obj.status.hibernation = None
    passed(obj, WHOLE)

    passed(obj, alone(), MUCH_LATER)
    passed(obj, alone(), MUCH_LATER + PATIENCE)

    assert obj.status.operation is None


def test_a_consent_that_was_given_beforehand_is_for_the_next_loss() -> None:
    obj = lost()
    obj.status.quorum_lost_at = None
    passed(obj, WHOLE)

    passed(obj, alone(), MUCH_LATER)
    passed(obj, alone(), MUCH_LATER + PATIENCE)

    assert obj.status.operation is not None
    assert obj.status.operation.step == "Fence"


def test_nothing_is_done_while_a_quorum_may_come_back() -> None:
    obj = lost()
    two = {n: says(n, leader=None, quorum=False) for n in range(2)}

    assert decided(obj, world_of(obj, alone()), seconds=LATER - 1) is None
    assert decided(obj, world_of(obj, two)) is None
    assert decided(obj, world_of(obj, {})) is None, "nobody knows what anybody holds"


def test_it_is_called_off_if_the_quorum_returns_before_the_others_are_gone() -> None:
    obj = recovering("Fence")
    whole = world_of(obj, {n: says(n) for n in range(3)})
    going = without(whole, ("StatefulSet", ALL[0]), ("StatefulSet", ALL[2]))

    for world in (whole, going):
        found = decided(obj, world)

        assert found is not None
        assert (found.reason, found.operation, found.states) == (reasons.QUORUM, None, {})
        text = "a quorum has returned by itself; nothing was lost"
        assert found.call == Tell(reasons.RECOVERY_CALLED_OFF, text)


def test_it_is_called_off_if_the_consent_is_taken_back_before_the_others_are_gone() -> None:
    obj = recovering("Fence")
    obj.spec.recovery.policy = "Manual"
    world = world_of(obj, alone(), p0=None)
    going = without(world, ("StatefulSet", ALL[0]), ("StatefulSet", ALL[2]))

    found = decided(obj, going)

    assert found is not None
    assert (found.operation, found.states) == (None, {})
    text = "the consent was taken back; nothing was lost"
    assert found.call == Tell(reasons.RECOVERY_CALLED_OFF, text)


def test_nobody_else_runs_meanwhile() -> None:
    obj = recovering("Force")
    world = world_of(obj, alone(), p0=None, p2=None)

    assert [roles.may_run(obj, world, name) for name in ALL] == [False, True, False]


def test_the_survivor_is_forced_only_once_the_others_are_gone() -> None:
    obj = recovering("Fence")
    world = world_of(obj, alone(), p0=None, p2=None)
    gone = without(world, ("StatefulSet", ALL[0]), ("StatefulSet", ALL[2]))

    waits, goes = decided(obj, world), decided(obj, gone)

    assert waits is not None
    assert waits.call == Fence((ALL[0], ALL[2]))
    assert goes is not None
    assert goes.operation is not None
    assert goes.operation.step == "Force"


def test_the_order_to_go_on_alone_is_taken_back_before_anybody_joins() -> None:
    forced, settled = recovering("Force"), recovering("Settle")
    world = world_of(forced, alone(), p0=None, p2=None)
    order = {"name": "ETCD_FORCE_NEW_CLUSTER", "value": "true"}

    assert order in _etcd(templates.target(forced, world, ALL[1]))["env"]
    assert order not in _etcd(templates.target(settled, world, ALL[1]))["env"]
    found = decided(forced, world)
    assert found is not None
    assert found.call == Restart(ALL[1])


def test_the_data_is_copied_first_by_a_container_with_no_more_rights_than_etcd() -> None:
    obj = lost()
    made = render.forced(render.statefulset(obj, ALL[1], "x"), "before", "kok:1")
    pod = made["spec"]["template"]["spec"]

    (copy,) = pod["initContainers"]
    assert copy["image"] == "kok:1"
    assert copy["securityContext"] == pod["containers"][0]["securityContext"]
    assert "cp -a data before.part" in copy["command"][-1]
    before = render.statefulset(obj, ALL[1], "x")["spec"]["template"]
    assert templates.notes(made["spec"]["template"]) != templates.notes(before)


def _etcd(owner: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = owner["spec"]["template"]["spec"]["containers"][0]
    return found
