"""What is done on a host, one coroutine each. They write what they find into the view."""

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
from kok.operators.machine.remote import agent, jobs, paths
from kok.operators.machine.remote.jobs import JobPlan, JobResult
from kok.operators.machine.remote.join import Joining
from kok.operators.machine.remote.places import place_of
from kok.operators.machine.remote.session import NEVER, View
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
    view: View
    wake: Callable[[], None]
    key: str = ""
    """Of the connection; the Machine's UID if empty."""

    async def _connection(self) -> Connection:
        return await self.connections.get(self.key or self.uid, self.target, self._lost)

    def _lost(self, error: HostError) -> None:
        """The host, or the way to it, is no longer what it was."""
        self.view.lost(error, self.clock.monotonic())
        self.wake()

    async def look(self, what: Look) -> None:
        """Sees how the host is."""
        connection, asked = await self._connection(), self.clock.monotonic()
        found = await agent.look(
            connection, what.questions, what.urls, what.towards, self.clock.now
        )
        view = self.view
        view.survey = found.of(what.questions, what.urls)
        view.asked, view.identity, view.identified = what.digest, found.identity, asked
        view.surveyed = self.clock.monotonic()
        view.place, view.reached = place_of(self.target), connection.reached

    async def install(
        self, plans: Sequence[JobPlan], owner: Owner, wanted: Mapping[str, Rendered]
    ) -> None:
        """Has jobs done, and takes note of each as it ends."""
        begun = self.clock.monotonic()
        by_id = {plan.id: plan for plan in plans}

        def told(result: JobResult) -> None:
            self.view.heard_of(result.id, result)
            plan = by_id[result.id]
            if result.ended:
                seconds = self.clock.monotonic() - begun
                metrics.JOB_SECONDS.labels(_label(plan, wanted), plan.action).observe(seconds)
                self._ended(plan, result, wanted)
            self.wake()

        await agent.work(await self._connection(), plans, owner, told, self.clock)
        self._own(owner)

    def _ended(self, plan: JobPlan, result: JobResult, all_wanted: Mapping[str, Rendered]) -> None:
        survey, wanted = self.view.survey, all_wanted.get(plan.component)
        if result.exit != 0:
            metrics.JOBS_FAILED.labels(_label(plan, all_wanted), result.reason).inc()
            # What it left behind has to be seen before anything is tried again.
            self.view.surveyed = NEVER
        elif plan.component == paths.KUBELET:
            self.view.changed = self.clock.monotonic()
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
        self.view.survey = replace(survey, found=rest)

    def _own(self, owner: Owner) -> None:
        if self.view.survey is not None:
            self.view.survey = replace(self.view.survey, owner=owner)

    async def join(self, joining: Joining, introduce: Introduction | None) -> None:
        """Lets the kubelet in, with a token where it needs one."""
        if introduce is not None:
            text = await tend.bootstrap(
                introduce.kube, introduce.token_id, introduce.machine, joining.access, self.clock
            )
            joining = replace(joining, bootstrap=text)
        self.view.identity = await agent.let_join(await self._connection(), joining)
        # What it told was asked for after the kubelet was started.
        self.view.joined = self.view.changed = self.view.identified = self.clock.monotonic()

    async def finish(self, token_id: str | None, kube: Kube | None) -> None:
        """Takes the bootstrap token back, once the kubelet has a certificate of its own."""
        asked = self.view.finished = self.clock.monotonic()
        found = await agent.finish_joining(await self._connection(), self.uid)
        self.view.identity, self.view.identified = found, asked
        self.view.unfinished = self.view.unfinished + 1 if found.bootstrap else 0
        if found.certificate and token_id is not None and kube is not None:
            await kube.delete(
                kinds.SECRET, bootstrap_tokens.secret_name(token_id), bootstrap_tokens.NAMESPACE
            )
            self.view.token_gone = token_id

    async def clean(self, owner: Owner, *, marked: bool = False) -> None:
        """Takes everything of an owner away from the host. Raises `RemovalFailed` if the job
        for that did not go through, and `HostTaken` if the host is somebody else's, or, with
        `marked`, nobody's."""
        connection = await self._connection()
        ends: list[JobResult] = []

        def told(result: JobResult) -> None:
            self.view.heard_of(jobs.REMOVAL, result)
            if result.ended:
                ends.append(result)
            self.wake()

        job = jobs.removal_job(owner.uid, self.view.removals)
        await agent.work(connection, [job], owner, told, self.clock, marked=marked)
        if ends and ends[-1].exit == 0:
            # Whatever is left is only taken away by a job of another name.
            self.view.removals += 1
            await agent.forget(connection, owner.uid)
            self.view.survey = None
            self.view.surveyed = NEVER
            self.view.jobs.clear()
            self.view.cleaned = owner.uid == self.uid
            self.view.reclaimed = self.clock.monotonic()
            return
        self.view.removals += 1
        end = ends[-1] if ends else JobResult(jobs.REMOVAL, _LOST)
        raise agent.RemovalFailed(end.message or "the removal ended without telling how", end)


def _label(plan: JobPlan, wanted: Mapping[str, Rendered]) -> str:
    """A component's name for metrics: those of users, and those to be removed, may have any."""
    if plan.component not in wanted:
        return "removed"
    return plan.component if plan.component in catalog.builtin() else "other"
