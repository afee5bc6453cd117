"""A change for which the node is drained: what comes next, and what its Machine says meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.machine.operations.removals import SILENT
from tests.unit.operators.machine.machine.operations.update.updating import (
    CHANGE,
    CORDONED,
    OLD,
    PEOPLES,
    SINCE,
    done,
    view,
)
from tests.unit.operators.machine.machine.shown import message, shown
from tests.unit.operators.machine.test_cluster_version import upgrade
from tests.unit.operators.machine.views import (
    NODE,
)

from kok.kube.errors import Unreachable
from kok.operators.machine.machine import decide, record
from kok.operators.machine.machine.operations import update
from kok.operators.machine.machine.operations.host_steps import Install
from kok.operators.machine.machine.operations.removal import resumed
from kok.operators.machine.machine.operations.update_calls import (
    DEAD,
    EMPTY,
    CordonNode,
    EmptyNode,
    UncordonNode,
)
from kok.operators.machine.machine.view import MachineView


@pytest.mark.parametrize(
    ("given", "step", "call"),
    [
        (view(), "Cordoning", CordonNode),
        (view(step="Cordoning"), "Cordoning", CordonNode),
        # It was done, and its answer lost.
        (view(CORDONED, step="Cordoning"), "Draining", EmptyNode),
        # Somebody else keeps pods away already.
        (view(PEOPLES), "Draining", EmptyNode),
        (view(CORDONED, step="Draining"), "Draining", EmptyNode),
        # Somebody let pods in again.
        (view(OLD, step="Draining", emptied=done(EMPTY)), "Cordoning", CordonNode),
        (view(CORDONED, step="Draining", emptied=done(EMPTY)), "Changing", Install),
        # That was another drain.
        (view(CORDONED, step="Draining", emptied=("before n", EMPTY)), "Draining", EmptyNode),
        # Somebody let pods in since, and has cordoned it again.
        (
            view(replace(CORDONED, closed="9"), step="Draining", emptied=done(EMPTY)),
            "Draining",
            EmptyNode,
        ),
        # A node that does not answer holds nobody up, but for as long as that is so.
        (
            view(replace(CORDONED, ready=None), step="Draining", emptied=done(DEAD)),
            "Changing",
            Install,
        ),
        (view(CORDONED, step="Draining", emptied=done(DEAD)), "Draining", EmptyNode),
        # Whoever comes after a death knows of no drain.
        (view(CORDONED, step="Changing"), "Draining", EmptyNode),
        (view(OLD, step="Uncordoning"), "Cordoning", CordonNode),
        # The record was lost.
        (view(CORDONED), "Draining", EmptyNode),
    ],
)
def test_what_comes_next(given: MachineView, step: str, call: type) -> None:
    decision = decide.decide(given)
    assert decision.operation
    assert (decision.operation.type, decision.operation.step) == ("Update", step)
    action = decision.step.action
    assert action
    assert isinstance(decision.step.call or action.call, call)
    assert (action.call is None) is (call is Install)
    assert decision.operation.reason == "the kubelet of node w1 goes from 1.36.4 to 1.37.1"


@pytest.mark.parametrize(
    "given",
    [
        # A patch level changes in place.
        view(replace(NODE, kubelet="1.37.0"), status={"kubelet": "1.37.0"}),
        # It has never been a node.
        view(None, status={"firstReady": None, "conditions": []}),
        # It is put back as it was, whatever its control plane does.
        view(
            replace(NODE, kubelet="1.37.1"),
            status={"kubelet": "1.37.1"},
            cluster={"upgrade": upgrade("Etcd")},
        ),
        # Its Node is gone, and with it the pods.
        view(None),
    ],
)
def test_what_needs_no_drain(given: MachineView) -> None:
    decision = decide.decide(given)
    assert isinstance(decision.step.call, Install)
    assert decision.operation is None


NEW = replace(CORDONED, kubelet="1.37.1")


@pytest.mark.parametrize(
    ("given", "step"),
    [
        (view(NEW, step="Changing", lacks=False), "Uncordoning"),
        (view(NEW, step="Uncordoning", lacks=False), "Uncordoning"),
        # The spec was taken back before anything was changed.
        (view(NEW, step="Draining", lacks=False), "Uncordoning"),
        (view(NEW, lacks=False), "Uncordoning"),
        # An upgrade of the control plane came in between.
        (view(CORDONED, step="Draining", cluster={"upgrade": upgrade("Etcd")}), "Uncordoning"),
        # Even if its host cannot be reached any more.
        (view(NEW, step="Changing", wait=30.0), "Uncordoning"),
        (view(NEW, step="Changing", lacks=False, status={"kubeletChange": CHANGE}), "Changing"),
        (view(replace(NEW, ready=None), step="Changing", lacks=False), "Changing"),
        (
            view(
                NEW,
                step="Changing",
                status={"components": [{"name": "runc", "state": "Failed"}]},
            ),
            "Changing",
        ),
        (view(replace(NODE, unschedulable=True), step="Changing", lacks=False), ""),
        (view(NODE, step="Uncordoning", lacks=False), ""),
        (view(None, step="Changing", lacks=False), ""),
        # Of a Node that cannot be read nothing is known.
        (view(None, step="Draining", objects={"connection": SILENT}), "Draining"),
        (view(NEW.bare(), step="Changing", lacks=False), "Changing"),
    ],
)
def test_when_the_node_is_given_back(given: MachineView, step: str) -> None:
    decision = decide.decide(given)
    now = decision.operation
    assert (now.step if now else "") == step
    action = decision.step.action
    gives = action is not None and isinstance(action.call, UncordonNode)
    assert gives is (step == "Uncordoning")


@pytest.mark.parametrize(
    ("given", "reason", "text"),
    [
        (
            view(cluster={"upgrade": upgrade("APIServer")}),
            "ClusterUpgrading",
            "Cluster team-a/shop is being upgraded to 1.37.1, and no kubelet changes its version "
            "before its control plane is through",
        ),
        # So it is with a patch level.
        (
            view(
                replace(NODE, kubelet="1.37.0"),
                status={"kubelet": "1.37.0"},
                cluster={"upgrade": upgrade("Etcd")},
            ),
            "ClusterUpgrading",
            "Cluster team-a/shop is being upgraded to 1.37.1, and no kubelet changes its version "
            "before its control plane is through",
        ),
        (
            view(None, objects={"connection": SILENT}),
            "NodeUnknown",
            "node w1 has to be drained before its kubelet changes, and the API "
            "of Cluster shop says nothing of its nodes",
        ),
        (
            view(blocker="shop-workers-w2"),
            "WaitingForTurn",
            "Machine shop-workers-w2 is changed first: nodes are drained one after the other",
        ),
    ],
)
def test_what_keeps_a_change_from_being_begun(given: MachineView, reason: str, text: str) -> None:
    decision = decide.decide(given)
    assert decision.operation is None
    assert decision.step.refusal
    assert (decision.step.refusal.reason, decision.step.refusal.message) == (reason, text)
    _, conditions = shown(given)
    assert conditions["UpToDate"] == ("False", reason)


def test_a_change_that_was_begun_is_brought_to_its_end_whatever_the_control_plane_does() -> None:
    given = view(
        CORDONED,
        step="Changing",
        emptied=done(EMPTY),
        status={"kubeletChange": CHANGE},
        cluster={"upgrade": upgrade("APIServer")},
    )
    assert isinstance(decide.decide(given).step.call, Install)


@pytest.mark.parametrize(
    ("given", "reason", "text"),
    [
        (
            view(step="Cordoning"),
            "Cordoning",
            "the kubelet of node w1 goes from 1.36.4 to 1.37.1; node w1 is cordoned first",
        ),
        (
            view(CORDONED, step="Draining", draining="2 pods are left: a/x, a/y"),
            "Draining",
            "the kubelet of node w1 goes from 1.36.4 to 1.37.1; node w1 is drained first: 2 pods "
            "are left: a/x, a/y",
        ),
        (
            view(
                CORDONED,
                step="Draining",
                draining="1 pod is left; disruption budgets protect a/x",
                now=SINCE + timedelta(minutes=5),
            ),
            "DrainBlocked",
            "the kubelet of node w1 goes from 1.36.4 to 1.37.1, and waits: node w1 has not been "
            "drained for 5m: 1 pod is left; disruption budgets protect a/x; loosen the budgets, add "
            "a node that takes the pods, or delete them",
        ),
        (view(NEW, step="Uncordoning", lacks=False), "Uncordoning", "node w1 is uncordoned"),
    ],
)
def test_what_is_said_of_a_node_that_serves_meanwhile(
    given: MachineView, reason: str, text: str
) -> None:
    status, conditions = shown(given)
    assert conditions["UpToDate"] == ("False", reason)
    assert message(status, "UpToDate") == text
    assert conditions["Ready"] == ("True", "NodeReady")
    assert status.phase == "Updating"


def test_others_wait_until_the_node_may_get_pods_again() -> None:
    given = view(NEW, step="Changing", lacks=False, wait=30.0)
    _, conditions = shown(replace(given, status=given.status.model_copy(deep=True)))
    assert conditions["UpToDate"][0] == "False"


def test_what_this_pass_finds_out_is_gone_by_in_the_next_one() -> None:
    """A node that was given back stayed in its operation until somebody woke its Machine."""
    waiting = {"components": [{"name": "kubelet", "state": "Waiting"}]}
    given = view(NODE, step="Uncordoning", lacks=False, status=waiting)
    decision = decide.decide(given)
    assert decision.operation
    assert decision.step.after == decide.UPDATE_AGAIN
    record.facts(given.status, given, decision)
    assert decide.decide(given).operation is None


def test_a_component_that_waits_for_the_drain_has_not_failed() -> None:
    job = {"id": "1", "script": "install", "since": SINCE, "exit": 0}
    kubelet = {"name": "kubelet", "state": "Ready", "job": job}
    given = view(CORDONED, step="Draining", status={"components": [kubelet]})
    status, _ = shown(given)
    assert {c.name: c.state for c in status.components}["kubelet"] == "Waiting"


def test_a_drain_that_fails_is_tried_again_after_a_while() -> None:
    given = view(CORDONED, step="Draining", error=Unreachable("away"), wait=7.0)
    decision = decide.decide(given)
    assert decision.step.after == 7.0
    assert decision.operation
    assert decision.operation.step == "Draining"


def test_a_machine_that_goes_while_it_is_changed_is_removed_from_the_start() -> None:
    given = view(CORDONED, step="Changing")
    found = resumed(given.status, NOW)
    assert (found.type, found.step) == ("Remove", "Draining")


def test_of_nodes_of_other_machines_nothing_is_taken_away() -> None:
    theirs = replace(NEW, cordoned_by="team-a/shop-workers-w2")
    given = view(theirs, lacks=False)
    assert update.finish(given) is None
    assert decide.decide(given).operation is None


# --- a drain that takes too long


def test_disruption_budgets_count_no_longer_where_the_policy_says_so() -> None:
    forced = builders.machine(
        rollout={"drainTimeout": "2m", "onDrainTimeout": "Force"},
    )
    given = replace(view(CORDONED, step="Draining"), machine=forced)
    action = decide.decide(given).step.action
    assert action
    assert isinstance(action.call, EmptyNode)
    assert action.call.deadline == SINCE + timedelta(minutes=2)
    late = replace(given, now=SINCE + timedelta(minutes=3))
    late.memory.draining = "1 pod is left; disruption budgets protect a/x"
    status, conditions = shown(late)
    assert conditions["UpToDate"] == ("False", "DrainBlocked")
    assert "without regard to disruption budgets" in message(status, "UpToDate")


def test_budgets_always_count_where_nobody_says_so() -> None:
    action = decide.decide(view(CORDONED, step="Draining")).step.action
    assert action
    assert isinstance(action.call, EmptyNode)
    assert action.call.deadline is None
