"""What a node has served well with, to which it can go back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW

from kok.api.machine.machine import Machine
from kok.operators.machine.machine import last_good


def machine(*, soak: str = "0s", ready: str = "True", **spec: Any) -> Machine:
    conditions = [
        {
            "type": name,
            "status": holds,
            "reason": "Any",
            "message": "",
            "lastTransitionTime": NOW.isoformat(),
        }
        for name, holds in (("Ready", ready), ("UpToDate", "True"))
    ]
    return builders.machine(rollout={"soak": soak}, status={"conditions": conditions}, **spec)


def test_what_serves_is_good() -> None:
    made = machine()
    last_good.judge(made.status, made, NOW)
    assert made.status.last_good
    assert made.status.last_good.id == last_good.of(made)
    assert made.status.last_good.components == made.spec.components


def test_what_does_not_serve_leaves_what_was_good_before() -> None:
    made = machine(ready="False")
    last_good.judge(made.status, made, NOW)
    assert made.status.last_good is None


def test_it_has_to_serve_for_as_long_as_was_asked_for() -> None:
    made = machine(soak="5m")
    last_good.judge(made.status, made, NOW + timedelta(minutes=4))
    assert made.status.last_good is None
    assert last_good.due(made.status, made, NOW + timedelta(minutes=4)) == 60.0
    last_good.judge(made.status, made, NOW + timedelta(minutes=5))
    assert made.status.last_good
    assert last_good.due(made.status, made, NOW + timedelta(minutes=5)) is None


def test_it_is_written_once() -> None:
    made = machine()
    last_good.judge(made.status, made, NOW)
    before = made.status.model_copy(deep=True)
    last_good.judge(made.status, made, NOW + timedelta(hours=1))
    assert made.status == before


def test_other_parameters_are_other_software() -> None:
    plain = [{"name": "kubelet", "version": "1.37.1"}]
    more = [{"name": "kubelet", "version": "1.37.1", "params": {"config": {"maxPods": 5}}}]
    assert last_good.of(machine(components=plain)) != last_good.of(machine(components=more))
    # Whoever writes it says no more by an empty map than by none.
    empty = [{"name": "kubelet", "version": "1.37.1", "params": {}}]
    assert last_good.of(machine(components=plain)) == last_good.of(machine(components=empty))


def test_software_whose_service_hangs_is_not_good() -> None:
    made = machine()
    known = {"fault": "ServiceHung", "component": "kubelet", "since": NOW.isoformat()}
    hangs = builders.machine(status={"remediation": known}).status.remediation
    made.status.remediation = hangs
    last_good.judge(made.status, made, NOW)
    assert made.status.last_good is None
