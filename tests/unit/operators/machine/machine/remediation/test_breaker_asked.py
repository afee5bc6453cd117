"""Whatever is known of hosts that fail at once: nothing more begins at them than the breaker allows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import structlog
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.machine.remediation.served_hosts import (
    after,
    serving,
    with_service,
)
from tests.unit.operators.machine.views import NODE, observed

from kok.api.machine.machine import Machine
from kok.api.names import LABEL_HOST
from kok.kube.client import Kube
from kok.operators.machine.machine import decide
from kok.operators.machine.machine.remediation.remedy import RecordRemedy
from kok.operators.machine.machine.remediation.supervision import Supervision
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.machine_lists import MachineLists
from kok.operators.machine.remote.jobs import JobResult
from kok.operators.machine.remote.ssh import HostSilent
from kok.runtime.clock import FakeClock
from kok.runtime.controller.reconciler import Pass
from kok.runtime.settings import Settings

TOTAL, MOST = 20, 5
"""Nodes of the Cluster, and how many of them may be unhealthy: a quarter."""
PLACE = "/apis/kok.dev/v1alpha1/namespaces/team-a/machines/{}"


def remedied(rung: str, *, fault: str, minutes: float, **more: Any) -> dict[str, Any]:
    """The record of a fault about which a job was begun some time ago, of which nothing is known."""
    at = NOW - timedelta(minutes=minutes)
    tried = {"rung": rung, "tries": 1, "attempts": 1, "at": at, "job": {"id": "x"}}
    return {"fault": fault, "since": at - timedelta(minutes=1), **tried, **more}


def silent(number: int, record: dict[str, Any] | None, **remediation: Any) -> MachineView:
    """A host of a pool that does not answer, and whose node is not heard of."""
    named = {"name": f"w{number}", "labels": {LABEL_HOST: f"w{number}"}}
    machine = builders.machine(metadata=named, remediation=remediation)
    gone = replace(NODE, ready=None, message="Kubelet stopped posting node status.")
    status = {} if record is None else {"status": {"remediation": record}}
    view = serving(machine=machine, objects=observed(node=gone), **status)
    view.memory.error = HostSilent("host 192.0.2.21 no longer answers over SSH")
    return replace(view, wait=7.0)


def failing(number: int, record: dict[str, Any]) -> MachineView:
    """A host that answers, with a runtime that does not run; its newest job has failed just now."""
    machine = builders.machine(metadata={"name": f"w{number}", "labels": {LABEL_HOST: "w"}})
    down = with_service("containerd", "down")
    view = serving(down, machine=machine, status={"remediation": record})
    view.memory.jobs["x"] = JobResult("x", exit=1)
    return view


async def begun(api: FakeApi, kube: Kube, views: Sequence[MachineView]) -> Counter[str]:
    """What begins at these hosts in passes that all happen at once; the other nodes are well."""
    for number in range(TOTAL):
        view = views[number] if number < len(views) else serving()
        stored = view.machine.model_copy(update={"status": view.status}).manifest()
        stored["metadata"] = {**stored["metadata"], "name": f"w{number}", "uid": f"uid-{number}"}
        api.put(PLACE.format(f"w{number}"), stored)
    clock = FakeClock(NOW)
    breaker = Supervision(MachineLists(clock.monotonic))
    found = Counter[str]()
    for view in views:
        held = await breaker.held(a_pass(view.machine, view, kube, clock), view)
        call = decide.decide(replace(view, held=held)).step.call
        if isinstance(call, RecordRemedy):
            found[str(call.taken.rung)] += 1
    breaker.close()
    return found


def a_pass(machine: Machine, view: MachineView, kube: Kube, clock: FakeClock) -> Pass[Any]:
    log, status = structlog.stdlib.get_logger(), view.status.model_copy(deep=True)
    return Pass[Any](machine, status, kube, clock, view.now, log, Settings())


SERVICE = {"service": "containerd", "component": "containerd"}
BOOTED = remedied("Reboot", fault="ServiceDown", minutes=11, **SERVICE)
REINSTALLED = remedied("Reinstall", fault="ServiceDown", minutes=11, **SERVICE)
BOOTS = {"history": [{"rung": "Reboot", "at": NOW - timedelta(minutes=2)}]}


@pytest.mark.parametrize(("ill", "replaced"), [(MOST, MOST), (MOST + 1, 0), (TOTAL, 0)])
@pytest.mark.parametrize(
    "record",
    [None, BOOTED, {**REINSTALLED, **BOOTS, "job": {"id": "x", "exit": 0}}],
    ids=["at once", "after a reboot that never ended", "lately rebooted"],
)
async def test_hosts_that_fall_silent_at_once_are_not_replaced_beyond_the_budget(
    api: FakeApi, kube: Kube, record: dict[str, Any] | None, ill: int, replaced: int
) -> None:
    views = [after(silent(number, record), 301) for number in range(ill)]
    assert (await begun(api, kube, views))["Replace"] == replaced


async def test_hosts_are_first_counted_however_little_patience_there_is(
    api: FakeApi, kube: Kube
) -> None:
    first = [silent(number, None, patience={"replace": "0s"}) for number in range(MOST + 1)]
    assert not await begun(api, kube, first)
    assert not await begun(api, kube, [after(view, 2) for view in first])
    few = [after(view, 2) for view in first[:MOST]]
    assert await begun(api, kube, few) == {"Replace": MOST}


@pytest.mark.parametrize(("rung", "then"), [("Restart", "Restart"), ("Reinstall", "Reboot")])
@pytest.mark.parametrize(("ill", "most"), [(MOST, MOST), (MOST + 1, 0)])
async def test_the_end_of_a_job_lets_nothing_more_begin_beyond_the_budget(
    api: FakeApi, kube: Kube, rung: str, then: str, ill: int, most: int
) -> None:
    record = remedied(rung, fault="ServiceDown", minutes=0.2, **SERVICE)
    found = await begun(api, kube, [failing(number, record) for number in range(ill)])
    assert found == ({then: most} if most else {})
