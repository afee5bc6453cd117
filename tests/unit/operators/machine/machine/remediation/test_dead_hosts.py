"""Hosts that answer no more and whose nodes are not heard of: which are replaced."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.machine.remediation.served_hosts import after, serving
from tests.unit.operators.machine.views import NODE, observed

from kok.api.names import LABEL_HOST
from kok.operators.machine.machine import decide
from kok.operators.machine.machine.remediation import breaker
from kok.operators.machine.machine.remediation.remedy import RecordRemedy
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.remote.ssh import HostSilent


def test_a_dead_host_is_replaced_if_it_is_of_a_pool() -> None:
    silent = replace(NODE, ready=None, message="Kubelet stopped posting node status.")
    for labels, replaced in (({}, False), ({LABEL_HOST: "w1"}, True)):
        machine = builders.machine(metadata={"labels": labels})
        view = serving(machine=machine, objects=observed(node=silent))
        view.memory.error = HostSilent("host 192.0.2.21 no longer answers over SSH")
        view = replace(view, wait=7.0)
        record = decide.decide(view).remedy.record
        assert record is not None
        assert record.fault == "HostDead"
        call = decide.decide(after(view, 301)).step.call
        assert isinstance(call, RecordRemedy) == replaced


@pytest.mark.parametrize("step", ["Draining", "Changing"])
def test_a_host_that_dies_while_it_is_changed_is_replaced_all_the_same(step: str) -> None:
    """Its change never came to an end, and so it stayed what the rollout waited for."""
    operation = {"type": "Update", "step": step, "since": "2026-11-02T11:59:00Z"}
    view = dead(0, status={"operation": operation})
    call = decide.decide(after(view, 301)).step.call
    assert isinstance(call, RecordRemedy)
    assert call.taken.rung == "Replace"
    booting = {"component": "runc", "config": "c", "boot": "b", "reason": "why"}
    boots = {"reboots": [{**booting, "since": "2026-11-02T11:59:00Z"}]}
    view = dead(0, status={"operation": operation, **boots})
    assert not isinstance(decide.decide(after(view, 301)).step.call, RecordRemedy)


@pytest.mark.parametrize(("ill", "replaced"), [(25, 25), (30, 0)])
def test_of_thirty_dead_hosts_of_a_hundred_none_is_replaced(ill: int, replaced: int) -> None:
    later = [after(dead(n), 301) for n in range(ill)]
    recorded = [
        builders.machine(
            metadata={"name": f"w{n}"},
            status={"remediation": view.status.remediation.manifest()},
        )
        for n, view in enumerate(later)
        if view.status.remediation is not None
    ]
    well = [builders.machine(metadata={"name": f"w{n}"}) for n in range(ill, 100)]
    held = breaker.holds("25%", [*recorded, *well])
    found = [decide.decide(replace(view, held=held)) for view in later]
    assert sum(isinstance(one.step.call, RecordRemedy) for one in found) == replaced
    told = {one.remedy.record.held for one in found if one.remedy.record is not None}
    assert told == {held or None}


def dead(number: int, **changes: Any) -> MachineView:
    """A host of a pool that does not answer, and whose node is not heard of."""
    labels = {LABEL_HOST: f"w{number}"}
    machine = builders.machine(metadata={"name": f"w{number}", "labels": labels})
    silent = replace(NODE, ready=None, message="Kubelet stopped posting node status.")
    view = serving(machine=machine, objects=observed(node=silent), **changes)
    view.memory.error = HostSilent("host 192.0.2.21 no longer answers over SSH")
    return replace(view, wait=7.0)


def test_a_host_whose_node_is_well_is_not_dead() -> None:
    view = serving()
    view.memory.error = HostSilent("host 192.0.2.21 no longer answers over SSH")
    assert decide.decide(view).remedy.record is None
