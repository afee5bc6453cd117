"""Fills the volume of a new member with a backup by a Job, and removes what came of it."""

from __future__ import annotations

from collections.abc import Sequence

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.status import EtcdRestoreProgress
from kok.api.etcd.store import BackupWorker
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.concurrency import all_of
from kok.kube.errors import AlreadyExists
from kok.operators.etcd.etcdcluster import render
from kok.operators.etcd.etcdcluster.members import roles
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.operators.etcd.etcdcluster.render.volume import VolumeNotes
from kok.operators.etcd.jobs import manifest as worker_render
from kok.operators.etcd.jobs import owned, preconditions, seed_pod, work
from kok.operators.etcd.jobs.outcome import JobResult, Running
from kok.operators.etcd.settings import EtcdSettings
from kok.runtime.controller.reconciler import Pass
from kok.versions import etcd

PURPOSE = "seed"


async def is_taken(p: Pass[EtcdCluster], obj: EtcdCluster, restore: EtcdRestoreProgress) -> bool:
    """Whether the volume that is to be filled is not ours, by whatever labels it has or lacks."""
    claim = await p.kube.get(kinds.PVC, restore.member or "", obj.namespace)
    if claim is None:
        return False
    # One of ours was made with the label; what was put back by hand may have no more than notes.
    return not roles.is_ours(claim, obj) or roles.is_leftover(claim, obj)


async def fill(
    p: Pass[EtcdCluster],
    obj: EtcdCluster,
    observed: Observed,
    restore: EtcdRestoreProgress,
    own: EtcdSettings,
    *,
    worker: BackupWorker,
) -> JobResult:
    """What came of the Job, which is made if there is none. Raises `Wait` for what it lacks."""
    job = await p.kube.get(kinds.JOB, _job_name(obj, restore), obj.namespace)
    if job is None:
        await _begin(p, obj, observed, restore, own, worker=worker)
        return Running("waits for its pod")
    seen = await work.look(p.kube, obj, job, worker, work.RESTORE_FIELD)
    return seen.found


async def _begin(
    p: Pass[EtcdCluster],
    obj: EtcdCluster,
    observed: Observed,
    restore: EtcdRestoreProgress,
    own: EtcdSettings,
    *,
    worker: BackupWorker,
) -> None:
    member, source = restore.member or "", restore.source
    await preconditions.require(p.kube, obj.namespace, source.store, source.encryption, own)
    if observed.get(kinds.PVC, member) is None:
        await p.kube.apply(render.volume(obj, member, VolumeNotes(), None))
    of = worker_render.Work(
        name=_job_name(obj, restore),
        purpose=PURPOSE,
        image=own.worker_image,
        closed=own.forbidden_ranges,
        deadline=own.worker_deadline,
        pull_secrets=obj.spec.images.pull_secrets,
        worker=worker,
    )
    pod = seed_pod.seed_pod(of, obj, restore, member, etcd(obj.spec.version))
    preconditions.permit(pod, own)
    try:
        await p.kube.create(worker_render.job(obj, of, pod))
    except AlreadyExists:
        p.log.info("the Job is there already", job=of.name)


async def discard(
    p: Pass[EtcdCluster], obj: EtcdCluster, observed: Observed, restore: EtcdRestoreProgress
) -> None:
    """Removes the Job and the volume of an attempt that is of no use."""
    await delete_jobs(p, obj)
    claim = observed.get(kinds.PVC, restore.member or "")
    if claim is not None and roles.is_ours(claim, obj):
        await delete(p, [claim])


async def delete_jobs(p: Pass[EtcdCluster], obj: EtcdCluster) -> None:
    """Removes the Jobs of an EtcdCluster, those of its EtcdBackups being theirs."""
    await delete(p, await owned.jobs_of(p.kube, obj))


async def delete(p: Pass[EtcdCluster], some: Sequence[Manifest]) -> None:
    """Asks for StatefulSets, volumes or Jobs to go that are not going yet."""
    of = {kind.kind: kind for kind in (kinds.STATEFULSET, kinds.PVC, kinds.JOB)}
    going = [(of[m["kind"]], m["metadata"]) for m in some]
    await all_of(
        (
            p.kube.delete(kind, meta["name"], meta["namespace"], uid=meta["uid"])
            for kind, meta in going
            if not meta.get("deletionTimestamp")
        )
    )


def _job_name(obj: EtcdCluster, restore: EtcdRestoreProgress) -> str:
    return worker_render.job_name(restore.member or obj.name, PURPOSE, restore.attempts)
