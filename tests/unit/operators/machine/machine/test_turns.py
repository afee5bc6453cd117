"""Machines that no KubeNode stages turn to another address or CA one after the other."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from tests.unit.operators.machine import builders
from tests.unit.operators.machine.views import ACCESS, MEMBER, NODE, machine_view, observed, seen

from kok.operators.machine.machine.access_rollout import PATIENCE, SETTLED, AccessRollout
from kok.operators.machine.machine.kubelet_change import JOIN
from kok.operators.machine.machine.reconcile import MachineReconciler
from kok.operators.machine.machine.steps import Idle, Join

SINCE = "2026-11-02T11:00:00Z"
SHOP, OTHER = ("team-a", "shop"), ("team-b", "shop")


def settled() -> AccessRollout:
    """AccessRollout of an operator that was started some time ago."""
    now = 0.0
    rollout = AccessRollout(lambda: now)
    now = SETTLED
    return rollout


def test_the_next_one_waits_until_the_one_before_serves_again() -> None:
    rollout = settled()
    assert rollout.free(SHOP, "a")
    rollout.take(SHOP, "a")
    assert rollout.free(SHOP, "a")
    assert not rollout.free(SHOP, "b")
    assert rollout.free(OTHER, "b"), "each cluster has rollout of its own"
    rollout.over(SHOP, "b")
    assert not rollout.free(SHOP, "b"), "only who has it gives it on"
    rollout.over(SHOP, "a")
    assert rollout.free(SHOP, "b")


def test_one_that_never_serves_again_does_not_stop_all_others() -> None:
    now = 0.0
    rollout = AccessRollout(lambda: now)
    rollout.take(SHOP, "a")
    now = PATIENCE - 1
    rollout.take(SHOP, "a")
    assert not rollout.free(SHOP, "b")
    now = PATIENCE
    assert rollout.free(SHOP, "b")
    rollout.take(SHOP, "b")
    assert not rollout.free(SHOP, "a")


def test_after_a_restart_the_turn_goes_on_of_the_one_that_had_it() -> None:
    now = 0.0
    rollout = AccessRollout(lambda: now)
    assert not rollout.free(SHOP, "b"), "nobody knows yet who turned last"
    rollout.keep(SHOP, "a")
    rollout.keep(SHOP, "c")
    now = SETTLED
    assert not rollout.free(SHOP, "b")
    assert rollout.free(SHOP, "a")
    rollout.over(SHOP, "a")
    assert rollout.free(SHOP, "b")


async def test_one_that_turned_and_was_not_heard_of_since_is_waited_for() -> None:
    """Its Node is Ready for most of a minute, whatever became of its kubelet."""
    reconciler = MachineReconciler.__new__(MachineReconciler)
    reconciler.rollout = settled()
    around = observed(node=NODE, access=replace(ACCESS, server="https://192.0.2.99:6443"))
    ready = {"type": "Ready", "status": "True", "reason": "X", "lastTransitionTime": SINCE}
    first = builders.machine(metadata={"uid": "a"})
    status = {"firstReady": SINCE, "conditions": [ready], "kubeletChange": {"job": JOIN}}
    turned = machine_view(
        first, memory=seen(first, identity=MEMBER), objects=observed(node=NODE), status=status
    )
    reconciler._decide(cast("Any", SimpleNamespace(obj=first, status=turned.status)), turned)
    other = builders.machine(metadata={"uid": "b"})
    given = machine_view(
        other,
        memory=seen(other, identity=MEMBER),
        objects=around,
        status={"firstReady": SINCE, "conditions": [ready]},
    )
    p = SimpleNamespace(obj=other, status=given.status, paused=False)
    assert isinstance(reconciler._decide(cast("Any", p), given)[1].step, Idle)
    before = cast("Any", SimpleNamespace(obj=first, status=turned.status))
    reconciler._give_turn_on(before, turned)
    assert isinstance(reconciler._decide(cast("Any", p), given)[1].step, Idle)
    turned.status.kubelet_change = None
    reconciler._give_turn_on(before, turned)
    assert isinstance(reconciler._decide(cast("Any", p), given)[1].step, Join)


async def test_of_those_that_serve_one_joins_anew_and_those_that_do_not_wait_for_nobody() -> None:
    reconciler = MachineReconciler.__new__(MachineReconciler)
    reconciler.rollout = settled()
    around = observed(node=NODE, access=replace(ACCESS, server="https://192.0.2.99:6443"))

    def decided(name: str, ready: str, *, paused: bool = False) -> Any:
        machine = builders.machine(metadata={"uid": name})
        condition = {"type": "Ready", "status": ready, "reason": "X", "lastTransitionTime": SINCE}
        given = machine_view(
            machine,
            memory=seen(machine, identity=MEMBER),
            objects=around,
            status={"firstReady": SINCE, "conditions": [condition]},
        )
        p = SimpleNamespace(obj=machine, status=given.status, paused=paused)
        return reconciler._decide(cast("Any", p), given)[1].step

    assert isinstance(decided("a", "True", paused=True), Join), "told, but not done"
    assert isinstance(decided("b", "True"), Join)
    assert isinstance(decided("a", "True"), Idle)
    assert isinstance(decided("b", "True"), Join)
    assert isinstance(decided("c", "False"), Join)
    reconciler.rollout.over(("team-a", "shop"), "b")
    assert isinstance(decided("a", "True"), Join)
