"""What is done about a Machine's host now, from what is seen of it; and the step that does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from kok.api import names
from kok.api.machine.machine import MachineStatus
from kok.api.machine.remediation import RemediationStatus, Rung
from kok.api.operation import Operation
from kok.operators.machine import metrics, reasons
from kok.operators.machine.component import component_jobs
from kok.operators.machine.component.render import Rendered
from kok.operators.machine.machine import install_plan
from kok.operators.machine.machine.operations import reboot
from kok.operators.machine.machine.operations.host_steps import HostStep, Step, StepContext
from kok.operators.machine.machine.remediation import faults, ladder, remedy_jobs
from kok.operators.machine.machine.remediation.ladder import Remedy, Situation
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.remote.hosts import HostClient
from kok.operators.machine.remote.jobs import JobPlan, JobResult
from kok.operators.machine.remote.session import NEVER
from kok.operators.machine.remote.survey import Found, Owner

REMEDY = "remedy"
"""What goes on at a host while something is done about a fault."""
PROVING = 300.0
"""Seconds in which a kubelet that was changed may prove itself before it counts as one that fails."""


def situation(view: MachineView, wanted: Mapping[str, Rendered]) -> tuple[Situation, float | None]:
    """What is known of the host; and the seconds until more is."""
    seen = faults.find(view, wanted) if view.status.first_ready is not None else faults.Seen()
    machine, survey = view.machine, view.memory.survey
    return Situation(
        uid=machine.metadata.uid,
        policy=machine.spec.remediation,
        known=_with_result(view),
        fault=seen.fault,
        now=view.now,
        certain=seen.certain,
        reached=seen.reached,
        pooled=_pooled(view),
        paused=f"KubeNode {view.paused_by} is paused" if view.paused_by else "",
        held=view.held,
        boot_id=survey.facts.get("bootID", "") if survey is not None else "",
    ), seen.after


def decide(
    view: MachineView,
    wanted: Mapping[str, Rendered],
    *,
    operation: Operation | None,
    changing: Sequence[str] = (),
) -> Remedy:
    """What to do about the host. `changing`: which of its software is not as the spec says now."""
    given, after = situation(view, wanted)
    busy = _busy(view, wanted, operation, changing, reached=given.reached)
    found = ladder.decide(replace(given, busy=busy))
    if after is None or found.rung is not None:
        return found
    waits = after if found.after is None else min(after, found.after)
    return Remedy(found.record, after=waits)


def choose(
    view: MachineView,
    step: Step,
    wanted: Mapping[str, Rendered],
    found: Remedy,
    *,
    ready: bool,
) -> Step:
    """The step for what is to be done about a fault, or else the one that was decided without it.

    `ready`: whether the host was seen, and needs not be looked at first.
    """
    call = _step(view, wanted, found) if not view.doing else None
    free = ready and step.refusal is None and step.action is None
    if call is not None and (free or found.rung == "Replace"):
        return Step(call)
    if found.after is None or step.call is not None:
        return step
    return replace(step, after=found.after if step.after is None else min(step.after, found.after))


def _step(view: MachineView, wanted: Mapping[str, Rendered], found: Remedy) -> HostStep | None:
    """The step; None where nothing is to be done, or where it cannot be told how."""
    record = found.taken
    if found.rung is None or record is None:
        return None
    if found.rung == "Replace":
        return RecordRemedy(record)
    plan = _plan(view, wanted, found.rung, record)
    return ApplyRemedy(record, plan=plan) if plan is not None else None


@dataclass(frozen=True, slots=True)
class RecordRemedy(HostStep):
    """Write down what is to be done; somebody else does it: a KubeNode takes another host."""

    taken: RemediationStatus

    def record(self, context: StepContext) -> bool:
        """Before it is done; whether it is another attempt."""
        status: MachineStatus = context.p.status
        fresh = context.view.status.remediation
        begins = fresh is None or fresh.attempts != self.taken.attempts
        if begins:
            rung = self.taken.rung or ""
            context.p.event(rung, f"{rung}: {self.taken.message}", warning=True)
            metrics.REMEDIES.labels(rung).inc()
        status.remediation = self.taken
        return begins


@dataclass(frozen=True, slots=True)
class ApplyRemedy(RecordRemedy):
    """Have a job done at the host about a fault, or find out how one ended."""

    plan: JobPlan = field(kw_only=True)

    async def run(self, context: StepContext) -> None:
        """Begins it."""
        if context.client is not None:
            work = _run(context.client, self.plan, context.view.owner_mark)
            context.session.start(REMEDY, work, context.p.wake)


async def _run(client: HostClient, plan: JobPlan, owner: Owner) -> None:
    def ended(_: JobPlan, result: JobResult) -> None:
        # What it did there has to be seen.
        client.memory.surveyed = NEVER
        if result.exit != 0:
            metrics.JOBS_FAILED.labels(remedy_jobs.REMEDY, result.reason).inc()

    await client.run_jobs([plan], owner, ended)


def _plan(
    view: MachineView, wanted: Mapping[str, Rendered], rung: Rung, record: RemediationStatus
) -> JobPlan | None:
    uid, ident = view.machine.metadata.uid, record.job.id if record.job is not None else ""
    if rung == "Reboot":
        return remedy_jobs.reboot_job(uid, ident, record.boot_id or "")
    listed = faults.services(wanted, joined=True)
    if rung == "Restart":
        hung = record.fault == reasons.SERVICE_HUNG
        # That software answers nothing does not tell which of its services it is.
        all_of = record.component if hung else None
        chosen = [
            name
            for name, component in listed
            if record.service in (None, name) or component == all_of
        ]
        return remedy_jobs.restart_job(uid, ident, chosen, hung=hung)
    failed = record.component or (listed[-1][1] if listed else "")
    if failed not in wanted:
        return None
    return component_jobs.component_job(
        uid,
        wanted[failed],
        Found(),
        record.attempts,
        base_url=view.machine.spec.artifacts.base_url,
        after={},
        ident=ident,
    )


def _pooled(view: MachineView) -> bool:
    return names.LABEL_HOST in view.machine.metadata.labels


def _with_result(view: MachineView) -> RemediationStatus | None:
    known = view.status.remediation
    if known is None or known.job is None or known.job.exit is not None:
        return known
    result = view.memory.jobs.get(known.job.id)
    if result is None or not result.ended:
        return known
    return known.model_copy(update={"job": known.job.model_copy(update={"exit": result.exit})})


def supervised(view: MachineView) -> bool:
    """Whether it is for the remediation to start services of a host that has served."""
    booting = reboot.pending(view.status) is not None
    if view.status.operation is not None or booting or _proves(view):
        # It does nothing then; whoever changes the node brings it to work again.
        return False
    watched, mode = view.memory.watched, view.machine.spec.remediation.mode
    watches = watched is not None and watched.rounds > 0
    repairs = mode == "Repair" and not view.paused_by
    return view.status.first_ready is not None and (watches or not repairs)


def _busy(
    view: MachineView,
    wanted: Mapping[str, Rendered],
    operation: Operation | None,
    changing: Sequence[str],
    *,
    reached: bool,
) -> str:
    """Why nothing may be done about the host just now."""
    if (boots := reboot.pending(view.status)) is not None:
        return f"the host boots for {boots.component}"
    if not reached:
        # Whatever was under way there goes on no more. Another host takes its place once that is no
        # fault of what was changed, see `kubenode.claims`.
        return ""
    if operation is not None or view.status.operation is not None:
        return "the node is being changed"
    jobs = {c.name: c.job for c in view.status.components if c.job is not None}
    ended = {name: job for name, job in jobs.items() if job.exit not in (None, 0)}
    failed = any(
        name in ended and install_plan.meant(view.machine, name, ended[name], wanted)
        for name in changing
    )
    if changing and not failed:
        # Where that does not get through, it may be for what fails. What failed before the spec went
        # on, or back, says nothing of that.
        return f"its software is being changed: {', '.join(changing)}"
    return "its kubelet was changed, and has yet to prove that it works" if _proves(view) else ""


def _proves(view: MachineView) -> bool:
    lately = view.monotonic - view.memory.changed < PROVING
    return view.status.kubelet_change is not None and lately
