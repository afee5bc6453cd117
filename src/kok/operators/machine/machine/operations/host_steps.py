"""Steps at a Machine's host: values to which a decision comes, each with what it does.

A step takes longer than a pass may. What must be in the status before it is begun is recorded by
`record`; `run` has it go on apart from the pass, and its end wakes the Machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from kok.api.machine.machine import HostReboot, Job, Machine, MachineStatus
from kok.api.operation import Operation
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.machine import metrics, reasons
from kok.operators.machine.component import catalog
from kok.operators.machine.component.render import Rendered
from kok.operators.machine.machine import kubelet_change
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.node import bootstrap_tokens, early_node
from kok.operators.machine.node.cluster_connections import ClusterConnection
from kok.operators.machine.remote import host_identity, host_paths
from kok.operators.machine.remote.hosts import HostClient
from kok.operators.machine.remote.jobs import JobPlan, JobResult
from kok.operators.machine.remote.join import ClusterEndpoint, Joining, JoinPlan
from kok.operators.machine.remote.session import NEVER, HostMemory, Session
from kok.operators.machine.remote.ssh import Connections
from kok.operators.machine.remote.survey import Found, Owner, SurveyRequest
from kok.runtime.conditions import Verdict
from kok.runtime.controller.reconciler import Pass
from kok.runtime.operations.action import Action
from kok.workload.csr import by_token

LOOK = "look"
"""What a session is doing while the host is looked at."""


@dataclass(frozen=True, slots=True)
class StepContext:
    """All that steps work with."""

    p: Pass[Machine]
    view: MachineView
    session: Session
    ssh: Connections
    """Connections to hosts."""
    client: HostClient | None
    """The way to the host; None if there is none, and then nothing is done there."""
    connection: ClusterConnection | None
    """To the business cluster, as it is by now; the view has how it was."""


class HostStep:
    """One thing to do at a host."""

    def record(self, context: StepContext) -> bool:
        """Puts into the status what must be known before; whether there is anything of that kind."""
        del context
        return False

    async def run(self, context: StepContext) -> None:
        """Begins it."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is done about a Machine now."""

    call: HostStep | None = None
    """What to do at its host."""
    after: float | None = None
    """Seconds until the next pass; None: until something wakes the Machine."""
    refusal: Verdict | None = None
    """Why nothing can be done until something else changes."""
    started: Mapping[str, Job] = field(default_factory=dict)
    """Jobs that are begun, or go on, by component."""
    turns: bool = False
    """Whether it turns to another address or CA of its cluster, which comes to one at a time."""
    action: Action[Operation, StepContext] | None = None
    """What is done about its Node, as an operation; where it has no call of its own, `call` is."""

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do, and nothing in the way."""
        return self.call is None and self.refusal is None and self.action is None


def refused(why: Verdict, after: float = 5.0) -> Step:
    """Nothing can be done until something else changes; it is looked at again after some seconds."""
    return Step(refusal=why, after=after)


@dataclass(frozen=True, slots=True)
class ScanHostKey(HostStep):
    """Look which key the host shows."""

    async def run(self, context: StepContext) -> None:
        """Begins it."""
        spec, memory = context.p.obj.spec, context.session.memory
        jump = context.view.objects.bastion

        async def scan() -> None:
            memory.shown_key = await context.ssh.scan(spec.address, spec.port, jump)

        context.session.start("scan", scan(), context.p.wake)


@dataclass(frozen=True, slots=True)
class RecordHostKey(HostStep):
    """Write down the key of the host; that is all."""

    fingerprint: str

    def record(self, context: StepContext) -> bool:
        """Of a host that is trusted at first use."""
        status: MachineStatus = context.p.status
        status.host_key, status.host_key_since = self.fingerprint, context.p.now
        return True


@dataclass(frozen=True, slots=True)
class SurveyHost(HostStep):
    """Look at the host."""

    request: SurveyRequest

    async def run(self, context: StepContext) -> None:
        """Begins it."""
        if context.client is not None:
            context.session.start(LOOK, context.client.look(self.request), context.p.wake)


@dataclass(frozen=True, slots=True)
class Reclaim(HostStep):
    """Clean up after a Machine of ours that is gone."""

    owner: Owner

    async def run(self, context: StepContext) -> None:
        """Begins it."""
        if context.client is not None:
            context.session.start("clean", context.client.clean(self.owner), context.p.wake)


@dataclass(frozen=True, slots=True)
class Install(HostStep):
    """Bring the software to what it should be."""

    plans: tuple[JobPlan, ...]
    wanted: Mapping[str, Rendered] = field(default_factory=dict, repr=False)

    def record(self, context: StepContext) -> bool:
        """Makes the removal look for what was begun, come what may, and where."""
        if context.client is None:
            return False
        status: MachineStatus = context.p.status
        place = host_identity.place_of(context.client.target)
        if (text := host_identity.replaced(status.installed_on, place)) is not None:
            context.p.event(reasons.HOST_REPLACED, text, warning=True)
        status.installed_on = place
        for job in self._kubelet_jobs:
            status.kubelet_change = kubelet_change.begun(context.view, status, job.id)
        return True

    async def run(self, context: StepContext) -> None:
        """Begins the jobs, or goes on waiting for them."""
        if context.client is None:
            return
        if self._kubelet_jobs:
            kubelet_change.mark(context.p.status, context.session.memory, context.view.monotonic)
        work = partial(self._jobs, context.client, context.view.owner_mark)
        kube = context.connection.kube if context.connection is not None else None
        noting = kubelet_change.noting(context.p, kube, context.session.memory, work)
        context.session.start("install", noting, context.p.wake)

    @property
    def _kubelet_jobs(self) -> list[JobPlan]:
        return [job for job in self.plans if job.component == host_paths.KUBELET]

    async def _jobs(self, client: HostClient, owner: Owner) -> None:
        begun = client.clock.monotonic()

        def ended(plan: JobPlan, result: JobResult) -> None:
            seconds = client.clock.monotonic() - begun
            label = _label(plan, self.wanted)
            metrics.JOB_SECONDS.labels(label, plan.action).observe(seconds)
            if result.exit != 0:
                metrics.JOBS_FAILED.labels(label, result.reason).inc()
            self._note(client.memory, plan, result, client.clock.monotonic())

        await client.run_jobs(self.plans, owner, ended)

    def _note(self, memory: HostMemory, plan: JobPlan, result: JobResult, now: float) -> None:
        """What is on the host after a job."""
        if result.exit != 0:
            # What it left behind has to be seen before anything is tried again.
            memory.surveyed = NEVER
            return
        if plan.component == host_paths.KUBELET:
            memory.changed = now
        survey, wanted = memory.survey, self.wanted.get(plan.component)
        if survey is None:
            return
        rest = {name: found for name, found in survey.found.items() if name != plan.component}
        if wanted is not None:
            rest[plan.component] = Found(
                version=wanted.version,
                files={f.path: (f.mode, f.digest) for f in wanted.files},
                recorded=wanted.config,
                begun=True,
            )
        memory.survey = replace(survey, found=rest)


def _label(plan: JobPlan, wanted: Mapping[str, Rendered]) -> str:
    """A component's name for metrics: those of users, and those to be removed, may have any."""
    if plan.component not in wanted:
        return "removed"
    return plan.component if plan.component in catalog.builtin() else "other"


@dataclass(frozen=True, slots=True)
class AwaitJobs(HostStep):
    """Wait for jobs that do what is not wanted any more; then the host is looked at again."""

    plans: tuple[JobPlan, ...]

    async def run(self, context: StepContext) -> None:
        """Begins it."""
        if context.client is not None:
            work = self._wait(context.client, context.view.owner_mark)
            context.session.start("install", work, context.p.wake)

    async def _wait(self, client: HostClient, owner: Owner) -> None:
        def ended(plan: JobPlan, result: JobResult) -> None:
            del plan, result
            client.memory.surveyed = NEVER

        await client.run_jobs(self.plans, owner, ended)


@dataclass(frozen=True, slots=True)
class NoteReboots(HostStep):
    """Write down for which boots software asks, and which are over; that is all."""

    known: tuple[HostReboot, ...]

    def record(self, context: StepContext) -> bool:
        """Before the host is booted for any of them."""
        status: MachineStatus = context.p.status
        status.reboots = list(self.known)
        return True


@dataclass(frozen=True, slots=True)
class RebootHost(HostStep):
    """Boot the host, unless it has booted since."""

    boot: str
    """The boot that is to end, as recorded."""

    async def run(self, context: StepContext) -> None:
        """Begins it."""
        if context.client is not None:
            context.session.start("reboot", context.client.reboot(self.boot), context.p.wake)


@dataclass(frozen=True, slots=True)
class JoinCluster(HostStep):
    """Let the kubelet in."""

    todo: JoinPlan

    def record(self, context: StepContext) -> bool:
        """The ID of the token, so that it is found and taken back whatever happens after."""
        status: MachineStatus = context.p.status
        if context.client is None or context.connection is None:
            return False
        if self.todo.token and status.token_id is None:
            status.token_id = bootstrap_tokens.new_id()
        status.kubelet_change = kubelet_change.begun(context.view, status, kubelet_change.JOIN)
        return True

    async def run(self, context: StepContext) -> None:
        """Begins it."""
        p, endpoint, connection = context.p, context.view.objects.endpoint, context.connection
        if context.client is None or connection is None:
            return  # A connection that is gone since the look has woken the Machine.
        if endpoint is None:
            raise AssertionError("nobody joins a cluster that cannot take nodes")
        kubelet_change.mark(p.status, context.session.memory, context.view.monotonic)
        token = p.status.token_id
        if self.todo.token and token is not None:
            # The Machine as it was read does not have it yet.
            connection.on_asker(by_token(token), p.obj.metadata.uid, p.wake)
        work = partial(self._join, p.obj, context.client, connection, token, endpoint)
        noting = kubelet_change.noting(p, connection.kube, context.session.memory, work)
        context.session.start("join", noting, p.wake)

    async def _join(
        self,
        machine: Machine,
        client: HostClient,
        connection: ClusterConnection,
        token: str | None,
        endpoint: ClusterEndpoint,
    ) -> None:
        taints = tuple(machine.spec.taints)
        joining = Joining(machine.metadata.uid, self.todo, endpoint, taints)
        if self.todo.token and token is not None:
            name = f"{machine.namespace}/{machine.name}"
            text = await bootstrap_tokens.ensure(
                connection.kube, token, name, endpoint, client.clock
            )
            joining = replace(joining, bootstrap=text)
        await client.join(joining)
        survey = client.memory.survey
        if self.todo.token and survey is not None:
            # Only now: a host that cannot reach its cluster has no Node there.
            await early_node.make(connection.kube, machine, survey.arch)


@dataclass(frozen=True, slots=True)
class TakeTokenBack(HostStep):
    """Remove the bootstrap token, on the host and in the cluster, once it is needed no more."""

    async def run(self, context: StepContext) -> None:
        """Begins it."""
        if context.client is None:
            return
        kube = context.connection.kube if context.connection is not None else None
        work = self._finish(context.client, context.p.status.token_id, kube)
        context.session.start("finish", work, context.p.wake)

    async def _finish(self, client: HostClient, token: str | None, kube: Kube | None) -> None:
        found = await client.finish_joining()
        if found.certificate and token is not None and kube is not None:
            await kube.delete(
                kinds.SECRET, bootstrap_tokens.secret_name(token), bootstrap_tokens.NAMESPACE
            )
            client.memory.token_gone = token
