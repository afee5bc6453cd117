"""Machines that no KubeNode stages turn to another address or CA one after the other."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.views import ACCESS, MEMBER, NODE, machine_view, observed, seen

from kok.operators.machine.machine.conditions.report import Outcome
from kok.operators.machine.machine.kubelet_change import JOIN
from kok.operators.machine.machine.operations.host_steps import JoinCluster, Step
from kok.operators.machine.machine.reconcile import MachineReconciler
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.machine_lists import MachineLists
from kok.operators.machine.node.access_rollout import PATIENCE, SETTLED, AccessRollout
from kok.operators.machine.remote.join import ClusterEndpoint
from kok.operators.machine.settings import MachineSettings
from kok.runtime.sandbox.pool import SandboxPool

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


TURNED = replace(ACCESS, server="https://192.0.2.99:6443")


class Turning(MachineReconciler):
    """Decides for Machines that are seen as they are given, and does nothing at hosts."""

    def __init__(self) -> None:
        super().__init__(MachineSettings(), SandboxPool(), MachineLists(lambda: 0.0))
        self.rollout = settled()

    def decided(self, given: MachineView, *, paused: bool = False) -> Step:
        """What a pass decides; whose turn it is by then is noted."""
        p = cast("Any", SimpleNamespace(obj=given.machine, status=given.status, paused=paused))
        view = self._in_turn(given)
        decision = self.decide(p, view)
        p.status, p.now = given.status.model_copy(deep=True), NOW
        self._context = lambda *_: cast("Any", SimpleNamespace(client=None, p=p))  # type: ignore[method-assign]
        self.record(p, view, decision)
        return decision.step

    def ends(self, given: MachineView) -> None:
        """The end of a pass over one that is as it is given."""
        p = cast("Any", SimpleNamespace(obj=given.machine, now=NOW))
        p.status = given.status.model_copy(deep=True)
        self.conditions(p, given, self.decide(p, given), Outcome(), None)


def serving(
    name: str, ready: str = "True", *, endpoint: ClusterEndpoint = TURNED, **status: Any
) -> MachineView:
    machine = builders.machine(metadata={"uid": name})
    condition = {"type": "Ready", "status": ready, "reason": "X", "lastTransitionTime": SINCE}
    return machine_view(
        machine,
        memory=seen(machine, identity=MEMBER),
        objects=observed(node=NODE, endpoint=endpoint),
        status={"firstReady": SINCE, "conditions": [condition], **status},
    )


async def test_one_that_turned_and_was_not_heard_of_since_is_waited_for() -> None:
    """Its Node is Ready for most of a minute, whatever became of its kubelet."""
    reconciler = Turning()
    turned = serving("a", endpoint=ACCESS, kubeletChange={"job": JOIN})
    reconciler.decided(turned)
    assert reconciler.decided(serving("b")).idle
    reconciler.ends(turned)
    assert reconciler.decided(serving("b")).idle
    reconciler.ends(serving("a", endpoint=ACCESS))
    assert isinstance(reconciler.decided(serving("b")).call, JoinCluster)


async def test_of_those_that_serve_one_joins_anew_and_those_that_do_not_wait_for_nobody() -> None:
    reconciler = Turning()

    def joins(name: str, ready: str, *, paused: bool = False) -> bool:
        return isinstance(reconciler.decided(serving(name, ready), paused=paused).call, JoinCluster)

    assert joins("a", "True", paused=True), "told, but not done"
    assert joins("b", "True")
    assert reconciler.decided(serving("a")).idle
    assert joins("b", "True")
    assert joins("c", "False")
    reconciler.rollout.over(("team-a", "shop"), "b")
    assert joins("a", "True")
