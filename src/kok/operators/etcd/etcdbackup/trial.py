"""The proof of one complete EtcdBackup: restored, compared and thrown away, whenever asked.

It is asked for by the annotation `kok.dev/verify` with any value that differs from the last one;
an EtcdCluster's schedule asks in the same way. The value is recorded before the Job is made.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Literal

from kok.api.etcd.etcdbackup import EtcdBackup, EtcdProof
from kok.api.meta import Manifest
from kok.backup.reasons import Reason
from kok.backup.report import CheckResult, Report
from kok.kube.errors import AlreadyExists
from kok.operators.etcd import reasons
from kok.operators.etcd.backups.stored import BAD, stored_backup
from kok.operators.etcd.etcdbackup.jobstep import LOOK, MISREPORTED, JobStep
from kok.operators.etcd.jobs import manifest as render
from kok.operators.etcd.jobs import outcome, preconditions, proof_pod
from kok.operators.etcd.jobs.networkpolicy import fence
from kok.operators.etcd.jobs.outcome import Failed, JobResult, Running
from kok.runtime.controller.errors import Wait
from kok.versions import UnknownVersion, etcd

PURPOSE = "verify"
ATTEMPTS = 3
DELAY = timedelta(minutes=1)
LONGEST_DELAY = DELAY * ATTEMPTS


def job_under_way(obj: EtcdBackup) -> str | None:
    """The name of the Job of the recorded trial; None if it has yet to be made.

    The Job of an attempt that failed is kept for a while: it is not the next one's.
    """
    proof = obj.status.verification
    if proof is None or not proof.attempts or proof.retry_at is not None:
        return None
    return _job_name(obj, proof)


class Trial(JobStep):
    """One pass over a complete EtcdBackup that is to be restored for a trial."""

    async def go_on(self, job: Manifest | None) -> float | None:
        """Judges the Job under way, or makes one; seconds until the next pass."""
        proof = self.obj.status.verification
        if proof is None:
            return None
        if job is None:
            return await self._begin(proof)
        await fence(self.p.kube, self.obj, self.own)
        return await self._judge(proof, job, (await self.look(job)).found)

    async def _begin(self, proof: EtcdProof) -> float | None:
        try:
            backup = stored_backup(self.obj.status)
            release = etcd(backup.etcd_version)
        except UnknownVersion as error:
            # Another release of KOK can restore it.
            return self._end(
                proof, "Unknown", reasons.UNSUPPORTED_VERSION, f"could not be tried: {error}"
            )
        except ValueError as error:
            return self._end(proof, "Failed", reasons.VERIFICATION_FAILED, str(error))
        kube, namespace = self.p.kube, self.obj.namespace
        try:
            await preconditions.require(kube, namespace, backup.store, backup.encryption, self.own)
            async with self.slots.one(kube, namespace, self.p.settings.namespaces):
                if proof.attempts == 0 or proof.retry_at is not None:
                    proof.attempts, proof.retry_at = proof.attempts + 1, None
                    self._say(None, reasons.VERIFYING, "is being restored for a trial")
                    await self.p.latch()
                of = self.wanted(_job_name(self.obj, proof), PURPOSE)
                pod = proof_pod.proof_pod(of, backup, release, self.images.registry)
                preconditions.permit(pod, self.own)
                await fence(kube, self.obj, self.own)
                await kube.create(render.job(self.obj, of, pod))
        except AlreadyExists:
            self.p.log.info("the Job is there already", request=proof.request)
        except Wait as wait:
            # The backup itself is as it was: only its proof waits.
            self._say(None, wait.reason, wait.message)
            return wait.after
        return LOOK

    # --- what came of it

    async def _judge(self, proof: EtcdProof, job: Manifest, found: JobResult) -> float | None:
        if isinstance(found, Running):
            self._say(None, found.reason or reasons.VERIFYING, found.message)
            return LOOK
        if isinstance(found, Report) and found.check is not None:
            end = self._compared(proof, found.check)
        else:
            end = self._failed(proof, MISREPORTED if isinstance(found, Report) else found)
        if proof.result == "Passed" or not outcome.ended(job):
            await self.end(job)
        return end

    def _compared(self, proof: EtcdProof, check: CheckResult) -> float | None:
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

    def _failed(self, proof: EtcdProof, failed: Failed) -> float | None:
        text = f"{failed.reason}: {failed.message}"
        if failed.reason in BAD:
            return self._end(proof, "Failed", reasons.VERIFICATION_FAILED, text)
        if proof.attempts < ATTEMPTS and failed.reason != Reason.KEY_MISSING:
            proof.retry_at = self._now() + DELAY * proof.attempts
            self._say(None, failed.reason, f"could not be tried: {failed.message}; tried again")
            return (proof.retry_at - self.p.now).total_seconds()
        return self._end(proof, "Unknown", failed.reason, f"could not be tried: {failed.message}")

    def _end(
        self,
        proof: EtcdProof,
        result: Literal["Passed", "Failed", "Unknown"],
        reason: str,
        message: str,
    ) -> float | None:
        proof.result, proof.at, proof.message = result, self._now(), message
        proof.retry_at = None
        holds = {"Passed": True, "Failed": False, "Unknown": None}[result]
        self._say(holds, reason, message)
        self._sum_up(proof)
        self.p.event(reason, message, warning=result != "Passed")
        return None

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
        self.say(reasons.READY, *found)

    def _say(self, holds: bool | None, reason: str, message: str) -> None:
        self.say(reasons.VERIFIED_CONDITION, holds, reason, message)

    def _now(self) -> datetime:
        return self.p.now.replace(microsecond=0)


def _job_name(obj: EtcdBackup, proof: EtcdProof) -> str:
    request = hashlib.sha256(proof.request.encode()).hexdigest()[:6]
    return render.job_name(obj.name, f"{PURPOSE}-{request}", proof.attempts)
