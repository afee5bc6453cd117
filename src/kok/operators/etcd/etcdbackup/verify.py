"""The proof of one complete EtcdBackup: restored, compared and thrown away, whenever asked.

It is asked for by the annotation `kok.dev/verify` with any value that differs from the last one;
an EtcdCluster's schedule asks in the same way. The value is recorded before the Job is made.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Literal

from kok.api.etcd.etcdbackup import EtcdBackup, EtcdProof
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.fields import Images
from kok.api.meta import Manifest
from kok.backup.reasons import Reason
from kok.backup.report import CheckResult, Report
from kok.kube import kinds
from kok.kube.errors import AlreadyExists
from kok.operators.etcd import naming, reasons
from kok.operators.etcd.etcdbackup.attempts import waits
from kok.operators.etcd.etcdbackup.schedule import proven_at
from kok.operators.etcd.etcdbackup.stored import stored
from kok.operators.etcd.jobs import manifest as render
from kok.operators.etcd.jobs import outcome, preconditions, proof_pod, work
from kok.operators.etcd.jobs.networkpolicy import fence
from kok.operators.etcd.jobs.outcome import Failed, Outcome, Running
from kok.operators.etcd.jobs.slots import Slots
from kok.operators.etcd.settings import EtcdSettings
from kok.runtime.controller.errors import Wait
from kok.runtime.controller.reconciler import Pass, Result
from kok.versions import UnknownVersion, etcd

PURPOSE = "verify"
ATTEMPTS = 3
DELAY = timedelta(minutes=1)
LONGEST_DELAY = DELAY * ATTEMPTS
LOOK = 15.0
REQUEST_MAX = 253
BAD = {
    Reason.OBJECT_MISSING,
    Reason.OBJECT_UNDESCRIBED,
    Reason.OBJECT_TRUNCATED,
    Reason.OBJECT_ALTERED,
    Reason.SNAPSHOT_CORRUPT,
}
"""Failures that say something of the backup, and not of what happened to be in the way.

A key that is not in its Secret, and containers that end without a word, are in the way.
"""


class Proof:
    """One pass over a complete EtcdBackup."""

    def __init__(self, p: Pass[EtcdBackup], own: EtcdSettings, slots: Slots) -> None:
        self.p = p
        self.obj = p.obj.model_copy(update={"status": p.status})
        self.own = own
        self.slots = slots

    async def run(self) -> Result:
        """See the module."""
        asked = self.obj.metadata.annotations.get(naming.ANNOTATION_VERIFY, "")[:REQUEST_MAX]
        proof = self.obj.status.verification
        under_way = proof is not None and proof.result == "Running"
        if asked and not under_way and (proof is None or proof.request != asked):
            self.obj.status.proven_at = proven_at(self.obj)
            proof = EtcdProof(request=asked, result="Running", at=self._now())
            self.obj.status.verification = proof
        return await self._go_on(proof) if proof is not None else Result()

    async def _go_on(self, proof: EtcdProof) -> Result:
        if proof.result != "Running":
            return Result()
        if proof.retry_at is not None and waits(proof.retry_at, self.p.now, LONGEST_DELAY):
            return Result((proof.retry_at - self.p.now).total_seconds())
        job = None
        # The Job of an attempt that failed is kept for a while: it is not the next one's.
        if proof.attempts and proof.retry_at is None:
            job = await self.p.kube.get(kinds.JOB, self._job_name(proof), self.obj.namespace)
        if job is None:
            return await self._begin(proof)
        await fence(self.p.kube, self.obj, self.own)
        wanted = work.worker_of(self.obj, await self._cluster())
        seen = await work.look(self.p.kube, self.obj, job, wanted, work.BACKUP_FIELD)
        return await self._judge(proof, job, seen.found)

    async def _begin(self, proof: EtcdProof) -> Result:
        try:
            backup = stored(self.obj.status)
            release = etcd(backup.etcd_version)
        except UnknownVersion as error:
            # Another release of KOK can restore it.
            return self._end(
                proof, "Unknown", reasons.UNSUPPORTED_VERSION, f"could not be tried: {error}"
            )
        except ValueError as error:
            return self._end(proof, "Failed", reasons.VERIFICATION_FAILED, str(error))
        kube, namespace = self.p.kube, self.obj.namespace
        cluster = await self._cluster()
        images = cluster.spec.images if cluster is not None else Images()
        try:
            await preconditions.require(kube, namespace, backup.store, backup.encryption, self.own)
            async with self.slots.one(kube, namespace, self.p.settings.namespaces):
                if proof.attempts == 0 or proof.retry_at is not None:
                    proof.attempts, proof.retry_at = proof.attempts + 1, None
                    self._say(None, reasons.VERIFYING, "is being restored for a trial")
                    await self.p.latch()
                of = render.Work(
                    name=self._job_name(proof),
                    purpose=PURPOSE,
                    image=self.own.worker_image,
                    closed=self.own.forbidden_ranges,
                    deadline=self.own.worker_deadline,
                    pull_secrets=images.pull_secrets,
                    worker=work.worker_of(self.obj, cluster),
                )
                pod = proof_pod.proof_pod(of, backup, release, images.registry)
                preconditions.permit(pod, self.own)
                await fence(kube, self.obj, self.own)
                await kube.create(render.job(self.obj, of, pod))
        except AlreadyExists:
            self.p.log.info("the Job is there already", request=proof.request)
        except Wait as wait:
            # The backup itself is as it was: only its proof waits.
            self._say(None, wait.reason, wait.message)
            return Result(wait.after)
        return Result(LOOK)

    async def _cluster(self) -> EtcdCluster | None:
        """While there is one, it says where images come from and what pods are to be like."""
        kind, name = EtcdCluster.info.kind, self.obj.spec.etcd_cluster
        live = await self.p.kube.get(kind, name, self.obj.namespace)
        return EtcdCluster.parse(live) if live is not None else None

    # --- what came of it

    async def _judge(self, proof: EtcdProof, job: Manifest, found: Outcome) -> Result:
        if isinstance(found, Running):
            self._say(None, found.reason or reasons.VERIFYING, found.message)
            return Result(LOOK)
        if isinstance(found, Report) and found.check is not None:
            end = self._compared(proof, found.check)
        else:
            if isinstance(found, Report):
                found = Failed(reasons.WORKER_FAILED, "the worker reports something else", False)
            end = self._failed(proof, found)
        if proof.result == "Passed" or not outcome.ended(job):
            await self.p.latch()
            await work.end(self.p.kube, job)
        return end

    def _compared(self, proof: EtcdProof, check: CheckResult) -> Result:
        if not check.equal:
            text = "restored for a trial, it is not what was backed up: "
            differences = "; ".join(check.differences)
            return self._end(proof, "Failed", reasons.VERIFICATION_FAILED, text + differences)
        keys = f", {check.found.keys} keys" if check.found.keys is not None else ""
        hashed = " and hash" if check.hash_compared else ""
        sealed = ", and the keys in it open" if check.keys_opened else ""
        text = (
            f"restored for a trial: revision {check.found.revision}{keys}{hashed} are as recorded"
            f"{sealed}"
        )
        return self._end(proof, "Passed", reasons.VERIFIED, text)

    def _failed(self, proof: EtcdProof, failed: Failed) -> Result:
        text = f"{failed.reason}: {failed.message}"
        if failed.reason in BAD:
            return self._end(proof, "Failed", reasons.VERIFICATION_FAILED, text)
        if proof.attempts < ATTEMPTS and failed.reason != Reason.KEY_MISSING:
            proof.retry_at = self._now() + DELAY * proof.attempts
            self._say(None, failed.reason, f"could not be tried: {failed.message}; tried again")
            return Result((proof.retry_at - self.p.now).total_seconds())
        return self._end(proof, "Unknown", failed.reason, f"could not be tried: {failed.message}")

    def _end(
        self,
        proof: EtcdProof,
        result: Literal["Passed", "Failed", "Unknown"],
        reason: str,
        message: str,
    ) -> Result:
        proof.result, proof.at, proof.message = result, self._now(), message
        proof.retry_at = None
        holds = {"Passed": True, "Failed": False, "Unknown": None}[result]
        self._say(holds, reason, message)
        self._sum_up(proof)
        self.p.event(reason, message, warning=result != "Passed")
        return Result()

    def _sum_up(self, proof: EtcdProof) -> None:
        """A backup that cannot be restored is none; one that can again, after all, is."""
        status = self.obj.status
        if proof.result == "Failed":
            status.proven_at = None
            found = False, reasons.VERIFICATION_FAILED, proof.message or ""
        elif proof.result == "Passed":
            status.proven_at = proof.at
            found = True, reasons.STORED, f"stored as {status.location}"
        else:
            return
        self.p.set_condition(reasons.READY, *found)

    def _say(self, holds: bool | None, reason: str, message: str) -> None:
        self.p.set_condition(reasons.VERIFIED_CONDITION, holds, reason, message)

    def _job_name(self, proof: EtcdProof) -> str:
        request = hashlib.sha256(proof.request.encode()).hexdigest()[:6]
        return render.job_name(self.obj.name, f"{PURPOSE}-{request}", proof.attempts)

    def _now(self) -> datetime:
        return self.p.now.replace(microsecond=0)
