"""A Job under way: what it has come to, why its pod is refused, and what its pod is to be like."""

from __future__ import annotations

from dataclasses import dataclass

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.etcdrestore import EtcdRestore
from kok.api.etcd.store import BackupWorker
from kok.api.meta import Manifest, Resource
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.etcd import naming, reasons
from kok.operators.etcd.jobs import outcome, owned
from kok.operators.etcd.jobs.manifest import Work
from kok.operators.etcd.jobs.outcome import JobResult, Running
from kok.runtime.pods.admission import refusal

BACKUP_FIELD = "spec.worker of the EtcdBackup or spec.backup.worker of its EtcdCluster"
RESTORE_FIELD = "spec.worker of the EtcdRestore or spec.backup.worker of its EtcdCluster"


@dataclass(frozen=True, slots=True)
class Seen:
    """A Job that was looked at."""

    found: JobResult
    ran: bool
    """Whether it has or had a pod."""
    removed: bool = False
    """Whether it was deleted now, to be made anew."""


def worker_of(obj: EtcdBackup, cluster: EtcdCluster | None) -> BackupWorker:
    """What the pods of an EtcdBackup are to be like; as they were if nobody says it any more."""
    return obj.spec.worker or policy_of(cluster) or obj.status.worker or BackupWorker()


def worker_of_restore(obj: EtcdRestore, cluster: EtcdCluster) -> BackupWorker:
    """What the pods of a restore are to be like; `spec.restoreFrom` says it for that which it made."""
    source = cluster.spec.restore_from
    made = obj.name == naming.restore_from(cluster.name)
    theirs = source.worker if source is not None and made else None
    return obj.spec.worker or theirs or policy_of(cluster) or BackupWorker()


def policy_of(cluster: EtcdCluster | None) -> BackupWorker | None:
    """What an EtcdCluster says of all pods of its backups."""
    backup = cluster.spec.backup if cluster is not None else None
    return backup.worker if backup is not None else None


async def look(
    kube: Kube, owner: Resource, job: Manifest, worker: BackupWorker, field: str
) -> Seen:
    """What a Job has come to.

    One that never had a pod is deleted if the user has changed since what its pod is to be like.
    It is made anew, with the same name, when it is found missing. `field` is where he says that.
    """
    uid, name = job["metadata"]["uid"], job["metadata"]["name"]
    pods = await owned.pods_of(kube, owner, lambda pod: _made_by(pod, uid), name)
    found, ran = outcome.outcome(job, pods), outcome.ever_ran(job, pods)
    if not isinstance(found, Running) or ran:
        return Seen(found, ran)
    wanted = Work("", "", "", 0.0, worker=worker).settings
    made = (job["metadata"].get("annotations") or {}).get(naming.ANNOTATION_SETTINGS)
    if made is not None and made != wanted:
        await end(kube, job)
        again = Running("is made anew with what its pod is now to be like")
        return Seen(again, ran, removed=True)
    why = await refusal(kube, job, field)
    return Seen(found if why is None else Running(why, reasons.POD_REFUSED), ran)


def _made_by(pod: Manifest, uid: str) -> bool:
    references = pod["metadata"].get("ownerReferences") or ()
    return any(one.get("uid") == uid for one in references if one.get("controller"))


async def end(kube: Kube, job: Manifest) -> None:
    """Removes a Job whose work is done, with a pod that may run on: what was put into it by others
    need not end by itself.
    """
    meta = job["metadata"]
    await kube.delete(kinds.JOB, meta["name"], meta["namespace"], uid=meta["uid"])
