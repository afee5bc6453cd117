"""The status of a Machine: pure, from what was seen and decided."""

from __future__ import annotations

from kok.api.machine.machine import MachineComponentStatus, MachineStatus
from kok.operators.machine.machine.conditions import (
    JOINED,
    REACHABLE,
    READY,
    judge,
    phase,
    reachable,
)
from kok.operators.machine.machine.decide import Case, Decision
from kok.operators.machine.machine.jobs import right, surplus
from kok.operators.machine.machine.steps import Install
from kok.operators.machine.remote import facts, paths
from kok.operators.machine.remote.jobs import UNINSTALL, JobResult
from kok.operators.machine.remote.survey import Found


def report(status: MachineStatus, case: Case, decision: Decision) -> None:
    """Sets everything that shows how the Machine is."""
    _components(status, case, decision)
    if case.view.survey is not None:
        status.facts = facts.of(case.view.survey)
        if decision.seen:
            status.preflight = list(decision.findings)
    found = judge(status, case, decision)
    for name, judged in found.items():
        status.set_condition(
            name,
            judged.holds,
            judged.reason,
            judged.message,
            now=case.now,
            generation=case.machine.metadata.generation,
        )
    if found[READY].holds is True and status.first_ready is None:
        status.first_ready = case.now
    _software(status, case)
    status.phase = phase(status, case, found)


def report_way(status: MachineStatus, case: Case) -> None:
    """Sets only whether the host can be reached, for a Machine that is being removed."""
    judged = reachable(case)
    generation = case.machine.metadata.generation
    status.set_condition(
        REACHABLE, judged.holds, judged.reason, judged.message, now=case.now, generation=generation
    )


def _components(status: MachineStatus, case: Case, decision: Decision) -> None:
    """The list of components, in the order of the spec."""
    known = {c.name: c for c in status.components}
    survey = case.view.survey
    listed = []
    for item in case.machine.spec.components:
        old = known.get(item.name) or MachineComponentStatus(name=item.name)
        new = old.model_copy(update={"desired": item.version})
        if survey is not None and decision.seen:
            found = survey.found.get(item.name, Found())
            new.found = found.version or None
            new.config = found.recorded or None
            _state(new, case, decision)
        listed.append(new)
    wanted = {c.name for c in listed}
    if survey is None or not decision.seen:
        listed += [c for c in status.components if c.name not in wanted]
    else:
        listed += [
            _removed(known.get(name), name, case, decision)
            for name in surplus(decision.wanted, survey)
        ]
    status.components = listed


def _removed(
    old: MachineComponentStatus | None, name: str, case: Case, decision: Decision
) -> MachineComponentStatus:
    """A component that is to go."""
    survey = case.view.survey
    found = survey.found.get(name) if survey is not None else None
    new = (old or MachineComponentStatus(name=name)).model_copy(update={"desired": None})
    new.found = found.version or new.found if found is not None else new.found
    started = decision.step.started if isinstance(decision.step, Install) else {}
    new.job = started.get(name, new.job)
    new.state, new.message = "Removing", None
    if new.job is not None and new.job.script == UNINSTALL and new.job.exit not in (None, 0):
        result = case.view.jobs.get(new.job.id)
        new.state = "Failed"
        new.message = _told(result) if result is not None else None
    return new


def _state(component: MachineComponentStatus, case: Case, decision: Decision) -> None:
    name, job = component.name, component.job
    survey = case.view.survey
    started = decision.step.started if isinstance(decision.step, Install) else {}
    if survey is not None and right(name, decision.wanted, survey):
        component.state, component.message = "Ready", None
        if job is not None and job.exit is None:
            # Only a job that went through leaves the record by which this was seen.
            component.job = job.model_copy(update={"exit": 0})
        return
    if name in started:
        job = component.job = started[name]
    if job is None:
        component.state, component.message = "Waiting", None
    elif job.exit is None:
        result = case.view.jobs.get(job.id)
        component.state = "Installing"
        component.message = (result.step if result is not None else "") or None
    else:
        component.state = "Failed"
        result = case.view.jobs.get(job.id)
        if result is not None and result.ended:
            component.message = _told(result)


def _told(result: JobResult) -> str:
    return f"{result.reason}: {result.message}"[:1024]


def _software(status: MachineStatus, case: Case) -> None:
    node = case.world.node
    runtime = next((c for c in status.components if c.name == paths.CONTAINERD), None)
    if node is not None and node.kubelet and status.is_true(JOINED):
        status.kubelet = node.kubelet
        status.runtime = node.runtime.replace("://", " ") or status.runtime
    elif runtime is not None and runtime.found:
        status.runtime = f"{runtime.name} {runtime.found}"
