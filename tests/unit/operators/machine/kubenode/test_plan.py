"""What a KubeNode says it has yet to hand on to its Machines."""

from __future__ import annotations

from typing import Any

from tests.unit.operators.machine import builders

from kok.api.machine.machine import Machine, MachineComponent
from kok.operators.machine.kubenode import plan

NOW = {"deletionTimestamp": "2026-11-02T12:00:00Z"}


def machine(name: str, *components: dict[str, Any], **meta: Any) -> Machine:
    return builders.machine(metadata={"name": name, **meta}, components=list(components))


def told(wanted: list[dict[str, Any]], *machines: Machine) -> list[tuple[Any, ...]]:
    software = [MachineComponent.model_validate(one) for one in wanted]
    return [
        (c.component, c.before, c.after, c.machines, c.names)
        for c in plan.planned(software, machines)
    ]


def test_changes_are_told_by_software_with_the_machines_that_wait() -> None:
    old, new = {"name": "a", "version": "1"}, {"name": "a", "version": "2"}
    gone, fresh = {"name": "b", "version": "1"}, {"name": "c", "version": "1"}
    assert told([new, fresh], machine("w2", old, gone), machine("w1", new, fresh)) == [
        ("a", "1", "2", 1, ["w2"]),
        ("b", "1", None, 1, ["w2"]),
        ("c", None, "1", 1, ["w2"]),
    ]


def test_other_parameters_are_a_change_too() -> None:
    wanted = {"name": "a", "version": "1", "params": {"x": 1}}
    assert told([wanted], machine("w1", {"name": "a", "version": "1"})) == [
        ("a", "1", "1", 1, ["w1"])
    ]
    assert told([wanted], machine("w1", wanted)) == []


def test_what_is_told_is_bounded_and_leaves_out_machines_that_go() -> None:
    many = [machine(f"w{at:03}", {"name": "a", "version": "1"}) for at in range(40)]
    ((_, _, _, count, names),) = told([{"name": "a", "version": "2"}], *many)
    assert (count, len(names)) == (40, plan.NAMED)
    old = [{"name": f"n{at:03}", "version": "1"} for at in range(40)]
    new = [{"name": f"m{at:03}", "version": "1"} for at in range(40)]
    assert len(told(new, machine("w1", *old))) == plan.MOST
    assert told([], machine("w1", *old, **NOW)) == []
