"""Changes of Components that say that the node is to be drained for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.operators.machine.machine.operations.update.updating import (
    OURS,
    done,
    view,
)
from tests.unit.operators.machine.machine.shown import shown
from tests.unit.operators.machine.views import (
    NODE,
)

from kok.operators.machine.machine import decide
from kok.operators.machine.machine.operations import update
from kok.operators.machine.machine.operations.host_steps import Install
from kok.operators.machine.machine.operations.update_calls import (
    EMPTY,
    UncordonNode,
)
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.remote.survey import Found


def of_component(node: Any = NODE, *, version: str = "2.2.0", **changes: Any) -> MachineView:
    """A Machine whose containerd is to be changed, and says that this takes a drain."""
    change = changes.pop("change", {"change": "drain"})
    given = view(node, lacks=False, **changes)
    survey = given.memory.survey
    assert survey
    found = {**survey.found, "containerd": Found(version, {}, "old", begun=True)}
    given.memory.survey = replace(survey, found=found)
    known = dict(given.objects.components)
    spec = known["containerd"].spec.model_copy(update=change)
    known["containerd"] = known["containerd"].model_copy(update={"spec": spec})
    return replace(given, objects=replace(given.objects, components=known))


OF_COMPONENT = replace(NODE, unschedulable=True, closed="8", cordoned_by=OURS)
WAITING = {"components": [{"name": "containerd", "desired": "2.3.7", "state": "Waiting"}]}


@pytest.mark.parametrize("change", ["drain", "reboot"])
def test_a_component_may_ask_for_a_drain(change: str) -> None:
    given = of_component(change={"change": change})
    decision = decide.decide(given)
    assert decision.operation
    assert decision.operation.step == "Cordoning"
    assert decision.operation.reason == "containerd of node w1 is changed"
    assert decide.drains(given), "it matters whose turn it is"


@pytest.mark.parametrize("change", ["nothing", "restart", None])
def test_what_asks_for_no_drain_is_changed_in_place(change: str | None) -> None:
    decision = decide.decide(of_component(change={"change": change}))
    assert decision.operation is None
    assert isinstance(decision.step.call, Install)


def test_another_version_may_ask_for_more_than_other_files() -> None:
    asks = {"change": "restart", "change_version": "drain"}
    assert decide.decide(of_component(change=asks)).operation
    assert decide.decide(of_component(change=asks, version="2.3.7")).operation is None


def test_a_host_that_has_never_served_is_not_drained() -> None:
    given = of_component(None, status={"firstReady": None, "conditions": []})
    assert decide.decide(given).operation is None


def test_the_node_of_a_component_is_drained_changed_and_given_back() -> None:
    given = of_component(OF_COMPONENT, step="Draining", emptied=done(EMPTY), status=WAITING)
    decision = decide.decide(given)
    assert decision.operation
    assert (decision.operation.step, type(decision.step.call)) == ("Changing", Install)
    through = view(OF_COMPONENT, step="Changing", lacks=False)
    decision = decide.decide(through)
    assert decision.operation
    assert decision.operation.step == "Uncordoning"


def test_a_node_that_waits_for_its_drain_serves_whatever_else_is_to_be_changed() -> None:
    """With a patch level of the kubelet in the same change it was told to be outdated."""
    older = replace(OF_COMPONENT, kubelet="1.37.0")
    _, conditions = shown(of_component(older, step="Draining", status=WAITING))
    assert conditions["Ready"] == ("True", "NodeReady")


def test_what_was_never_there_is_put_in_place_without_a_drain() -> None:
    """As the plan of the Machine says: nothing on the node depends on it."""
    given = of_component(change={"change": "drain", "change_version": "drain"})
    survey = given.memory.survey
    assert survey
    rest = {name: found for name, found in survey.found.items() if name != "containerd"}
    given.memory.survey = replace(survey, found=rest)
    decision = decide.decide(given)
    assert decision.operation is None
    assert isinstance(decision.step.call, Install)


def test_what_drifted_and_is_left_as_it_is_keeps_no_node_drained() -> None:
    containerd = {"name": "containerd", "found": "2.3.7", "config": "c", "state": "Drifted"}
    status = {"components": [containerd]}
    given = of_component(OF_COMPONENT, version="2.3.7", step="Changing", status=status)
    action = update.finish(given)
    assert action
    assert isinstance(action.call, UncordonNode)
