"""Jobs that were begun for what is not wanted any more: nothing is up to date as long as they run."""

from __future__ import annotations

from typing import Any

from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.machine.shown import shown
from tests.unit.operators.machine.views import MEMBER, NODE, machine_view, observed, seen

from kok.operators.machine.machine import decide
from kok.operators.machine.machine.operations.host_steps import AwaitJobs
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.remote import jobs


def view(job: str, *, ended: int | None = None, **changes: Any) -> MachineView:
    """The host looks as it should, by what was seen before a job began."""
    told = {"id": job, "script": "install", "since": NOW.isoformat(), "attempt": 2}
    if ended is not None:
        told["exit"] = ended  # type: ignore[assignment]
    joined = {
        "type": "Joined",
        "status": "True",
        "reason": "Joined",
        "lastTransitionTime": NOW.isoformat(),
    }
    status = {
        "components": [{"name": "containerd", "state": "Installing", "job": told}],
        "conditions": [joined],
        "firstReady": NOW.isoformat(),
        "kubelet": "1.37.1",
    }
    around = observed(node=NODE)
    return machine_view(memory=seen(identity=MEMBER), objects=around, status=status, **changes)


def wanted_job() -> str:
    decision = decide.decide(view("any", ended=0))
    item = decision.wanted["containerd"]
    uid = builders.machine().metadata.uid
    return jobs.job_id(uid, item.name, item.version, item.config, 2)


def test_a_job_for_another_version_is_waited_for() -> None:
    """The spec went back while it ran: it was told that all is well, and then the job was through."""
    given = view("of-another-version")
    decision = decide.decide(given)
    assert isinstance(decision.step.call, AwaitJobs)
    assert [plan.id for plan in decision.step.call.plans] == ["of-another-version"]
    status, conditions = shown(given)
    assert conditions["UpToDate"] == ("False", "Installing")
    assert {c.name: c.state for c in status.components}["containerd"] == "Installing"


def test_while_this_process_waits_for_it_nothing_is_up_to_date_either() -> None:
    _, conditions = shown(view("of-another-version", doing="install"))
    assert conditions["UpToDate"] == ("False", "Installing")


def test_one_that_has_ended_keeps_nobody_waiting() -> None:
    _, conditions = shown(view("of-another-version", ended=0))
    assert conditions["UpToDate"][0] == "True"


def test_the_job_for_what_is_there_has_gone_through() -> None:
    _, conditions = shown(view(wanted_job()))
    assert conditions["UpToDate"][0] == "True"
