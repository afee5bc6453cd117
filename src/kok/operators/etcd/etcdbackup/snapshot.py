"""Stores an EtcdBackup: Jobs are made one after the other until one has done it.

What an attempt is going to do is recorded before its Job is made, and the Job's name follows from
the record: a pass that is cut off in between makes the same Job once more, which the API server
refuses or which finds what the first one stored.
"""

from __future__ import annotations

from datetime import datetime

from kok.api import names
from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Manifest
from kok.backup import spec as worker
from kok.backup.description import Origin, key_of_try
from kok.backup.report import BackupResult, Report
from kok.kube import kinds
from kok.kube.errors import AlreadyExists, KubeError
from kok.operators.etcd import clocks, naming, reasons
from kok.operators.etcd.backups import keys
from kok.operators.etcd.backups.stored import human
from kok.operators.etcd.etcdbackup import attempts
from kok.operators.etcd.etcdbackup.jobstep import LOOK, MISREPORTED, JobStep
from kok.operators.etcd.jobs import manifest as render
from kok.operators.etcd.jobs import outcome, owned, preconditions, work
from kok.operators.etcd.jobs import store as stores
from kok.operators.etcd.jobs.networkpolicy import fence
from kok.operators.etcd.jobs.outcome import Failed, Running
from kok.operators.etcd.pods import pod_address
from kok.runtime.controller.errors import Wait

PURPOSE = "backup"
LOOK_FOR_CLUSTER = 10.0


def job_under_way(obj: EtcdBackup) -> str | None:
    """The name of the Job of the attempt that was begun; None if none is under way."""
    return _job_name(obj) if obj.status.phase == "Running" else None


class Snapshot(JobStep):
    """One pass over an EtcdBackup that is not stored yet; `cluster` is there unless it is going."""

    async def go_on(self, job: Manifest | None) -> float | None:
        """Judges the Job of the attempt under way, or begins with one; seconds until the next pass.

        Raises `Wait` for what an attempt lacks.
        """
        status = self.obj.status
        if job is not None:
            return await self._judge(job)
        if self.outcome.phase == "Running":
            # Cut off before it was made, or somebody deleted it: nobody knows what its pod did.
            status.begun = True
            await self._until_ended()
            if status.job_seen == status.attempts:
                # One that is not waited for may live on: the next try has another number, and key.
                # Of a Job that was never seen there is none: its try goes on.
                self.outcome.phase = "Pending"
        cluster = self._source()
        if self.outcome.phase == "Pending":
            await self._may_begin(cluster)
        await self._begin(cluster)
        return LOOK

    # --- before

    def _source(self) -> EtcdCluster:
        if self.cluster is None:
            name = f"{self.obj.namespace}/{self.obj.spec.etcd_cluster}"
            text = f"EtcdCluster {name} does not exist"
            raise Wait(reasons.ETCD_CLUSTER_MISSING, text, after=LOOK_FOR_CLUSTER)
        return self.cluster

    async def _may_begin(self, cluster: EtcdCluster) -> None:
        """Raises `Wait` for whatever has to be there before an attempt."""
        obj, status = self.obj, self.obj.status
        if not self.own.worker_image:
            text = "the operator does not know the image of its Jobs: set KOK_WORKER_IMAGE"
            raise Wait(reasons.NO_WORKER_IMAGE, text, after=60.0)
        longest = attempts.LONGEST_DELAY
        if status.retry_at is not None and clocks.waits(status.retry_at, self.p.now, longest):
            self._wait_for_retry(status.retry_at)
        if status.attempts == 0:
            found = attempts.place(obj, cluster)
            if found is None:
                raise Wait(
                    reasons.NO_STORE,
                    f"write spec.store, or spec.backup.store of {cluster}: nothing says where "
                    "the backup is to lie",
                    after=LOOK_FOR_CLUSTER,
                )
            status.store, status.encryption = found.store, found.encryption
        if status.store is not None:
            place = status.store, status.encryption
            await preconditions.require(self.p.kube, obj.namespace, *place, self.own)
        await self._keys(cluster)

    async def _keys(self, cluster: EtcdCluster) -> None:
        """Raises `Wait` until the EtcdCluster has put its keys into etcd, as they are now."""
        policy = cluster.spec.backup
        if policy is None or policy.keys is None:
            return
        said = cluster.status.condition(reasons.KEYS_STORED_CONDITION)
        if said is not None and said.status == "True":
            wanted = await keys.versions(self.p.kube, cluster)
            if wanted is None or keys.is_current(cluster, wanted):
                return
            if cluster.spec.paused and keys.is_of_earlier_release(cluster):
                return  # What is recorded anew at rest is no reason to wait for the end of a pause.
        text = f"{cluster} has yet to put the keys of spec.backup.keys into etcd"
        if cluster.spec.paused:
            text += ", which waits until its spec.paused is false"
        after = attempts.look_again(self.obj, self.p.now)
        if said is None or said.status == "True":
            raise Wait(reasons.KEYS_NOT_STORED, text, after)
        raise Wait(said.reason, f"{text}: {said.message}", after)

    def _wait_for_retry(self, when: datetime) -> None:
        ready = self.obj.status.condition(reasons.READY)
        after = (when - self.p.now).total_seconds()
        raise Wait(
            ready.reason if ready is not None else reasons.WORKER_FAILED,
            ready.message if ready is not None else "is tried again",
            after=after,
        )

    # --- an attempt

    async def _until_ended(self) -> None:
        """Raises `Wait` while a pod of a Job that was deleted may still store something.

        One on a node that does not answer is not waited for beyond its time to end: it takes back
        no more than its own.
        """
        pods = await owned.pods_of(
            self.p.kube, self.obj, lambda pod: not outcome.worked(pod), _job_name(self.obj)
        )
        left = [pod["metadata"]["name"] for pod in pods if attempts.is_ending(pod, self.p.now)]
        if left:
            text = f"waits for Pod {', '.join(left)} of a Job that was deleted to end"
            raise Wait(reasons.BACKUP_RUNNING, text, after=2.0)

    async def _begin(self, cluster: EtcdCluster) -> None:
        status = self.obj.status
        endpoint = await self._endpoint(cluster)
        async with self.slots.one(self.p.kube, self.obj.namespace, self.p.settings.namespaces):
            status.worker = work.worker_of(self.obj, cluster)
            if self.outcome.phase == "Pending":
                if status.attempts == 0:
                    status.begun, status.key = False, attempts.key(self.obj, self.p.now)
                self.outcome.phase, status.attempts = "Running", status.attempts + 1
                status.key = key_of_try(status.key or "", status.attempts)
                status.retry_at = None
                self._say(False, reasons.BACKUP_RUNNING, "its Job waits for its pod")
                await self.p.latch()
            try:
                await self.p.kube.create(self._render(cluster, endpoint))
            except AlreadyExists:
                self.p.log.info("the Job is there already", attempt=status.attempts)
            except KubeError as error:
                if 400 <= error.status < 500:
                    # There is none for certain: it was no try.
                    self.outcome.phase, status.attempts = "Pending", status.attempts - 1
                raise

    async def _endpoint(self, cluster: EtcdCluster) -> str:
        member = attempts.member_to_ask(cluster)
        pod = None
        if member is not None:
            name = naming.pod_name(member)
            pod = await self.p.kube.get(kinds.POD, name, cluster.namespace)
        address = pod_address(pod)
        if address is None:
            ready = cluster.status.condition(reasons.READY)
            why = f": {ready.message}" if ready is not None and ready.message else ""
            text = f"{cluster} has no healthy member to take a snapshot of{why}"
            raise Wait(reasons.ETCD_NOT_READY, text, after=LOOK_FOR_CLUSTER)
        return naming.pod_endpoint(address)

    def _render(self, cluster: EtcdCluster, endpoint: str) -> Manifest:
        obj, status = self.obj, self.obj.status
        if status.store is None or status.key is None:
            raise AssertionError("recorded before the first attempt")
        encryption = status.encryption
        spec = worker.BackupSpec(
            etcd=worker.EtcdAccess(
                endpoint=endpoint, server_name=naming.client_host(cluster.name, cluster.namespace)
            ),
            store=stores.told(status.store),
            key=status.key,
            attempt=max(status.attempts, 1),
            origin=Origin(
                namespace=cluster.namespace,
                name=cluster.name,
                cluster_id=cluster.status.cluster_id,
                backup_uid=obj.metadata.uid,
            ),
            encryption_key=encryption.key if encryption is not None else None,
            limits=worker.Limits(deadline=self.own.worker_deadline),
        )
        of = self.wanted(_job_name(self.obj), PURPOSE)
        certificates = stores.secret(names.etcd_client_secret(cluster.name))
        mounts = [
            stores.Mount("etcd", worker.ETCD_CERTIFICATES, certificates),
            *stores.mounts(status.store, encryption, writes=True),
        ]
        return render.job(obj, of, render.worker_pod(of, "backup", spec, mounts))

    # --- what came of it

    async def _judge(self, job: Manifest) -> float | None:
        if self.cluster is None:
            await fence(self.p.kube, self.obj, self.own)
        self.obj.status.job_seen = self.obj.status.attempts
        seen = await self.look(job)
        self.obj.status.begun = self.obj.status.begun is not False or seen.ran
        found = seen.found
        if seen.removed:
            await self._begin(self._source())
        if isinstance(found, Running):
            reason = found.reason or reasons.BACKUP_RUNNING
            self._say(False, reason, found.message)
            return LOOK
        if isinstance(found, Report) and found.backup is not None:
            await self._complete(found.backup, job)
            return None
        return await self._failed(MISREPORTED if isinstance(found, Report) else found, job)

    async def _complete(self, result: BackupResult, job: Manifest) -> None:
        status, told = self.obj.status, result.description
        self.outcome.phase = "Complete"
        status.key, status.location = told.key, result.location
        status.size, status.size_summary, status.sha256 = told.size, human(told.size), told.sha256
        status.revision, status.keys = told.contents.revision, told.contents.keys
        status.hash, status.compact_revision = told.contents.hash, told.contents.compact_revision
        status.etcd_version = told.contents.etcd_version or None
        status.sealed_keys = told.contents.sealed_keys
        status.cluster_id = told.origin.cluster_id
        status.started_at = attempts.begun_at(self.obj, told.created, self.p.now)
        status.completed_at = self.p.now.replace(microsecond=0)
        self._say(True, reasons.STORED, f"stored as {result.location}")
        self.p.event(
            reasons.BACKUP_STORED, f"{human(told.size)} of {told.origin.name} at {result.location}"
        )
        # Of an attempt that went well the log is of no use.
        await self.end(job)

    async def _failed(self, failed: Failed, job: Manifest) -> float | None:
        status, now = self.obj.status, self.p.now
        status.retry_at = attempts.retry_at(self.obj, failed, now)
        if status.retry_at is not None and attempts.superseded(self.obj, self.cluster, now):
            status.retry_at = None
        self.outcome.phase = "Pending" if status.retry_at is not None else "Failed"
        again = f"; tried again at {status.retry_at:%H:%M:%S} UTC" if status.retry_at else ""
        text = f"attempt {status.attempts} failed: {failed.message}{again}"
        self._say(False, failed.reason, text)
        self.p.event(reasons.BACKUP_FAILED, f"{failed.reason}: {text}", warning=True)
        if not outcome.ended(job):
            await self.end(job)
        return (status.retry_at - now).total_seconds() if status.retry_at else None

    def _say(self, holds: bool, reason: str, message: str) -> None:
        self.say(reasons.READY, holds, reason, message)


def _job_name(obj: EtcdBackup) -> str:
    return render.job_name(obj.name, PURPOSE, obj.status.attempts)
