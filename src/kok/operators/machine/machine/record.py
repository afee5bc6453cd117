"""What has to be in the status of a Machine before anything is done: facts, jobs, the host key."""

from __future__ import annotations

from kok.api.machine.machine import MachineComponentStatus, MachineStatus
from kok.operators.machine import gpus
from kok.operators.machine.machine import install_plan, kubelet_change
from kok.operators.machine.machine.decide import Decision, kubelet_started
from kok.operators.machine.machine.install_plan import right, surplus
from kok.operators.machine.machine.operations import adopted, update
from kok.operators.machine.machine.remediation.drift import remembered
from kok.operators.machine.machine.view import MachineView, expected_key
from kok.operators.machine.remote.jobs import UNINSTALL, JobResult
from kok.operators.machine.remote.survey import Found, host_facts


def facts(status: MachineStatus, view: MachineView, decision: Decision) -> None:
    """Records what was found out since, about the host and about what was done there."""
    status.components = components(view, decision)
    through = kubelet_started(view, decision)
    status.kubelet_change = kubelet_change.judge(view, through=through)
    if decision.seen and view.memory.survey is not None:
        drained = update.crossing(view) is not None
        status.plan = install_plan.planned(decision.wanted, view.memory.survey, drained=drained)
    if view.memory.survey is not None:
        before = status.facts.gpu if status.facts is not None else None
        status.facts = host_facts(view.memory.survey)
        status.facts.gpu = gpus.facts(view.memory.survey.gpus, before)
        if decision.seen:
            status.preflight = list(decision.findings)
    if decision.seen and view.mine and view.memory.place is not None:
        # It bears the mark, whatever its port and key are by now.
        status.installed_on = view.memory.place
    _host_key(status, view)
    status.remediation = decision.remedy.record
    if decision.seen:
        status.adopted = adopted.remembered(status.adopted, view)
    if decision.seen and view.mine:
        off = view.machine.spec.remediation.mode == "Off"
        status.drift = remembered(status.drift, {} if off else decision.drift, view.now)
    if status.token_id is not None and status.token_id == view.memory.token_gone:
        status.token_id = None


def _host_key(status: MachineStatus, view: MachineView) -> None:
    """The host key in use."""
    want, memory = expected_key(view.machine, status), view.memory
    # A host that is refused is not in use.
    place = status.installed_on or memory.place
    seen = memory.survey is not None and place is not None and place.host_key == want.fingerprint
    if seen and want.fingerprint not in (None, status.host_key):
        status.host_key, status.host_key_since = want.fingerprint, view.now


def components(view: MachineView, decision: Decision) -> list[MachineComponentStatus]:
    """The list of components, in the order of the spec; jobs that are begun stand in it."""
    before = view.status.components
    known = {c.name: c for c in before}
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
        listed += [c for c in before if c.name not in wanted]
    else:
        listed += [
            _removed(known.get(name), name, view, decision)
            for name in surplus(decision.wanted, survey)
        ]
    return listed


def _removed(
    old: MachineComponentStatus | None, name: str, view: MachineView, decision: Decision
) -> MachineComponentStatus:
    """A component that is to go."""
    survey = view.memory.survey
    found = survey.found.get(name) if survey is not None else None
    new = (old or MachineComponentStatus(name=name)).model_copy(update={"desired": None})
    new.found = found.version or new.found if found is not None else new.found
    started = decision.step.started
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
    started = decision.step.started
    if name in decision.off:
        component.state, component.message = "Installing", None
        return
    if name in decision.held and survey is not None and not right(name, decision.wanted, survey):
        known = view.status.adopted
        differs = adopted.differences(known, name)[:1024] if known is not None else ""
        component.state = "Waiting" if decision.adopting else "Adopted"
        component.message = differs or None
        return
    if name in decision.drift and name not in decision.lacking:
        component.state, component.message = "Drifted", "; ".join(decision.drift[name])[:1024]
        return
    if survey is not None and right(name, decision.wanted, survey):
        component.state, component.message = "Ready", None
        if job is not None and job.exit is None:
            # Only a job that went through leaves the record by which this was seen.
            component.job = job.model_copy(update={"exit": 0})
        return
    if name in started:
        job = component.job = started[name]
    if job is None or job.exit == 0:
        # What it did was right then, and the job for what is wanted now is not begun.
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
