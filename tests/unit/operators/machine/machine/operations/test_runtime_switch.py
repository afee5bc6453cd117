"""A node that goes from one container runtime to another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.operators.machine import builders, views
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.machine.operations.removals import JOINED
from tests.unit.operators.machine.views import BOOTSTRAPPED, MEMBER, NODE, machine_view, observed

from kok.api.machine.machine import Machine
from kok.operators.machine.kubenode import software
from kok.operators.machine.machine import decide, install_plan, record
from kok.operators.machine.machine.operations import runtime_switch
from kok.operators.machine.machine.operations.host_steps import Install, SurveyHost
from kok.operators.machine.machine.operations.update_calls import EMPTY, CordonNode
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.remote.session import HostMemory
from kok.operators.machine.remote.survey import Owner

COMPONENTS = {name: builders.builtin(name) for name in builders.EVERYTHING}
ON_DOCKER = replace(NODE, runtime="docker://20.10.24")


def machine(runtime: str, **spec: Any) -> Machine:
    """One that is to have a runtime, as its KubeNode makes it."""
    kubenode = builders.kubenode(
        runtime={"type": runtime, "version": {**builders.EVERYTHING}[runtime]}, **spec
    )
    listed = software.software(kubenode, builders.cluster(), "1.37.1", [])
    return builders.machine(components=[c.manifest() for c in listed])


def view(wanted: str, there: str, node: Any = NODE, **status: Any) -> MachineView:
    """A Machine that is to have one runtime, on whose host there is another."""
    made, before = machine(wanted), machine(there)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "COMPONENTS", COMPONENTS)
        looked = builders.survey()
        found = views.installed(before, looked)
    looked = replace(looked, found=found, owner=Owner(uid=made.metadata.uid, installation="meta-1"))
    memory = HostMemory(survey=looked, surveyed=1000.0, identity=MEMBER)
    objects = observed(
        node=node,
        cluster=builders.cluster(status={"conditions": [BOOTSTRAPPED]}),
        components=COMPONENTS,
    )
    recorded = {
        "conditions": [JOINED],
        "firstReady": "2026-11-02T11:00:00Z",
        "kubelet": "1.37.1",
        **status,
    }
    asking = machine_view(made, objects=objects, status=recorded, memory=HostMemory())
    step = decide.decide(asking).step
    assert isinstance(step.call, SurveyHost)
    memory.asked = step.call.request.digest
    return replace(asking, memory=memory)


def drained(wanted: str, there: str, node: Any) -> MachineView:
    cordoned = replace(node, unschedulable=True, closed="8", cordoned_by="team-a/shop-workers-w1")
    operation = {"type": "Update", "step": "Draining", "since": NOW, "reason": "why"}
    given = view(wanted, there, cordoned, operation=operation)
    given.memory.emptied = (f"{NOW.isoformat()} {NODE.uid} 8", EMPTY)
    return given


@pytest.mark.parametrize(
    ("wanted", "there", "node"),
    [("docker", "containerd", NODE), ("containerd", "docker", ON_DOCKER)],
)
def test_the_node_is_drained_first(wanted: str, there: str, node: Any) -> None:
    decision = decide.decide(view(wanted, there, node))
    assert isinstance(decision.step.call or decision.step.action.call, CordonNode)  # type: ignore[union-attr]
    assert decision.operation
    assert decision.operation.reason == f"the runtime of node w1 goes from {there} to {wanted}"


@pytest.mark.parametrize(
    ("wanted", "there", "node"),
    [("docker", "containerd", NODE), ("containerd", "docker", ON_DOCKER)],
)
def test_one_runtime_makes_room_before_the_other_begins(wanted: str, there: str, node: Any) -> None:
    decision = decide.decide(drained(wanted, there, node))
    call = decision.step.call
    assert isinstance(call, Install)
    jobs = {job.component: job for job in call.plans}
    gone = jobs[there]
    assert gone.action == "uninstall"
    assert f"depend {gone.id} {there} gone\n" in jobs[wanted].script
    # The kubelet turns to it once it is there, and what both share stays.
    last = "cri-dockerd" if wanted == "docker" else "containerd"
    assert f"depend {jobs[last].id} {last}\n" in jobs["kubelet"].script
    assert jobs["kubelet"].action == "restart"
    assert not {"runc", "cni-plugins", "host-prep"} & jobs.keys()


def test_a_runtime_that_cannot_be_removed_holds_the_other_up() -> None:
    given = drained("docker", "containerd", NODE)
    failed = {
        "name": "containerd",
        "job": {"id": "j", "script": "uninstall", "attempt": 1, "since": NOW, "exit": 1},
    }
    status = given.status.model_validate({**given.status.manifest(), "components": [failed]})
    found = decide.decide(replace(given, status=status))
    assert found.step.call is None
    assert found.step.after is not None


def test_the_plan_tells_what_would_run() -> None:
    given = view("docker", "containerd")
    decision = decide.decide(given)
    assert given.memory.survey
    steps = install_plan.planned(decision.wanted, given.memory.survey)
    told = {s.component: (s.action, s.before, s.after, s.needs) for s in steps}
    assert told == {
        "docker": ("install", None, "20.10.24", "nothing"),
        "cri-dockerd": ("install", None, "0.4.3", "nothing"),
        "kubelet": ("restart", "1.37.1", "1.37.1", "restart"),
        "containerd": ("remove", "2.3.7", None, "nothing"),
    }


def test_the_plan_tells_that_the_node_is_drained_for_another_runtime() -> None:
    given = view("docker", "containerd")
    record.facts(given.status, given, decide.decide(given))
    told = {s.component: s.needs for s in given.status.plan}
    drained = dict.fromkeys(("docker", "kubelet", "containerd"), "drain")
    assert told == {**drained, "cri-dockerd": "nothing"}


def test_a_new_version_of_docker_is_told_to_need_a_drain() -> None:
    given = view("docker", "docker", ON_DOCKER)
    survey = given.memory.survey
    assert survey
    old = replace(survey.found["docker"], version="20.10.9", recorded="old")
    survey = replace(survey, found={**survey.found, "docker": old})
    (step,) = install_plan.planned(decide.decide(given).wanted, survey)
    assert (step.component, step.before, step.needs) == ("docker", "20.10.9", "drain")


def test_of_runtimes_that_somebody_brought_along_nothing_is_known() -> None:
    given = view("containerd", "containerd", replace(NODE, runtime="cri-o://1.35"))
    assert runtime_switch.switch(given) is None
    own = machine("containerd", kubelet={"containerRuntimeEndpoint": "unix:///run/own.sock"})
    assert runtime_switch.switch(replace(given, machine=own)) is None


def test_a_node_that_has_never_served_is_not_drained() -> None:
    fresh = view("docker", "containerd", NODE, conditions=[], firstReady=None)
    assert runtime_switch.switch(fresh) is None


def test_without_its_node_the_runtime_is_the_recorded_one() -> None:
    given = view("docker", "containerd", None, runtime="containerd 2.3.7")
    assert runtime_switch.switch(given) == ("containerd", "docker")
