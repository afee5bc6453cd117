"""The status of a Machine: pure, from what was seen and decided."""

from __future__ import annotations

from kok.api.machine.machine import MachineComponentStatus, MachineStatus
from kok.operators.machine.machine.conditions.verdicts import (
    JOINED,
    REACHABLE,
    READY,
    judge,
    phase,
    reachable,
)
from kok.operators.machine.machine.decide import Decision, MachineView
from kok.operators.machine.machine.install_plan import right, surplus
from kok.operators.machine.machine.steps import Install
from kok.operators.machine.remote import facts, host_paths
from kok.operators.machine.remote.jobs import UNINSTALL, JobResult
from kok.operators.machine.remote.survey import Found


def report(status: MachineStatus, view: MachineView, decision: Decision) -> None:
    """Sets everything that shows how the Machine is."""
    _components(status, view, decision)
    if view.memory.survey is not None:
        status.facts = facts.of(view.memory.survey)
        if decision.seen:
            status.preflight = list(decision.findings)
    found = judge(status, view, decision)
    for name, judged in found.items():
        status.set_condition(
            name,
            judged.holds,
            judged.reason,
            judged.message,
            now=view.now,
            generation=view.machine.metadata.generation,
        )
    if found[READY].holds is True and status.first_ready is None:
        status.first_ready = view.now
    _software(status, view)
    status.phase = phase(status, view, found)


def report_way(status: MachineStatus, view: MachineView) -> None:
    """Sets only whether the host can be reached, for a Machine that is being removed."""
    judged = reachable(view)
    generation = view.machine.metadata.generation
    status.set_condition(
        REACHABLE, judged.holds, judged.reason, judged.message, now=view.now, generation=generation
    )


def _components(status: MachineStatus, view: MachineView, decision: Decision) -> None:
    """The list of components, in the order of the spec."""
    known = {c.name: c for c in status.components}
    survey = view.memory.survey
    listed = []
    for item in view.machine.spec.components:
        old = known.get(item.name) or MachineComponentStatus(name=item.name)
        new = old.model_copy(update={"desired": item.version})
        if survey is not None and decision.seen:
            found = survey.found.get(item.name, Found())
            new.found = found.version or None
            new.config = found.recorded or None
            _state(new, view, decision)
        listed.append(new)
    wanted = {c.name for c in listed}
    if survey is None or not decision.seen:
        listed += [c for c in status.components if c.name not in wanted]
    else:
        listed += [
            _removed(known.get(name), name, view, decision)
            for name in surplus(decision.wanted, survey)
        ]
    status.components = listed


def _removed(
    old: MachineComponentStatus | None, name: str, view: MachineView, decision: Decision
) -> MachineComponentStatus:
    """A component that is to go."""
    survey = view.memory.survey
    found = survey.found.get(name) if survey is not None else None
    new = (old or MachineComponentStatus(name=name)).model_copy(update={"desired": None})
    new.found = found.version or new.found if found is not None else new.found
    started = decision.step.started if isinstance(decision.step, Install) else {}
    new.job = started.get(name, new.job)
    new.state, new.message = "Removing", None
    if new.job is not None and new.job.script == UNINSTALL and new.job.exit not in (None, 0):
        result = view.memory.jobs.get(new.job.id)
        new.state = "Failed"
        new.message = _told(result) if result is not None else None
    return new


def _state(component: MachineComponentStatus, view: MachineView, decision: Decision) -> None:
    name, job = component.name, component.job
    survey = view.memory.survey
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
        result = view.memory.jobs.get(job.id)
        component.state = "Installing"
        component.message = (result.step if result is not None else "") or None
    else:
        component.state = "Failed"
        result = view.memory.jobs.get(job.id)
        if result is not None and result.ended:
            component.message = _told(result)


def _told(result: JobResult) -> str:
    return f"{result.reason}: {result.message}"[:1024]


def _software(status: MachineStatus, view: MachineView) -> None:
    node = view.objects.node
    runtime = next((c for c in status.components if c.name == host_paths.CONTAINERD), None)
    if node is not None and node.kubelet and status.is_true(JOINED):
        status.kubelet = node.kubelet
        status.runtime = node.runtime.replace("://", " ") or status.runtime
    elif runtime is not None and runtime.found:
        status.runtime = f"{runtime.name} {runtime.found}"
