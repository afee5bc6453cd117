"""What is done on a host, one coroutine each. They write what they find into the memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.machine import metrics
from kok.operators.machine.component import catalog
from kok.operators.machine.component.render import Rendered
from kok.operators.machine.machine.steps import Look
from kok.operators.machine.node import bootstrap_tokens, tend
from kok.operators.machine.remote import commands, host_paths, jobs
from kok.operators.machine.remote.host_identity import place_of
from kok.operators.machine.remote.jobs import JobPlan, JobResult
from kok.operators.machine.remote.join import Joining
from kok.operators.machine.remote.session import NEVER, HostMemory
from kok.operators.machine.remote.ssh import Connection, Connections, HostError, Target
from kok.operators.machine.remote.survey import Found, Owner
from kok.runtime.clock import Clock

_LOST = -1


@dataclass(frozen=True, slots=True)
class Introduction:
    """What makes a bootstrap token: the business cluster and the token's ID."""

    kube: Kube
    token_id: str
    machine: str
    """`namespace/name`"""


@dataclass(frozen=True, slots=True)
class Hand:
    """The operator's hand on one host."""

    connections: Connections
    clock: Clock
    uid: str
    """The Machine's."""
    target: Target
    memory: HostMemory
    wake: Callable[[], None]
    key: str = ""
    """Of the connection; the Machine's UID if empty."""

    async def _connection(self) -> Connection:
        return await self.connections.get(self.key or self.uid, self.target, self._lost)

    def _lost(self, error: HostError) -> None:
        """The host, or the way to it, is no longer what it was."""
        self.memory.lost(error, self.clock.monotonic())
        self.wake()

    async def look(self, what: Look) -> None:
        """Sees how the host is."""
        connection, asked = await self._connection(), self.clock.monotonic()
        found = await commands.look(
            connection, what.questions, what.urls, what.towards, self.clock.now
        )
        memory = self.memory
        memory.survey = found.of(what.questions, what.urls)
        memory.asked, memory.identity, memory.identified = what.digest, found.identity, asked
        memory.surveyed = self.clock.monotonic()
        memory.place, memory.reached = place_of(self.target), connection.reached

    async def install(
        self, plans: Sequence[JobPlan], owner: Owner, wanted: Mapping[str, Rendered]
    ) -> None:
        """Has jobs done, and takes note of each as it ends."""
        begun = self.clock.monotonic()
        by_id = {plan.id: plan for plan in plans}

        def told(result: JobResult) -> None:
            self.memory.heard_of(result.id, result)
            plan = by_id[result.id]
            if result.ended:
                seconds = self.clock.monotonic() - begun
                metrics.JOB_SECONDS.labels(_label(plan, wanted), plan.action).observe(seconds)
                self._ended(plan, result, wanted)
            self.wake()

        await commands.work(await self._connection(), plans, owner, told, self.clock)
        self._own(owner)

    def _ended(self, plan: JobPlan, result: JobResult, all_wanted: Mapping[str, Rendered]) -> None:
        survey, wanted = self.memory.survey, all_wanted.get(plan.component)
        if result.exit != 0:
            metrics.JOBS_FAILED.labels(_label(plan, all_wanted), result.reason).inc()
            # What it left behind has to be seen before anything is tried again.
            self.memory.surveyed = NEVER
        elif plan.component == host_paths.KUBELET:
            self.memory.changed = self.clock.monotonic()
        if survey is None or result.exit != 0:
            return
        rest = {name: found for name, found in survey.found.items() if name != plan.component}
        if wanted is not None:
            rest[plan.component] = Found(
                version=wanted.version,
                files={f.path: (f.mode, f.digest) for f in wanted.files},
                recorded=wanted.config,
                begun=True,
            )
        self.memory.survey = replace(survey, found=rest)

    def _own(self, owner: Owner) -> None:
        if self.memory.survey is not None:
            self.memory.survey = replace(self.memory.survey, owner=owner)

    async def join(self, joining: Joining, introduce: Introduction | None) -> None:
        """Lets the kubelet in, with a token where it needs one."""
        if introduce is not None:
            text = await tend.bootstrap(
                introduce.kube, introduce.token_id, introduce.machine, joining.access, self.clock
            )
            joining = replace(joining, bootstrap=text)
        self.memory.identity = await commands.let_join(await self._connection(), joining)
        # What it told was asked for after the kubelet was started.
        self.memory.joined = self.memory.changed = self.memory.identified = self.clock.monotonic()

    async def finish(self, token_id: str | None, kube: Kube | None) -> None:
        """Takes the bootstrap token back, once the kubelet has a certificate of its own."""
        asked = self.memory.finished = self.clock.monotonic()
        found = await commands.finish_joining(await self._connection(), self.uid)
        self.memory.identity, self.memory.identified = found, asked
        self.memory.unfinished = self.memory.unfinished + 1 if found.bootstrap else 0
        if found.certificate and token_id is not None and kube is not None:
            await kube.delete(
                kinds.SECRET, bootstrap_tokens.secret_name(token_id), bootstrap_tokens.NAMESPACE
            )
            self.memory.token_gone = token_id

    async def clean(self, owner: Owner, *, marked: bool = False) -> None:
        """Takes everything of an owner away from the host. Raises `RemovalFailed` if the job
        for that did not go through, and `HostTaken` if the host is somebody else's, or, with
        `marked`, nobody's."""
        connection = await self._connection()
        ends: list[JobResult] = []

        def told(result: JobResult) -> None:
            self.memory.heard_of(jobs.REMOVAL, result)
            if result.ended:
                ends.append(result)
            self.wake()

        job = jobs.removal_job(owner.uid, self.memory.removals)
        await commands.work(connection, [job], owner, told, self.clock, marked=marked)
        if ends and ends[-1].exit == 0:
            # Whatever is left is only taken away by a job of another name.
            self.memory.removals += 1
            await commands.forget(connection, owner.uid)
            self.memory.survey = None
            self.memory.surveyed = NEVER
            self.memory.jobs.clear()
            self.memory.cleaned = owner.uid == self.uid
            self.memory.reclaimed = self.clock.monotonic()
            return
        self.memory.removals += 1
        end = ends[-1] if ends else JobResult(jobs.REMOVAL, _LOST)
        raise commands.RemovalFailed(end.message or "the removal ended without telling how", end)


def _label(plan: JobPlan, wanted: Mapping[str, Rendered]) -> str:
    """A component's name for metrics: those of users, and those to be removed, may have any."""
    if plan.component not in wanted:
        return "removed"
    return plan.component if plan.component in catalog.builtin() else "other"
