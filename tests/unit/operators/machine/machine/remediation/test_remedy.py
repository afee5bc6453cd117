"""What is wrong with a host, by what is seen of it, and what is done there."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.machine.remediation.served_hosts import (
    OK,
    WELL,
    after,
    memory,
    policy,
    serving,
    with_service,
)
from tests.unit.operators.machine.machine.shown import message, shown
from tests.unit.operators.machine.views import MEMBER, NODE, observed

from kok.operators.machine.machine import decide
from kok.operators.machine.machine.operations.host_steps import Install, JoinCluster
from kok.operators.machine.machine.remediation.remedy import ApplyRemedy, RecordRemedy
from kok.operators.machine.remote import jobs
from kok.operators.machine.remote.watching import Told


def test_a_host_that_is_well_is_left_alone_and_nothing_is_said_of_it() -> None:
    view = serving()
    found = decide.decide(view)
    assert found.remedy.record is None
    assert found.step.call is None
    _, told = shown(view)
    assert "Healthy" not in told
    assert "Drifted" not in told


@pytest.mark.parametrize(
    ("word", "reason"), [("down", "ServiceDown"), ("looping", "ServiceLooping")]
)
def test_a_service_that_fails_is_restarted(word: str, reason: str) -> None:
    view = serving(with_service("containerd", word))
    status, told = shown(view)
    assert told["Healthy"] == ("False", reason)
    assert "service containerd" in message(status, "Healthy")
    call = decide.decide(after(view, 2)).step.call
    assert isinstance(call, ApplyRemedy)
    assert call.taken.rung == "Restart"
    assert "again containerd" in call.plan.script
    assert "again kubelet" not in call.plan.script
    assert "KOK_HUNG=no" in call.plan.script


def test_what_the_unit_mends_by_itself_is_none_of_ours() -> None:
    view = serving(with_service("containerd", "restarting", since=998.0))
    found = decide.decide(view)
    assert found.remedy.record is None
    # But it is looked at once it may have.
    assert found.step.after == pytest.approx(2.0)
    later = replace(view, monotonic=1003.0)
    record = decide.decide(later).remedy.record
    assert record is not None
    assert record.fault == "ServiceDown"


def test_a_service_that_answers_nothing_is_killed_first() -> None:
    bad = Told("bad", 990.0, "it did not answer within 5 s")
    view = serving(replace(WELL, health={**WELL.health, "kubelet": bad}))
    status, told = shown(view)
    assert told["Healthy"] == ("False", "ServiceHung")
    assert "did not answer" in message(status, "Healthy")
    call = decide.decide(after(view, 2)).step.call
    assert isinstance(call, ApplyRemedy)
    assert "KOK_HUNG=yes" in call.plan.script
    assert "again kubelet" in call.plan.script


def test_all_services_of_software_that_answers_nothing_are_started_anew() -> None:
    bad = Told("bad", 990.0, "it did not answer within 5 s")
    services = {**WELL.services, "shims": OK}
    view = serving(replace(WELL, services=services, health={**WELL.health, "containerd": bad}))
    known = dict(view.objects.components)
    spec = known["containerd"].spec.model_copy(update={"services": ["shims", "containerd"]})
    known["containerd"] = known["containerd"].model_copy(update={"spec": spec})
    view = replace(view, objects=replace(view.objects, components=known))
    call = decide.decide(after(view, 2)).step.call
    assert isinstance(call, ApplyRemedy)
    assert call.plan.script.index("again shims") < call.plan.script.index("again containerd")
    assert "again kubelet" not in call.plan.script


@pytest.mark.parametrize(("told", "well"), [("containerd", False), ("somebody-elses", True)])
def test_a_host_is_not_well_before_its_own_software_was_asked(told: str, well: bool) -> None:
    bad = Told("bad", 990.0, "it did not answer within 5 s")
    view = serving(replace(WELL, health={**WELL.health, "kubelet": bad}))
    waits = replace(WELL, health={**WELL.health, told: Told("wait", 995.0)})
    record = decide.decide(after(view, 20, memory=memory(waits))).remedy.record
    # Of what it waited for before anything was tried nothing is remembered.
    assert (record is None) is well


def test_the_first_of_two_is_what_the_other_needs() -> None:
    both = replace(WELL, services=dict.fromkeys(WELL.services, Told("down", 900.0)))
    record = decide.decide(serving(both)).remedy.record
    assert record is not None
    assert record.service == "containerd"


def test_a_component_that_fails_on_is_installed_anew_and_then_the_host_rebooted() -> None:
    record = {
        "fault": "ServiceDown",
        "service": "containerd",
        "component": "containerd",
        "since": NOW - timedelta(minutes=3),
        "rung": "Restart",
        "tries": 2,
        "attempts": 2,
        "at": NOW - timedelta(minutes=2),
        "job": {"id": "x", "exit": 0},
    }
    view = serving(with_service("containerd", "down"), status={"remediation": record})
    call = decide.decide(view).step.call
    assert isinstance(call, ApplyRemedy)
    assert call.taken.rung == "Reinstall"
    assert (call.plan.component, call.plan.action) == ("containerd", "install")
    assert call.plan.id == (call.taken.job and call.taken.job.id)
    status = {
        "remediation": {**record, "rung": "Reinstall", "tries": 1, "at": NOW - timedelta(minutes=4)}
    }
    call = decide.decide(serving(with_service("containerd", "down"), status=status)).step.call
    assert isinstance(call, ApplyRemedy)
    assert call.taken.rung == "Reboot"
    assert call.plan.script.rstrip().endswith("reboot_host")


def test_an_attempt_that_was_recorded_goes_on_under_its_id() -> None:
    view = serving(with_service("containerd", "down"))
    first = decide.decide(after(view, 2)).step.call
    assert isinstance(first, ApplyRemedy)
    status = view.status.model_copy(update={"remediation": first.taken})
    again = decide.decide(replace(view, status=status, now=NOW + timedelta(minutes=9))).step.call
    assert isinstance(again, ApplyRemedy)
    assert again.plan.id == first.plan.id
    assert again.taken.attempts == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"held": "30 of 100 nodes are unhealthy"},
        {"paused_by": "shop-workers"},
        {"machine": policy(mode="Report")},
        {"machine": policy(mode="Off")},
        {
            "status": {
                "operation": {"type": "Update", "step": "Draining", "since": "2026-11-02T11:59:00Z"}
            }
        },
        {
            "status": {
                "reboots": [
                    {
                        "component": "runc",
                        "config": "c",
                        "boot": "b",
                        "reason": "why",
                        "since": "2026-11-02T11:59:00Z",
                    }
                ]
            }
        },
        {"doing": "install"},
    ],
    ids=["held", "paused", "report", "off", "changing", "booting", "doing"],
)
def test_nothing_is_done_where_nothing_may_be(changes: dict[str, Any]) -> None:
    view = serving(with_service("containerd", "down"), **changes)
    for seconds in (2, 20, 500):
        assert not isinstance(decide.decide(after(view, seconds)).step.call, RecordRemedy)


@pytest.mark.parametrize(
    "status",
    [
        {"operation": {"type": "Update", "step": "Changing", "since": "2026-11-02T11:59:00Z"}},
        {"kubeletChange": {"job": "j"}},
    ],
    ids=["operation", "proving"],
)
def test_whoever_changes_a_node_starts_its_kubelet_since_nobody_else_may(
    status: dict[str, Any],
) -> None:
    """A kubelet that stopped while its node was drained was started by nobody, and the drain never
    ended."""
    away = observed(node=replace(NODE, ready=None))
    view = serving(with_service("kubelet", "down"), objects=away, status=status)
    view.memory.identity, view.memory.changed = replace(MEMBER, kubelet="inactive"), 990.0
    assert isinstance(decide.decide(view).step.call, JoinCluster)
    alone = serving(with_service("kubelet", "down"), objects=away)
    alone.memory.identity = replace(MEMBER, kubelet="inactive")
    assert isinstance(decide.decide(after(alone, 2)).step.call, ApplyRemedy)


def test_what_holds_it_is_told() -> None:
    view = serving(
        with_service("containerd", "down"), held="many: spec.remediation.maxUnhealthy (25%)"
    )
    status, told = shown(after(view, 2))
    assert told["Healthy"] == ("False", "RemediationHeld")
    assert "maxUnhealthy" in message(status, "Healthy")
    report = serving(with_service("containerd", "down"), machine=policy(mode="Report"))
    status, told = shown(report)
    assert told["Healthy"] == ("False", "ServiceDown")
    assert "mode is Report" in message(status, "Healthy")


def test_a_node_that_is_not_ready_though_all_runs() -> None:
    view = serving(objects=observed(node=replace(NODE, ready=False, message="PLEG is not healthy")))
    status, told = shown(view)
    assert told["Healthy"] == ("False", "NodeFailing")
    assert "PLEG" in message(status, "Healthy")
    no_network = replace(NODE, ready=False, message="reason:NetworkPluginNotReady message:no cni")
    _, told = shown(serving(objects=observed(node=no_network)))
    assert "Healthy" not in told


def test_a_full_disk_is_told_and_nothing_is_restarted_for_it() -> None:
    full = replace(with_service("containerd", "down"), full="/run")
    view = serving(full)
    _, told = shown(view)
    assert told["Healthy"] == ("False", "DiskFull")
    assert decide.decide(after(view, 900)).remedy.rung is None


def test_a_host_that_never_served_is_its_installation_to_tell() -> None:
    view = serving(with_service("containerd", "down"), status={"firstReady": None})
    assert decide.decide(view).remedy.record is None


def test_what_was_never_there_cannot_have_failed() -> None:
    """Another runtime that waits for the node to be drained, for one."""
    view = serving(with_service("containerd", "down"))
    survey = view.memory.survey
    assert survey is not None
    rest = {name: found for name, found in survey.found.items() if name != "containerd"}
    view.memory.survey = replace(survey, found=rest)
    assert decide.decide(view).remedy.record is None


@pytest.mark.parametrize("meant", [True, False])
def test_only_what_fails_of_what_is_wanted_now_may_be_for_a_fault(*, meant: bool) -> None:
    view = serving(with_service("containerd", "down"))
    survey, machine = view.memory.survey, view.machine
    assert survey is not None
    runc = survey.found["runc"]
    config = runc.recorded if meant else "before"
    ident = jobs.job_id(machine.metadata.uid, "runc", runc.version, config, 1)
    job = {"id": ident, "script": "install", "since": NOW - timedelta(hours=1), "exit": 1}
    old = replace(runc, version="1.0.0", recorded="another")
    view.memory.survey = replace(survey, found={**survey.found, "runc": old})
    status = serving(status={"components": [{"name": "runc", "job": job}]}).status
    call = decide.decide(after(replace(view, status=status), 2)).step.call
    assert isinstance(call, ApplyRemedy if meant else Install)
