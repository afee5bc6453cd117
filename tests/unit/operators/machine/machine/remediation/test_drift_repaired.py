"""What somebody changed on a host: put right, told of, or left, by policy."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.machine.remediation.served_hosts import (
    after,
    policy,
    serving,
    with_service,
)
from tests.unit.operators.machine.machine.shown import message, shown
from tests.unit.operators.machine.views import MEMBER, NODE, observed

from kok.operators.machine.machine import decide
from kok.operators.machine.machine.operations.host_steps import Install, JoinCluster
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.remote.survey import Found


def test_while_its_kubenode_is_paused_nothing_is_repaired_and_that_is_told() -> None:
    view = serving(with_service("containerd", "down"), paused_by="shop-workers")
    status, told = shown(after(view, 2))
    assert told["Healthy"] == ("False", "ServiceDown")
    assert "nothing is done: KubeNode shop-workers is paused" in message(status, "Healthy")
    view = serving(paused_by="shop-workers")
    drifted(view)
    assert not isinstance(decide.decide(view).step.call, Install)
    status, told = shown(view)
    assert told["Drifted"] == ("True", "DriftFound")
    assert "while KubeNode shop-workers is paused" in message(status, "Drifted")
    assert told["ComponentsReady"][0] == "True"
    # Nor is a kubelet that somebody stopped started by the way.
    away = observed(node=replace(NODE, ready=None))
    view = serving(None, objects=away, paused_by="shop-workers")
    view.memory.identity = replace(MEMBER, kubelet="inactive")
    assert not isinstance(decide.decide(view).step.call, JoinCluster)


def test_drift_is_put_right_or_told_by_policy() -> None:
    for mode, state, healthy in (
        ("Repair", "True", "DriftRepairing"),
        ("Report", "True", "DriftFound"),
    ):
        view = serving(machine=policy(mode=mode))
        drifted(view)
        step = decide.decide(view).step
        assert isinstance(step.call, Install) == (mode == "Repair")
        status, told = shown(view)
        assert told["Drifted"] == (state, healthy)
        assert "/etc/containerd/config.toml has another content" in message(status, "Drifted")
        assert status.drift[0].since == NOW
        if mode == "Report":
            assert told["ComponentsReady"][0] == "True"
            assert {c.name: c.state for c in status.components}["containerd"] == "Drifted"
    off = serving(machine=policy(mode="Off"))
    drifted(off)
    assert decide.decide(off).step.call is None
    assert "Drifted" not in shown(off)[1]


def test_what_is_changed_waits_for_nothing_that_drifted_and_is_left_as_it_is() -> None:
    """Its job waited for one that was never started, and failed."""
    view = serving(machine=policy(mode="Report"))
    drifted(view)
    survey = view.memory.survey
    assert survey is not None
    old = replace(survey.found["kubelet"], recorded="another")
    view.memory.survey = replace(survey, found={**survey.found, "kubelet": old})
    call = decide.decide(view).step.call
    assert isinstance(call, Install)
    (job,) = call.plans
    assert job.component == "kubelet"
    assert "depend " not in job.script.partition("begin_component\n")[0].rpartition("owned\n")[2]


def test_what_is_right_again_says_when() -> None:
    before = [{"component": "runc", "what": "version nothing", "since": NOW - timedelta(minutes=1)}]
    status, told = shown(serving(status={"drift": before}))
    assert told["Drifted"] == ("False", "DriftRepaired")
    assert status.drift[0].repaired == NOW
    assert "runc: version nothing" in message(status, "Drifted")


def test_a_change_of_the_spec_is_no_drift() -> None:
    view = serving(machine=policy(mode="Off"))
    survey = view.memory.survey
    assert survey is not None
    old = replace(survey.found["runc"], version="1.0.0", recorded="another")
    view.memory.survey = replace(survey, found={**survey.found, "runc": old})
    assert isinstance(decide.decide(view).step.call, Install)


def drifted(view: MachineView) -> None:
    """Somebody changes a file."""
    survey = view.memory.survey
    assert survey is not None
    found = survey.found["containerd"]
    files = {**found.files, "/etc/containerd/config.toml": ("0644", "0" * 64)}
    changed: dict[str, Found] = {**survey.found, "containerd": replace(found, files=files)}
    view.memory.survey = replace(survey, found=changed)
