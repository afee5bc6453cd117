"""What is wrong with a host, by what is seen of it, and what is done there."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.machine.shown import message, shown
from tests.unit.operators.machine.views import MEMBER, NODE, machine_view, observed, seen

from kok.api.machine.machine import Machine
from kok.api.names import LABEL_HOST
from kok.operators.machine.machine import decide
from kok.operators.machine.machine.operations.host_steps import Install, JoinCluster
from kok.operators.machine.machine.remediation import breaker
from kok.operators.machine.machine.remediation.remedy import ApplyRemedy, RecordRemedy
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.remote import jobs
from kok.operators.machine.remote.session import HostMemory
from kok.operators.machine.remote.ssh import HostSilent
from kok.operators.machine.remote.survey import Found
from kok.operators.machine.remote.watching import Told, Watched

SERVED = {
    "firstReady": "2026-11-02T11:00:00Z",
    "phase": "Ready",
    "kubelet": "1.37.1",
    "conditions": [
        {
            "type": "Joined",
            "status": "True",
            "reason": "Joined",
            "lastTransitionTime": "2026-11-02T11:00:00Z",
        }
    ],
}
OK = Told("ok", 0.0)
WELL = Watched("d", {"containerd": OK, "kubelet": OK}, {"containerd": OK, "kubelet": OK}, rounds=3)


def memory(watched: Watched | None = WELL, **changes: Any) -> HostMemory:
    found = seen(changes.pop("machine", None), **changes)
    found.identity = MEMBER
    found.watched = watched
    return found


def serving(watched: Watched | None = WELL, **changes: Any) -> MachineView:
    """A host that is a node and was for a while."""
    machine = changes.pop("machine", None)
    status = {**SERVED, **changes.pop("status", {})}
    base = machine_view(machine, memory(watched, machine=machine), status)
    return replace(base, **{"objects": observed(node=NODE), **changes})


def with_service(name: str, word: str, since: float = 900.0) -> Watched:
    return replace(WELL, services={**WELL.services, name: Told(word, since, "enabled signal")})


def policy(**fields: Any) -> Machine:
    return builders.machine(remediation=fields)


def after(view: MachineView, seconds: float, **changes: Any) -> MachineView:
    """The next pass, with what the one before recorded."""
    record = decide.decide(view).remedy.record
    status = view.status.model_copy(update={"remediation": record})
    now = view.now + timedelta(seconds=seconds)
    return replace(view, status=status, now=now, **changes)


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
    ids=["held", "report", "off", "changing", "booting", "doing"],
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


def drifted(view: MachineView) -> None:
    """Somebody changes a file."""
    survey = view.memory.survey
    assert survey is not None
    found = survey.found["containerd"]
    files = {**found.files, "/etc/containerd/config.toml": ("0644", "0" * 64)}
    changed: dict[str, Found] = {**survey.found, "containerd": replace(found, files=files)}
    view.memory.survey = replace(survey, found=changed)
