"""Finds the backup that an EtcdRestore names, and has it restored for a trial, by Jobs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.etcdrestore import EtcdRestore
from kok.api.etcd.store import BackupEncryption, BackupStore, BackupWorker, StoredBackup
from kok.api.meta import Manifest
from kok.backup import spec as worker
from kok.backup.reasons import Reason
from kok.backup.report import Report
from kok.kube import kinds
from kok.kube.concurrency import all_of
from kok.kube.errors import AlreadyExists
from kok.operators.etcd import reasons
from kok.operators.etcd.backups.compatibility import misfit, other_origin
from kok.operators.etcd.backups.stored import BAD, described, is_good, stored_backup
from kok.operators.etcd.clocks import waits
from kok.operators.etcd.etcdrestore.conditions import Outcome
from kok.operators.etcd.etcdrestore.decide import OVER
from kok.operators.etcd.jobs import manifest as render
from kok.operators.etcd.jobs import outcome, owned, preconditions, proof_pod, work
from kok.operators.etcd.jobs import store as stores
from kok.operators.etcd.jobs.networkpolicy import fence
from kok.operators.etcd.jobs.outcome import Failed, Running
from kok.operators.etcd.settings import EtcdSettings
from kok.runtime.controller.errors import Wait
from kok.runtime.controller.reconciler import Pass
from kok.versions import etcd

LOOK = 10.0
ATTEMPTS = 3
DELAY = timedelta(seconds=30)
LONGEST_DELAY = DELAY * 2**ATTEMPTS
PodOf = Callable[[render.Work], Manifest]


class Refused(Exception):
    """The restore cannot be done, and trying again would not help; the message is a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Verification:
    """One pass over an EtcdRestore whose backup is yet to be found or proven.

    What is found out goes into `outcome`.
    """

    def __init__(self, p: Pass[EtcdRestore], outcome: Outcome, own: EtcdSettings) -> None:
        self.p = p
        self.obj = p.obj.model_copy(update={"status": p.status})
        self.outcome = outcome
        self.own = own

    async def go_on(self, cluster: EtcdCluster) -> None:
        """Raises `Wait` until the backup was restored for a trial, `Refused` if it is no good."""
        status = self.obj.status
        if status.source is None:
            status.source = await self._found(cluster)
        source = status.source
        wrong = misfit(source, cluster.spec.version)
        if wrong is not None:
            raise Refused(reasons.RESTORE_REFUSED, wrong)
        self.outcome.phase = "Verifying"
        registry, release = cluster.spec.images.registry, etcd(source.etcd_version)

        def pod(work: render.Work) -> Manifest:
            return proof_pod.proof_pod(work, source, release, registry)

        report = await self._job("verify", cluster, source.store, source.encryption, pod)
        if report.check is None or not report.check.equal:
            differences = "; ".join(report.check.differences) if report.check else "no comparison"
            text = f"restored for a trial, the backup is not what was stored: {differences}"
            raise Refused(reasons.RESTORE_REFUSED, text)
        self.outcome.phase, status.step = "Verified", None
        await self.p.latch()
        await delete_jobs(self.p)

    async def _found(self, cluster: EtcdCluster) -> StoredBackup:
        spec = self.obj.spec
        if spec.backup:
            return await self._of_backup(spec.backup)
        if spec.store is None:
            raise Refused(reasons.RESTORE_REFUSED, "spec names no backup")
        store, encryption = spec.store, spec.encryption
        if spec.key:
            fetch = worker.FetchSpec(
                store=stores.told(store),
                key=spec.key,
                file=None,
                encrypted=encryption is not None,
            )
            report = await self._job(
                "describe", cluster, store, encryption, self._worker("fetch", fetch)
            )
            if report.fetch is not None and report.fetch.description is not None:
                return described(store, encryption, report.fetch.description)
        else:
            listing = worker.ListSpec(store=stores.told(store), under=spec.newest_of)
            report = await self._job(
                "list", cluster, store, encryption, self._worker("list", listing)
            )
            newest = report.listing.newest if report.listing is not None else None
            if report.listing is not None and report.listing.doubt:
                text = f"{report.listing.doubt}; name the one that you want by spec.key"
                raise Refused(reasons.RESTORE_REFUSED, text)
            if newest is not None:
                if (elsewhere := other_origin(newest, spec.newest_of)) is not None:
                    raise Refused(reasons.RESTORE_REFUSED, elsewhere)
                return described(store, encryption, newest)
        what = spec.key or f"a complete backup of {spec.newest_of}"
        raise Refused(reasons.RESTORE_REFUSED, f"{what} is not in the store")

    def _worker(self, command: worker.Command, spec: worker.FetchSpec | worker.ListSpec) -> PodOf:
        store, encryption = self.obj.spec.store, self.obj.spec.encryption
        if store is None:
            raise AssertionError("a worker is asked only about a store")
        mounts = stores.mounts(store, encryption, writes=False)
        return lambda work: render.worker_pod(work, command, spec, mounts)

    async def _of_backup(self, name: str) -> StoredBackup:
        live = await self.p.kube.get(EtcdBackup.info.kind, name, self.obj.namespace)
        where = f"EtcdBackup {self.obj.namespace}/{name}"
        if live is None:
            raise Wait(reasons.BACKUP_MISSING, f"{where} does not exist", after=LOOK)
        backup = EtcdBackup.parse(live)
        if is_good(backup):
            return stored_backup(backup.status)
        ready = backup.status.condition(reasons.READY)
        text = f"{where}: {ready.message if ready is not None else 'is not complete'}"
        if backup.status.phase in OVER:
            raise Refused(reasons.RESTORE_REFUSED, text)
        raise Wait(reasons.BACKUP_MISSING, f"{text}; waits until it is complete", after=LOOK)

    # --- Jobs

    async def _job(
        self,
        purpose: str,
        cluster: EtcdCluster,
        store: BackupStore,
        encryption: BackupEncryption | None,
        pod: PodOf,
    ) -> Report:
        """The report of a Job; raises `Wait` until there is one, `Refused` if there will be none."""
        status, kube, namespace = self.obj.status, self.p.kube, self.obj.namespace
        if status.step != purpose:
            status.step, status.attempts, status.retry_at = purpose, 0, None
        if status.retry_at is not None and waits(status.retry_at, self.p.now, LONGEST_DELAY):
            ready = status.condition(reasons.READY)
            text = ready.message if ready is not None else "is tried again"
            after = (status.retry_at - self.p.now).total_seconds()
            raise Wait(reasons.VERIFYING, text, after=after)
        wanted, job = work.worker_of_restore(self.obj, cluster), None
        if status.attempts and status.retry_at is None:
            name = render.job_name(self.obj.name, purpose, status.attempts)
            job = await kube.get(kinds.JOB, name, namespace)
        if job is None:
            await preconditions.require(kube, namespace, store, encryption, self.own)
            await self._create(purpose, cluster, wanted, pod)
            raise Wait(reasons.VERIFYING, f"{purpose}: its Job waits for its pod", after=LOOK)
        await fence(kube, self.obj, self.own)
        seen = await work.look(kube, self.obj, job, wanted, work.RESTORE_FIELD)
        found = seen.found
        if isinstance(found, Running):
            reason = found.reason or reasons.VERIFYING
            raise Wait(reason, f"{purpose}: Job {found.message}", after=LOOK)
        if isinstance(found, Failed):
            end = self._failed(found)
            if not outcome.ended(job):
                await self.p.latch()
                await work.end(kube, job)
            raise end
        return found

    async def _create(
        self, purpose: str, cluster: EtcdCluster, wanted: BackupWorker, pod: PodOf
    ) -> None:
        status = self.obj.status
        if status.attempts == 0 or status.retry_at is not None:
            status.attempts, status.retry_at = status.attempts + 1, None
            await self.p.latch()
        of = render.Work(
            name=render.job_name(self.obj.name, purpose, status.attempts),
            purpose=purpose if purpose != "verify" else "prove",
            image=self.own.worker_image,
            closed=self.own.forbidden_ranges,
            deadline=self.own.worker_deadline,
            pull_secrets=cluster.spec.images.pull_secrets,
            worker=wanted,
        )
        made = pod(of)
        preconditions.permit(made, self.own)
        await fence(self.p.kube, self.obj, self.own)
        try:
            await self.p.kube.create(render.job(self.obj, of, made))
        except AlreadyExists:
            self.p.log.info("the Job is there already", job=of.name)

    def _failed(self, failed: Failed) -> Wait | Refused:
        status, text = self.obj.status, f"{failed.reason}: {failed.message}"
        hopeless = failed.reason in BAD or failed.reason == Reason.KEY_MISSING
        if hopeless or status.attempts >= ATTEMPTS:
            return Refused(reasons.RESTORE_REFUSED, text)
        delay = DELAY * 2 ** (status.attempts - 1)
        status.retry_at = (self.p.now + delay).replace(microsecond=0)
        return Wait(failed.reason, f"{text}; tried again", after=delay.total_seconds())


async def delete_jobs(p: Pass[EtcdRestore]) -> None:
    """Asks for all Jobs of an EtcdRestore to go."""
    found = await owned.jobs_of(p.kube, p.obj)
    going = [m["metadata"] for m in found if not m["metadata"].get("deletionTimestamp")]
    await all_of(p.kube.delete(kinds.JOB, m["name"], m["namespace"], uid=m["uid"]) for m in going)
