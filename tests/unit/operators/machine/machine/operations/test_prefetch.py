"""What hosts of the next batch fetch beforehand."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import structlog
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.views import MEMBER, NODE, machine_view, observed, seen

from kok.api.meta import Manifest
from kok.operators.machine.machine import decide
from kok.operators.machine.machine.operations import prefetch
from kok.operators.machine.machine.operations.host_steps import StepContext
from kok.operators.machine.machine.operations.prefetch import Prefetch
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.remote.session import Session

NAMED = {"annotations": {"kok.dev/prefetch": "kubelet-1.37.2"}}


def view() -> MachineView:
    machine = builders.machine(metadata=NAMED)
    memory = seen(machine, identity=MEMBER)
    return machine_view(machine, memory, objects=observed(node=NODE))


def test_a_host_at_rest_fetches_what_it_will_need_once() -> None:
    given = view()
    step = decide.decide(given).step
    assert step.call == Prefetch("kubelet-1.37.2")
    given.memory.prefetched = "kubelet-1.37.2"
    assert not isinstance(decide.decide(given).step.call, Prefetch)


def test_nothing_is_fetched_onto_hosts_of_others() -> None:
    given = view()
    survey = given.memory.survey
    assert survey
    given.memory.survey = replace(survey, owner=replace(survey.owner, uid="somebody"))
    assert prefetch.wanted(given) == ""


def test_the_job_fetches_and_changes_nothing() -> None:
    component = builders.builtin("kubelet")
    found = prefetch.job(builders.machine(), "kubelet-1.37.1", component.spec.artifacts, 60.0)
    assert found is not None
    assert "http://artifacts.example/kubernetes/v1.37.1" in found.script
    steps = found.script.split("step downloading", 1)[1]
    assert "script install" not in steps
    assert prefetch.job(builders.machine(), "none", [], 60.0) is None


async def test_a_component_that_cannot_be_read_keeps_no_host_from_anything() -> None:
    class Kube:
        async def get(self, *_: object, **__: object) -> Manifest:
            return {"metadata": {"name": "kubelet-1.37.2", "namespace": "team-a"}, "spec": {}}

    given, session = view(), Session(lambda: 0.0)
    p = SimpleNamespace(obj=given.machine, kube=Kube(), log=structlog.get_logger(), wake=print)
    client = SimpleNamespace(memory=session.memory)
    context = SimpleNamespace(p=p, view=given, session=session, client=client)
    await Prefetch("kubelet-1.37.2").run(cast("StepContext", context))
    # Whoever installs it tells of it.
    assert session.memory.prefetched == "kubelet-1.37.2"
