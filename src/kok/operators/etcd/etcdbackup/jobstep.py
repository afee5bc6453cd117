"""One pass over an EtcdBackup in which a Job of its is made or judged: what all such passes share.

Each attempt is recorded before its Job is made, and the Job's name follows from the record. What a
Job has come to is recorded before the Job is removed: no later pass would find it out.
"""

from __future__ import annotations

from typing import Final

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.fields import Images
from kok.api.meta import Manifest
from kok.operators.etcd import reasons
from kok.operators.etcd.etcdbackup.conditions import Outcome
from kok.operators.etcd.jobs import manifest as render
from kok.operators.etcd.jobs import work
from kok.operators.etcd.jobs.outcome import Failed
from kok.operators.etcd.jobs.slots import Slots
from kok.operators.etcd.settings import EtcdSettings
from kok.runtime.conditions import Verdict
from kok.runtime.controller.reconciler import Pass

LOOK = 15.0
"""Seconds between two looks at a Job that runs: its end wakes us, the refusal of its pod does not."""
MISREPORTED: Final = Failed(reasons.WORKER_FAILED, "the worker reports something else", False)
"""What a Job has come to whose report is about other work."""


class JobStep:
    """What is found out goes into `outcome`; while there is a `cluster`, it says where images come from
    and what pods are to be like.
    """

    def __init__(
        self,
        p: Pass[EtcdBackup],
        cluster: EtcdCluster | None,
        outcome: Outcome,
        own: EtcdSettings,
        slots: Slots,
    ) -> None:
        self.p = p
        self.obj = p.obj.model_copy(update={"status": p.status})
        self.cluster = cluster
        self.outcome = outcome
        self.own = own
        self.slots = slots

    @property
    def images(self) -> Images:
        """Where images come from, and with which Secrets."""
        return self.cluster.spec.images if self.cluster is not None else Images()

    def wanted(self, name: str, purpose: str) -> render.Work:
        """What the Job of that name is to be."""
        return render.Work(
            name=name,
            purpose=purpose,
            image=self.own.worker_image,
            closed=self.own.forbidden_ranges,
            deadline=self.own.worker_deadline,
            pull_secrets=self.images.pull_secrets,
            worker=work.worker_of(self.obj, self.cluster),
        )

    async def look(self, job: Manifest) -> work.Seen:
        """What the Job has come to. Raises `KubeError`."""
        worker = work.worker_of(self.obj, self.cluster)
        return await work.look(self.p.kube, self.obj, job, worker, work.BACKUP_FIELD)

    async def end(self, job: Manifest) -> None:
        """Removes the Job, once it is recorded what it has come to. Raises `KubeError`."""
        await self.p.latch()
        await work.end(self.p.kube, job)

    def say(self, type_: str, holds: bool | None, reason: str, message: str) -> None:
        """What a condition says at the end of the pass, and whenever the status is written before."""
        self.outcome.verdicts[type_] = Verdict(holds, reason, message)
