"""Fetching beforehand what a host will need: a node is disturbed for the change alone, not for downloads.

The KubeNode names Components in an annotation of Machines that are next. Nothing else of the host is
touched, nothing waits for it, and what cannot be fetched is fetched, or told of, when it is needed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kok.api.fields import seconds
from kok.api.machine.component import Artifact, Component
from kok.api.machine.machine import Machine
from kok.api.names import ANNOTATION_PREFETCH
from kok.api.unreadable import Unreadable
from kok.kube.decoding.strip import unrecorded
from kok.kube.errors import KubeError
from kok.operators.machine.component import component_jobs
from kok.operators.machine.machine.operations.host_steps import HostStep, StepContext
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.remote import jobs, shell
from kok.operators.machine.remote.hosts import HostClient
from kok.operators.machine.remote.jobs import JobPlan, JobResult
from kok.operators.machine.remote.survey import Owner

PREFETCH: Final = "kok-prefetch"
"""In the place of a component's name: the job that only fetches."""
COMPONENTS_MOST: Final = 64
COMPONENT = Component.info.kind


def wanted(view: MachineView) -> str:
    """The names of the Components whose files are to be fetched, as the annotation has them; empty if
    there are none, or if that was done."""
    named = view.machine.metadata.annotations.get(ANNOTATION_PREFETCH, "")
    return "" if named == view.memory.prefetched or not view.mine else named


@dataclass(frozen=True, slots=True)
class Prefetch(HostStep):
    """Fetch files into the host's cache."""

    named: str

    async def run(self, context: StepContext) -> None:
        """Begins it."""
        p, client, survey = context.p, context.client, context.view.memory.survey
        if client is None or survey is None:
            return
        # Once is enough, however it ends.
        client.memory.prefetched = self.named
        artifacts, longest = list[Artifact](), 0.0
        for name in self.named.split(",")[:COMPONENTS_MOST]:
            try:
                found = await p.kube.get(COMPONENT, name, p.obj.namespace, keep=unrecorded)
                spec = Component.parse(found).spec if found is not None else None
            except (KubeError, Unreadable) as error:
                p.log.info("nothing fetched beforehand", component=name, error=str(error))
                continue
            if spec is not None:
                artifacts += [a for a in spec.artifacts if a.arch in (None, survey.arch)]
                longest += seconds(spec.timeout)
        plan = job(p.obj, self.named, artifacts, longest)
        work = self._fetch(client, plan, context.view.owner_mark)
        context.session.start("fetch", work, p.wake, beside=True)

    async def _fetch(self, client: HostClient, plan: JobPlan | None, owner: Owner) -> None:
        def ended(plan: JobPlan, result: JobResult) -> None:
            """Whoever needs what is missing tells of it."""
            del plan, result

        if plan is not None:
            await client.run_jobs([plan], owner, ended)


def job(
    machine: Machine, named: str, artifacts: Sequence[Artifact], timeout: float
) -> JobPlan | None:
    """The job that fetches these files, and nothing else; None if there are none."""
    if not artifacts:
        return None
    uid, base = machine.metadata.uid, machine.spec.artifacts.base_url
    sums = hashlib.sha256("\n".join(sorted(a.sha256 for a in artifacts)).encode()).hexdigest()[:16]
    ident = jobs.job_id(uid, PREFETCH, named, sums, 1)
    script = shell.compose(
        {"KOK_JOB": ident, "KOK_COMPONENT": PREFETCH, "KOK_UID": uid},
        shell.library("run"),
        "owned\nstep downloading\n",
        *(component_jobs.fetched_beside(a, base) for a in artifacts),
        "fetched\nfinish 0 Done ''\n",
    )
    return JobPlan(ident, PREFETCH, "prefetch", timeout, script)
