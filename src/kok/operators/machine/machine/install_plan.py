"""What is to be on the host, and which jobs that takes now. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from kok import versions
from kok.api import names
from kok.api.cluster.cluster import Cluster
from kok.api.machine.component import Change, Component
from kok.api.machine.machine import (
    Job,
    Machine,
    MachineComponentStatus,
    MachineStatus,
    PlannedStep,
)
from kok.kube.budget.limits import MIB
from kok.operators.machine import cluster_version, reasons
from kok.operators.machine.component import catalog, component_jobs
from kok.operators.machine.component.render import ComponentError, Rendered
from kok.operators.machine.component.sandboxed import HELD_MOST, Templates
from kok.operators.machine.remote import host_paths, jobs
from kok.operators.machine.remote.jobs import JobPlan, JobResult
from kok.operators.machine.remote.survey import Found, Question, Survey
from kok.runtime.conditions import Verdict

RETRY_MIN = timedelta(seconds=5)
RETRY_MAX = timedelta(minutes=5)
SURPLUS = 16
"""Components that are taken away at a time: a host may invent some, and each takes a script."""
_DEPENDENCY_FAILED = 76


@dataclass(frozen=True, slots=True)
class Due:
    """Jobs to be started or waited for, and when the next ones are due."""

    plans: tuple[JobPlan, ...] = ()
    started: Mapping[str, Job] = field(default_factory=dict)
    """What to record of them, by component."""
    after: float | None = None
    """Seconds until something may be tried again; None: nothing waits."""


def questions(
    machine: Machine, components: Mapping[str, Component], templates: Templates
) -> tuple[list[Question], Verdict | None]:
    """What to ask a host, or why that cannot be said."""
    missing = [
        names.component(c.name, c.version)
        for c in machine.spec.components
        if c.name not in components
    ]
    if missing:
        return [], Verdict(
            False,
            reasons.COMPONENT_MISSING,
            f"Component {' and '.join(missing)} does not exist in namespace {machine.namespace}; "
            "create it or correct spec.components",
        )
    try:
        asked = [
            templates.question(components[c.name], machine, c.params)
            for c in machine.spec.components
        ]
    except ComponentError as error:
        return [], Verdict(False, reasons.COMPONENT_INVALID, str(error))
    return asked, None


def beyond(machine: Machine, name: str) -> Verdict:
    """What is wrong with a Machine whose Components are more than is held, from `name` on."""
    return Verdict(
        False,
        reasons.COMPONENTS_TOO_LARGE,
        f"Component {machine.namespace}/{name} takes, with those before it in spec.components, more "
        f"than {HELD_MOST // MIB} MiB of memory; make the Components smaller, what is large an "
        "artifact, or name fewer",
    )


def render(
    machine: Machine, components: Mapping[str, Component], templates: Templates, survey: Survey
) -> tuple[dict[str, Rendered], Verdict | None]:
    """Every component as it is to be on this host, or why that cannot be."""
    try:
        wanted = {
            c.name: templates.rendered(components[c.name], machine, c.params, survey)
            for c in machine.spec.components
        }
        component_jobs.needed_first(wanted, wanted)
    except (ComponentError, ValueError) as error:
        return {}, Verdict(False, reasons.COMPONENT_INVALID, str(error))
    return wanted, None


def skew(machine: Machine, cluster: Cluster | None) -> Verdict | None:
    """Why the Machine's kubelet must not serve the Cluster, or None."""
    version = next(
        (c.version for c in machine.spec.components if c.name == host_paths.KUBELET), None
    )
    if version is None or cluster is None:
        return None
    control = cluster_version.control(cluster)
    # A build of somebody's own has more behind a dash.
    problem = versions.check_skew(version.partition("-")[0], control)
    return Verdict(False, reasons.SKEW, f"spec.components: {problem}") if problem else None


def lacking(wanted: Mapping[str, Rendered], survey: Survey) -> list[str]:
    """The components that are not as they should be, those that others need first; then those
    that should not be there."""
    names_ = [n for n, r in wanted.items() if not r.right(survey.found.get(n, Found()))]
    return component_jobs.needed_first(names_, wanted) + surplus(wanted, survey)


def called_off(
    machine: Machine, status: MachineStatus, wanted: Mapping[str, Rendered]
) -> dict[str, Job]:
    """Jobs under way by component that do what is not wanted any more.

    The spec went back, or on to something else: what is on the host now is not what will be there.
    """
    found = {}
    for component in status.components:
        job = component.job
        if job is None or job.exit is not None:
            continue
        if not meant(machine, component.name, job, wanted):
            found[component.name] = job
    return found


def meant(machine: Machine, name: str, job: Job, wanted: Mapping[str, Rendered]) -> bool:
    """Whether a job of a component does what is wanted now."""
    item, uid = wanted.get(name), machine.metadata.uid
    version, config = (item.version, item.config) if item else ("", jobs.UNINSTALL)
    return job.id == jobs.job_id(uid, name, version, config, job.attempt)


def awaited(
    machine: Machine, wanted: Mapping[str, Rendered], off: Mapping[str, Job]
) -> tuple[JobPlan, ...]:
    """Jobs by which the ends of those are waited for."""
    return tuple(
        jobs.called_off_job(
            machine.metadata.uid,
            name,
            job.id,
            wanted[name].timeout if name in wanted else jobs.REMOVAL_TIMEOUT,
        )
        for name, job in sorted(off.items())
    )


def right(name: str, wanted: Mapping[str, Rendered], survey: Survey) -> bool:
    """Whether one component is as it should be."""
    return name in wanted and wanted[name].right(survey.found.get(name, Found()))


def surplus(wanted: Mapping[str, Rendered], survey: Survey) -> list[str]:
    """Components on the host that are no longer wanted, the first ones if there are many."""
    left = (n for n, found in survey.found.items() if found.begun and n not in wanted)
    return sorted(left)[:SURPLUS]


def planned(
    wanted: Mapping[str, Rendered], survey: Survey, *, drained: bool = False
) -> list[PlannedStep]:
    """What is to be done on the host, as its Machine's status tells it.

    `drained`: whether the node is, for another runtime or another minor version of its kubelet.
    """
    steps = []
    for name in lacking(wanted, survey):
        there, item = survey.found.get(name, Found()), wanted.get(name)
        needs: Change = item.needs(there) if item is not None else "nothing"
        if drained and (name == host_paths.KUBELET or catalog.exclusive(name)):
            needs = "reboot" if needs == "reboot" else "drain"
        steps.append(
            PlannedStep(
                component=name,
                action=component_jobs.action(item, there) if item is not None else "remove",
                before=there.version or None,
                after=item.version if item is not None else None,
                needs=needs,
            )
        )
    return steps


def due(
    machine: Machine,
    status: MachineStatus,
    wanted: Mapping[str, Rendered],
    survey: Survey,
    now: datetime,
    *,
    among: Collection[str],
) -> Due:
    """The jobs for what is lacking `among` these; others stay as they are, and nothing waits for them.
    One that is under way keeps its identity; one that failed is tried again, as another attempt, after
    a while that grows."""
    batch = _Batch(machine, {c.name: c.job for c in status.components}, now)
    missing = [name for name in lacking(wanted, survey) if name in among]
    # Of some kinds a host has one at a time: those that have to make room go first.
    for name in (n for n in missing if n not in wanted):
        batch.remove(name)
    for name in (n for n in missing if n in wanted):
        batch.install(wanted[name], survey.found.get(name, Found()))
    return Due(tuple(batch.plans), batch.started, min(batch.waits, default=None))


class _Batch:
    """Collects jobs, those that others need first."""

    def __init__(self, machine: Machine, before: Mapping[str, Job | None], now: datetime) -> None:
        self._machine = machine
        self._before = before
        self._now = now
        self._ids: dict[str, str] = {}
        self._blocked: set[str] = set()
        self._rivals: dict[str, dict[str, str]] = {}
        """Jobs that take software away, by what it is one of a kind of, and by its name; an empty ID
        where that has to wait."""
        self.plans: list[JobPlan] = []
        self.started: dict[str, Job] = {}
        self.waits: list[float] = []

    def install(self, item: Rendered, found: Found) -> None:
        """Puts a component in place, unless it or what it needs has to wait."""
        uid, old = self._machine.metadata.uid, self._before.get(item.name)
        attempt = next_attempt(uid, item, old)
        rivals = self._rivals.get(catalog.exclusive(item.name), {})
        blocked = any(d in self._blocked for d in item.depends_on) or not all(rivals.values())
        if self._waits(item.name, attempt) or blocked:
            self._blocked.add(item.name)
            return
        plan = component_jobs.component_job(
            uid,
            item,
            found,
            attempt,
            base_url=self._machine.spec.artifacts.base_url,
            after={d: self._ids[d] for d in item.depends_on if d in self._ids},
            gone=rivals,
        )
        self._ids[item.name] = plan.id
        self._add(plan, attempt)

    def remove(self, name: str) -> None:
        """Takes a component away."""
        uid, old = self._machine.metadata.uid, self._before.get(name)
        attempt = old.attempt if old is not None else 1
        plan = jobs.uninstall_job(uid, name, attempt)
        if old is not None and (old.id != plan.id or old.exit is not None):
            attempt += 1
            plan = jobs.uninstall_job(uid, name, attempt)
        free = old is None or old.script != jobs.UNINSTALL or not self._waits(name, attempt)
        if free:
            self._add(plan, attempt)
        if kind := catalog.exclusive(name):
            self._rivals.setdefault(kind, {})[name] = plan.id if free else ""

    def _waits(self, name: str, attempt: int) -> bool:
        delay = _delay(self._before.get(name), attempt, self._now)
        if delay > 0:
            self.waits.append(delay)
        return delay > 0

    def _add(self, plan: JobPlan, attempt: int) -> None:
        old = self._before.get(plan.component)
        self.plans.append(plan)
        if old is not None and old.id == plan.id:
            self.started[plan.component] = old
        else:
            self.started[plan.component] = Job(
                id=plan.id, script=plan.action, attempt=attempt, since=self._now
            )


def next_attempt(uid: str, item: Rendered, old: Job | None) -> int:
    """The number of the attempt that is to be made, or that is under way.

    Numbers never come again for a component of a machine: an identity that was used up stays so
    even if an earlier configuration is wanted once more.
    """
    if old is None:
        return 1
    same = old.id == jobs.job_id(uid, item.name, item.version, item.config, old.attempt)
    return old.attempt if same and old.exit is None else old.attempt + 1


def take_results(
    components: list[MachineComponentStatus], results: Mapping[str, JobResult]
) -> list[tuple[MachineComponentStatus, JobResult]]:
    """Notes how jobs ended; those that were news."""
    news = []
    for component in components:
        job = component.job
        result = results.get(job.id) if job is not None else None
        if job is None or result is None or job.exit is not None:
            continue
        if result.ended:
            component.job = job.model_copy(
                update={"exit": result.exit, "log": _tail(result.log) or None}
            )
            news.append((component, result))
    return news


def _delay(old: Job | None, attempt: int, now: datetime) -> float:
    """Seconds to wait before an attempt. Waiting for another component is no fault of its own."""
    if old is None or old.exit is None or old.exit in (0, _DEPENDENCY_FAILED):
        return 0.0
    pause = min(RETRY_MAX, RETRY_MIN * 2.0 ** min(attempt - 2, 10))
    return max(0.0, (old.since + pause - now).total_seconds())


def _tail(log: str, lines: int = 12, width: int = 300) -> str:
    return "\n".join(line[:width] for line in log.splitlines()[-lines:])
