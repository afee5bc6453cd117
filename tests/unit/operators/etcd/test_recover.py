"""A majority that is lost for good: nothing without consent, and never two clusters."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.unit.operators.etcd.builders import CLUSTER_ID, NOW, a_world, formed, says, without

from kok.api.etcdcluster import EtcdCluster, EtcdOperation
from kok.operators.etcd import engine, plan, reasons, render, templates
from kok.operators.etcd.observe import Answer, World
from kok.operators.etcd.operations import Action
from kok.operators.etcd.operations.recover import PATIENCE, Fence, Tell
from kok.operators.etcd.operations.roll import Restart
from kok.operators.etcd.situation import Situation

ALL = ("shop-etcd-0", "shop-etcd-1", "shop-etcd-2")
LATER = PATIENCE.total_seconds()


def lost(allow: str = CLUSTER_ID, policy: str = "FromSurvivor") -> EtcdCluster:
    """A cluster that was said to have no quorum at NOW."""
    obj = formed(recovery={"policy": policy, "allowDataLoss": allow})
    obj.status.set_condition(
        reasons.AVAILABLE, False, reasons.QUORUM_LOST, "", now=NOW, generation=1
    )
    return obj


def alone(number: int = 1, **more: Any) -> dict[int, Answer]:
    return {number: says(number, leader=None, quorum=False, **more)}


def world_of(obj: EtcdCluster, answers: dict[int, Answer], **pods: Any) -> World:
    found = a_world(obj, answers, **pods)
    return World(found.children, found.answers, found.storage, "kok:1")


def decided(obj: EtcdCluster, world: World, seconds: float = LATER) -> Action | None:
    return engine.decide(Situation.of(obj, world, NOW + timedelta(seconds=seconds)))


def recovering(step: str) -> EtcdCluster:
    obj = lost()
    obj.status.operation = EtcdOperation(
        type="Recover", member=ALL[1], step=step, since=NOW, reason="no quorum is left"
    )
    return obj


def test_the_others_are_stopped_before_the_one_that_holds_the_most_goes_on_alone() -> None:
    obj = lost()
    answers = {
        0: says(0, leader=None, quorum=False, raft_index=7),
        1: says(1, leader=None, quorum=False, raft_index=9),
    }
    five = formed(5, recovery={"policy": "FromSurvivor", "allowDataLoss": CLUSTER_ID})
    five.status.conditions = obj.status.conditions

    found = decided(five, world_of(five, answers))

    assert found is not None
    assert found.operation is not None
    assert (found.operation.member, found.operation.step) == (ALL[1], "Fence")
    assert found.call == Fence((ALL[0], ALL[2], "shop-etcd-3", "shop-etcd-4"))


def test_nothing_is_done_without_consent_for_this_very_cluster() -> None:
    for obj in (lost(policy="Manual"), lost(allow=""), lost(allow="abc")):
        assert decided(obj, world_of(obj, alone())) is None


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

    assert [plan.may_run(obj, world, name) for name in ALL] == [False, True, False]


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
