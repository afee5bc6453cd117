"""The end of an EtcdBackup: what is stored goes with it, if it may and can; bounded in time."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.store import BackupWorker
from kok.api.meta import Manifest
from kok.backup import spec as worker
from kok.kube import kinds
from kok.kube.concurrency import all_of
from kok.kube.errors import AlreadyExists, KubeError
from kok.operators.etcd import naming, reasons
from kok.operators.etcd.jobs import manifest as render
from kok.operators.etcd.jobs import outcome, owned, preconditions, work
from kok.operators.etcd.jobs import store as stores
from kok.operators.etcd.jobs.networkpolicy import fence
from kok.operators.etcd.jobs.outcome import Failed, Running
from kok.operators.etcd.settings import EtcdSettings
from kok.runtime.controller.errors import Wait
from kok.runtime.controller.reasons import DELETING
from kok.runtime.controller.reconciler import DONE, Done, Pass, Result

PURPOSE = "remove"
PATIENCE = timedelta(minutes=30)
"""How long a store that cannot be used keeps the EtcdBackup."""
TERMINATING = "being terminated"
"""What the API server says of a namespace in which nothing can be made any more."""
DEADLINE = 120.0
AGAIN = 10.0


async def finalize(p: Pass[EtcdBackup], own: EtcdSettings) -> Result | Done:
    """One step of: stop what runs, remove what is stored, let go.

    With `deletionPolicy: Retain`, also if it is set only now, nothing stored is touched.
    """
    found = await owned.jobs_of(p.kube, p.obj, [_job_name(p.obj)])
    removing = [j for j in found if _purpose(j) == PURPOSE]
    others = [j for j in found if j not in removing]
    if p.obj.spec.deletion_policy == "Retain" or not _may_be_stored(p.obj):
        await _delete(p, found)
        return DONE
    try:
        if await _never_began(p, others):
            return DONE
        # A worker that still stores could do so after the removal.
        await _stop(p, others)
        await _remove(p, own, removing)
    except Wait as wait:
        if _out_of_patience(p):
            return await _let_go(p, found, wait)
        raise Wait(DELETING, f"{wait.message}{_way_out(p.obj)}", after=wait.after) from wait
    except KubeError as error:
        # Nothing can be made in a namespace that is going; a quota may have room again.
        if TERMINATING in error.message or _out_of_patience(p):
            return await _let_go(p, found, Wait(DELETING, error.message))
        raise
    await _delete(p, found)
    return DONE


async def _never_began(p: Pass[EtcdBackup], made: list[Manifest]) -> bool:
    """Whether nothing can have been stored, since no Job ever had a pod; then the Jobs are gone.

    Looked at before and after they are deleted: a pod may come in between.
    """
    if p.status.begun is not False:
        return False
    for _ in range(2):
        named = {job["metadata"]["name"] for job in made}
        pods = await owned.pods_of(p.kube, p.obj, partial(outcome.is_of, named))
        if any(outcome.ever_ran(job, pods) for job in made):
            p.status.begun = True
            await p.latch()
            return False
        await _delete(p, made)
    return True


def _job_name(obj: EtcdBackup) -> str:
    return render.job_name(obj.name, PURPOSE, 1)


def _purpose(made: Manifest) -> str | None:
    labels = made["metadata"].get("labels") or {}
    return labels.get(naming.LABEL_WORKER)


def _may_be_stored(obj: EtcdBackup) -> bool:
    status = obj.status
    return status.attempts > 0 and status.store is not None and status.key is not None


async def _stop(p: Pass[EtcdBackup], running: list[Manifest]) -> None:
    await _delete(p, running)
    pods = await owned.pods_of(
        p.kube, p.obj, lambda pod: _purpose(pod) != PURPOSE and not outcome.worked(pod)
    )
    busy = [pod["metadata"]["name"] for pod in pods]
    if busy:
        raise Wait(DELETING, f"waits for Pod {', '.join(busy)} to end", after=2.0)


async def _remove(p: Pass[EtcdBackup], own: EtcdSettings, made: list[Manifest]) -> None:
    """Raises `Wait` until a Job has reported that nothing is left."""
    store = p.obj.status.store
    last = next((job for job in made if job["metadata"]["name"] == _job_name(p.obj)), None)
    worker = await _worker(p)
    if last is not None:
        await fence(p.kube, p.obj, own)
        seen = await work.look(p.kube, p.obj, last, worker, work.BACKUP_FIELD)
        found = seen.found
        if isinstance(found, Running):
            raise Wait(DELETING, f"what is stored is being removed: Job {found.message}", AGAIN)
        if not isinstance(found, Failed):
            return
        await _delete(p, made)
        raise Wait(DELETING, f"{found.reason}: {found.message}", after=AGAIN)
    job = _render(p.obj, own, worker)
    if store is not None:
        try:
            await preconditions.require(p.kube, p.obj.namespace, store, None, own)
        except Wait:
            # In a namespace that is going nobody puts it back: then the API server refuses the Job.
            await p.kube.create(job, dry_run=True)
            raise
    await fence(p.kube, p.obj, own)
    try:
        await p.kube.create(job)
    except AlreadyExists:
        p.log.info("the Job is there already")
    raise Wait(DELETING, "what is stored is being removed", after=AGAIN)


async def _worker(p: Pass[EtcdBackup]) -> BackupWorker:
    kind, name = EtcdCluster.info.kind, p.obj.spec.etcd_cluster
    live = await p.kube.get(kind, name, p.obj.namespace)
    return work.worker_of(p.obj, EtcdCluster.parse(live) if live is not None else None)


def _render(obj: EtcdBackup, own: EtcdSettings, worker_: BackupWorker) -> Manifest:
    status = obj.status
    if status.store is None or status.key is None:
        raise AssertionError("only what may be stored is removed")
    spec = worker.RemoveSpec(
        store=stores.told(status.store),
        key=status.key,
        attempts=status.attempts,
        limits=worker.Limits(deadline=DEADLINE),
    )
    of = render.Work(
        name=_job_name(obj),
        purpose=PURPOSE,
        image=own.worker_image,
        closed=own.forbidden_ranges,
        deadline=DEADLINE,
        worker=worker_,
    )
    mounts = stores.mounts(status.store, None, writes=True)
    return render.job(obj, of, render.worker_pod(of, "remove", spec, mounts))


async def _let_go(p: Pass[EtcdBackup], found: list[Manifest], why: Wait) -> Done:
    where = p.obj.status.location or p.obj.status.key
    text = f"{where} could not be removed and is left: {why.message}"
    p.log.warning("a stored backup is left", key=p.obj.status.key, why=why.message)
    p.event(reasons.BACKUP_LEFT, text, warning=True)
    await _delete(p, found)
    return DONE


def _way_out(obj: EtcdBackup) -> str:
    where = obj.status.location or obj.status.key
    return (
        f"; to let the EtcdBackup go without removing {where}, set its spec.deletionPolicy to "
        "Retain"
    )


def _out_of_patience(p: Pass[EtcdBackup]) -> bool:
    since = p.obj.metadata.deletion_timestamp
    return since is not None and p.now - since > PATIENCE


async def _delete(p: Pass[EtcdBackup], some: list[Manifest]) -> None:
    going = [m["metadata"] for m in some if not m["metadata"].get("deletionTimestamp")]
    await all_of(p.kube.delete(kinds.JOB, m["name"], m["namespace"], uid=m["uid"]) for m in going)
