"""What to do next for one Machine: pure, a chain of questions whose order is the policy."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from kok.api.machine.machine import Finding, Job
from kok.api.operation import Operation
from kok.operators.machine import reasons
from kok.operators.machine.component import catalog
from kok.operators.machine.component.render import Rendered
from kok.operators.machine.machine import install_plan, joining, surveying
from kok.operators.machine.machine.observe import rival
from kok.operators.machine.machine.operations import adopted, adoption, prefetch, reboot, update
from kok.operators.machine.machine.operations.host_steps import (
    LOOK,
    AwaitJobs,
    Install,
    NoteReboots,
    RebootHost,
    Reclaim,
    RecordHostKey,
    ScanHostKey,
    Step,
    SurveyHost,
    refused,
)
from kok.operators.machine.machine.remediation import drift, ladder
from kok.operators.machine.machine.remediation import remedy as remedies
from kok.operators.machine.machine.remediation.ladder import Remedy
from kok.operators.machine.machine.view import MachineView, expected_key
from kok.operators.machine.remote import commands, host_identity, host_paths, preflight
from kok.operators.machine.remote.survey import Found, Survey, SurveyRequest
from kok.runtime.conditions import Verdict

UPDATE_AGAIN = 2.0
"""Seconds after which it is looked again whether a change for which a node is drained goes on."""
RECLAIM_EVERY = 60.0
"""Seconds between two clean-ups of what earlier Machines left. A host tells of one at a time."""
_CHANGES_KUBELET = frozenset({"install", "join"})
"""What goes on at a host while its kubelet may be changed."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The step, and what was found on the way to it, for the status."""

    step: Step
    seen: bool = False
    """Whether the host was seen and compared with what is wanted: the rest means something."""
    wanted: Mapping[str, Rendered] = field(default_factory=dict)
    lacking: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    """Of the preflight."""
    joining: str = ""
    """Why the host has not joined yet, if that is known; `-`: it has."""
    off: frozenset[str] = frozenset()
    """Components of which a job is under way that does what is not wanted any more."""
    operation: Operation | None = None
    """What is under way for which the node is drained; to be recorded before the step is begun."""
    drift: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """What on the host is not as it was made, by component."""
    remedy: Remedy = field(default_factory=Remedy)
    """What is known of a fault of the host, and what is done about it."""
    held: frozenset[str] = frozenset()
    """Components that are left as they were found when the host was adopted."""
    adopting: bool = False
    """Whether the host is to be adopted first, so that it is not this Machine's yet."""
    stands: Verdict | None = None
    """Why nothing could be done by what was last seen of the host, while it is looked at again."""

    @property
    def ours(self) -> Mapping[str, Rendered]:
        """What is wanted and was put on the host by us, or is to be: only that is watched and remedied."""
        return {name: item for name, item in self.wanted.items() if name not in self.held}

    def refused(self, among: Collection[str]) -> Verdict | None:
        """Why nothing can be done until something else changes, if for one of these reasons."""
        refusal = self.step.refusal or self.stands
        return refusal if refusal is not None and refusal.reason in among else None


def decide(view: MachineView) -> Decision:
    """What to do next."""
    return _with_remedy(view, _decide(view))


def _decide(view: MachineView) -> Decision:
    finish = update.finish(view)
    if finish is not None and finish.call is not None:
        return Decision(Step(action=finish, after=finish.after), operation=finish.operation)
    found = _at_host(view)
    if finish is not None:
        return found
    step = found.step
    now = step.action.operation if step.action is not None else update.underway(view)
    if now is not None and step.idle and not view.doing and view.wait <= 0:
        # What it waits for may be told by this very pass, and the next one goes by that.
        step = replace(step, after=min(step.after or UPDATE_AGAIN, UPDATE_AGAIN))
    return replace(found, step=step, operation=now)


def _at_host(view: MachineView) -> Decision:
    step = _reach(view)
    if step is not None:
        return Decision(step)
    if view.objects.beyond:
        return Decision(refused(install_plan.beyond(view.machine, view.objects.beyond)))
    questions, problem = install_plan.questions(
        view.machine, view.objects.components, view.templates
    )
    if problem is not None:
        return Decision(refused(problem))
    request = surveying.request(view, questions)
    survey = view.memory.survey
    if survey is None or view.memory.asked != request.digest:
        return Decision(Step() if view.doing else Step(SurveyHost(request)))
    wanted, problem = install_plan.render(
        view.machine, view.objects.components, view.templates, survey
    )
    if problem is not None:
        return Decision(refused(problem))
    return _compared(view, request, survey, wanted)


def _compared(
    view: MachineView, request: SurveyRequest, survey: Survey, wanted: Mapping[str, Rendered]
) -> Decision:
    """What to do at a host that was seen, going by what is there and what is wanted."""
    off = install_plan.called_off(view.machine, view.status, wanted)
    drifted = drift.drifted(wanted, survey) if view.mine else {}
    adopting = adoption.asked(view, survey)
    held = frozenset(wanted) if adopting else adopted.held(view)
    changed = [name for name in install_plan.lacking(wanted, survey) if name not in held]
    repairs = view.machine.spec.remediation.mode == "Repair" and not view.paused_by
    lacks = drift.left(changed, drifted, repairs=repairs)
    lacking = (*lacks, *(name for name in sorted(off) if name not in lacks))
    fetches = bool(lacking)
    findings = tuple(_findings(view, survey, wanted, fetches=fetches, adopting=adopting))
    step: Step | None
    if adopting:
        step = _another_host(view, survey) or adoption.step(view, survey, wanted)
    else:
        step = _use(view, survey, findings) or _called_off(view, wanted, off)
        step = step or _software(view, wanted, survey, lacking) or _boot(view, wanted, survey)
        if step is None or _waits(step):
            # It serves for as long as that takes, and with credentials that are good.
            joins = joining.step(view, survey)
            step = joins if step is None or joins.call is not None else step
        if step.idle:
            step = _at_rest(view, step, findings, lacks=bool(lacking))
    stale = view.monotonic - surveying.seen(view.memory) >= surveying.keeps(view, findings)
    # What was in the way is, until the host was seen without it.
    stands = step.refusal if view.doing == LOOK or (stale and not view.doing) else None
    if view.doing:
        step = Step()
    elif stale:
        step = Step(SurveyHost(request))
    return Decision(
        step,
        True,
        wanted,
        lacking,
        findings,
        joining.why_not(view) if not adopting else "",
        off=frozenset(off),
        drift=drifted,
        held=held,
        adopting=adopting,
        stands=stands,
    )


def _at_rest(view: MachineView, step: Step, findings: Sequence[Finding], *, lacks: bool) -> Step:
    """What is done where nothing has to be done now."""
    if not lacks and (named := prefetch.wanted(view)):
        return Step(prefetch.Prefetch(named))
    waits = [s for s in (step.after, surveying.again(view, findings)) if s is not None]
    return Step(after=min(waits, default=None))


def _with_remedy(view: MachineView, found: Decision) -> Decision:
    """The same, unless something is to be done about a fault of the host before all else."""
    changing = [name for name in found.lacking if name not in found.drift]
    ours = found.ours
    remedy = remedies.decide(view, ours, operation=found.operation, changing=changing)
    looks = isinstance(found.step.call, SurveyHost | ScanHostKey | RecordHostKey | Reclaim)
    ready = found.seen and not looks
    step = remedies.choose(view, found.step, ours, remedy, ready=ready)
    return replace(found, step=step, remedy=remedy)


def drains(view: MachineView) -> bool:
    """Whether a Component asks now for an operation that is not begun: it matters whose turn it is."""
    return update.may_drain(view) and decide(view).operation is not None


def attempts(view: MachineView) -> bool:
    """Whether another attempt about a fault of the host begins now unless the breaker holds.

    It is the very decision that follows, with all that it goes by: whether the host is reached, which
    job has just ended, and what else goes on there.
    """
    # What is seen for the first time has to last before anything is tried, see `faults`.
    return ladder.active(view.status.remediation) and decide(replace(view, held="")).remedy.begins


def kubelet_started(view: MachineView, decision: Decision) -> bool:
    """Whether nothing is being changed any more: the kubelet that is wanted was started."""
    return (
        decision.seen
        and view.doing not in _CHANGES_KUBELET
        and host_paths.KUBELET not in decision.lacking
        and decision.joining == "-"
    )


def _reach(view: MachineView) -> Step | None:
    """The way to the host: credentials, host key, patience after errors."""
    objects, memory = view.objects, view.memory
    if not view.mine and objects.others is not None:
        problem = rival(view.machine, objects.others, objects.odd)
        if problem is not None:
            return refused(problem)
    if objects.refusal is not None:
        return refused(objects.refusal)
    if view.doing and memory.survey is None:
        return Step()
    if view.wait > 0:
        return Step(after=view.wait)
    want = expected_key(view.machine, view.status)
    if want.fingerprint is None:
        return (
            Step(RecordHostKey(memory.shown_key), 0.0) if memory.shown_key else Step(ScanHostKey())
        )
    return None


def _findings(
    view: MachineView,
    survey: Survey,
    wanted: Mapping[str, Rendered],
    *,
    fetches: bool,
    adopting: bool,
) -> list[Finding]:
    # Software that is no longer wanted may be of the kinds that come along.
    services = {name: catalog.services(name) for name in survey.found}
    services |= {name: made.services or catalog.services(name) for name, made in wanted.items()}
    return preflight.findings(
        preflight.PreflightInput(
            survey=survey,
            params={c.name: c.params for c in view.machine.spec.components},
            services=services,
            neighbours=view.memory.neighbours,
            fetches=fetches,
            begun=view.mine or adopting,
            adopts=adopting,
            member=not adopting and not view.mine and adoption.member(view, survey),
            base_url=view.machine.spec.artifacts.base_url,
            networks=view.objects.networks,
        )
    )


def _use(view: MachineView, survey: Survey, findings: tuple[Finding, ...]) -> Step | None:
    """Whether the host may be used: it is nobody else's, and fit."""
    owner, uid = survey.owner, view.machine.metadata.uid
    if owner.uid and owner.uid != uid:
        if view.objects.left_behind:
            after = view.memory.reclaimed + RECLAIM_EVERY - view.monotonic
            return Step(Reclaim(owner)) if after <= 0 else Step(after=after)
        text = commands.taken(view.machine.spec.address, owner, view.machine.namespace)
        return refused(Verdict(False, reasons.HOST_IN_USE, text), view.recheck)
    if (step := _another_host(view, survey)) is not None:
        return step
    if not preflight.passed(findings):
        problem = Verdict(False, reasons.PREFLIGHT_FAILED, preflight.sentence(findings))
        return refused(problem, view.recheck)
    return None


def _another_host(view: MachineView, survey: Survey) -> Step | None:
    """A host that is not marked, if it cannot be the one of the Machine, is left alone."""
    problem = _another(view) if not survey.owner.uid else None
    return refused(problem, view.recheck) if problem is not None else None


def _another(view: MachineView) -> Verdict | None:
    """What is wrong with it."""
    machine, was = view.machine, view.status.installed_on
    want = expected_key(machine, view.status)
    spec, behind = machine.spec, machine.spec.ssh.behind
    found = host_identity.compare(was, spec.address, spec.port, want, behind)
    if was is None or found is not host_identity.HostMatch.OTHER:
        return None
    return Verdict(
        False,
        reasons.ANOTHER_HOST,
        f"{host_identity.told(was, spec.port, want, behind)}: write "
        f"{host_identity.fields(was, behind, 'spec.')} as they were, or delete the Machine and create "
        "another for the other host",
    )


def _called_off(
    view: MachineView, wanted: Mapping[str, Rendered], off: Mapping[str, Job]
) -> Step | None:
    """The ends of jobs that do what is not wanted any more are waited for."""
    return Step(AwaitJobs(install_plan.awaited(view.machine, wanted, off))) if off else None


def _software(
    view: MachineView, wanted: Mapping[str, Rendered], survey: Survey, lacking: tuple[str, ...]
) -> Step | None:
    if not lacking:
        return None
    if _other_kubelet(wanted, survey, lacking):
        problem = install_plan.skew(view.machine, view.objects.cluster)
        if problem is not None:
            return refused(problem, view.recheck)
    found = install_plan.due(view.machine, view.status, wanted, survey, view.now, among=lacking)
    if not found.plans:
        return Step(after=found.after)
    gate = update.gate(view, lacking)
    if isinstance(gate, Verdict):
        return refused(gate, view.recheck)
    if gate is not None and gate.call is not None:
        return Step(action=gate, after=gate.after)
    return Step(Install(found.plans, wanted), started=found.started, action=gate)


def _boot(view: MachineView, wanted: Mapping[str, Rendered], survey: Survey) -> Step | None:
    """The boot of the host for which software asks, once all of it is there."""
    known = reboot.noted(view.status.reboots, wanted, survey, view.now)
    if known != view.status.reboots:
        return Step(NoteReboots(tuple(known)), 0.0)
    asked, problem = reboot.pending(view.status), reboot.told(view.status)
    if asked is None:
        return refused(problem, view.recheck) if problem is not None else None
    gate = update.gate(view)
    if isinstance(gate, Verdict):
        return refused(gate, view.recheck)
    if gate is not None and gate.call is not None:
        return Step(action=gate, after=gate.after)
    return Step(RebootHost(asked.boot), action=gate)


def _other_kubelet(
    wanted: Mapping[str, Rendered], survey: Survey, lacking: tuple[str, ...]
) -> bool:
    """Whether the kubelet is to get another version than is on the host, if there is one."""
    there = survey.found.get(host_paths.KUBELET, Found()).version
    kubelet = wanted.get(host_paths.KUBELET)
    return host_paths.KUBELET in lacking and kubelet is not None and there != kubelet.version


def _waits(step: Step) -> bool:
    """Whether software has to wait for something that is no fault of it."""
    begins = step.action is not None and step.action.call is not None
    return begins or (step.refusal is not None and step.refusal.reason in update.HOLDS)
