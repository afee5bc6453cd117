"""Clean-up after a deleted EtcdCluster: members, then volumes, then the rest; bounded in time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from kok.api import names
from kok.api.cluster.cluster import Cluster
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.kube.concurrency import all_of
from kok.kube.decoding.truncation import FREE_FORM
from kok.kube.errors import NotFound
from kok.kube.objects.ownership import owned_by
from kok.operators.etcd.etcdcluster.members import roles
from kok.operators.etcd.etcdcluster.observed.children import read_children
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.operators.etcd.jobs import owned as workers
from kok.operators.etcd.settings import Tuning
from kok.runtime.controller.errors import Wait
from kok.runtime.controller.reasons import DELETING
from kok.runtime.controller.reconciler import DONE, Done, Pass, Result

CLUSTER = Cluster.info.kind
OF_KOK = (CLUSTER.group, CLUSTER.kind)
GRACE_DELETE = 1
"""Seconds that members have to end whose data goes with them."""


async def finalize(p: Pass[EtcdCluster], tuning: Tuning) -> Result | Done:
    """One step: asks for what is still to go, and says what is waited for.

    Pods end before their volumes and Secrets go. With `deletionPolicy: Retain` volumes stay; those
    of earlier releases are freed of their owner first. After `delete_within` the rest is left to
    Kubernetes: all of it is on its way out already, or has an owner that is gone.
    """
    spec = p.obj.spec.model_copy(update={"deletion_policy": await _policy(p, tuning)})
    obj = p.obj.model_copy(update={"status": p.status, "spec": spec})
    observed = Observed(
        await read_children(
            obj,
            roles.members_of(obj),
            p.kube,
            most=tuning.delete_at_once,
            volumes=tuning.unknown_volumes,
        )
    )
    # What fills a volume ends first: it could hold it for long.
    await _delete(p, kinds.JOB, await workers.jobs_of(p.kube, obj))
    ours = {kind: _ours(obj, observed, kind) for kind in (kinds.STATEFULSET, kinds.PDB, kinds.POD)}
    volumes = _volumes(obj, observed)
    retain = obj.spec.deletion_policy == "Retain"
    freed = await free(p, volumes) if retain else 0
    if freed >= tuning.delete_at_once and not _out_of_patience(obj, p.now, tuning):
        raise Wait(DELETING, "frees more volumes of their owner", after=0.5)
    await _delete(p, kinds.STATEFULSET, ours[kinds.STATEFULSET])
    await _delete(p, kinds.PDB, ours[kinds.PDB])
    await _delete(p, kinds.POD, ours[kinds.POD], grace=None if retain else GRACE_DELETE)
    if not retain and await _delete(p, kinds.PVC, volumes) >= tuning.delete_at_once:
        # Nobody else would remove what was not seen: volumes have no owner.
        raise Wait(DELETING, "removes more volumes", after=0.5)
    waiting = [*ours[kinds.STATEFULSET], *ours[kinds.POD], *([] if retain else volumes)]
    if waiting and not _out_of_patience(obj, p.now, tuning):
        raise Wait(DELETING, f"waits for {_list(waiting)} to go", after=1.0)
    if waiting:
        p.log.warning("what does not go is left to Kubernetes", left=_list(waiting))
    rest = (kinds.SERVICE, kinds.CONFIGMAP, kinds.NETWORKPOLICY, kinds.SECRET)
    asked = [await _delete(p, kind, _ours(obj, observed, kind)) for kind in rest]
    if max(asked) >= tuning.delete_at_once and not _out_of_patience(obj, p.now, tuning):
        raise Wait(DELETING, "removes what else belongs to it", after=0.5)
    return DONE


async def _policy(p: Pass[EtcdCluster], tuning: Tuning) -> str:
    """What becomes of the volumes: of a Cluster's EtcdCluster what the Cluster says by now.

    It may have been changed just before the deletion. The cluster operator hands it on, but in a
    foreground deletion of the Cluster the garbage collector deletes the EtcdCluster at once.
    """
    obj = p.obj
    owner = next((o for o in obj.metadata.owner_references if o.controller), None)
    if owner is None or (owner.api_version.partition("/")[0], owner.kind) != OF_KOK:
        return obj.spec.deletion_policy
    if names.etcd_cluster(owner.name) != obj.name:
        return obj.spec.deletion_policy
    try:
        live = await p.kube.get(CLUSTER, owner.name, obj.namespace, unread=FREE_FORM)
    except NotFound:
        # The kind is not served, which may be so for a moment only.
        if not _out_of_patience(obj, p.now, tuning):
            raise
        live = None
    if live is None or live["metadata"].get("uid") != owner.uid:
        return obj.spec.deletion_policy
    return str((live.get("spec") or {}).get("deletionPolicy", "Delete"))


def _ours(obj: EtcdCluster, observed: Observed, kind: Kind) -> list[Manifest]:
    """Children of a kind that are this EtcdCluster's own; pods belong to its StatefulSets."""
    if kind == kinds.POD:
        return observed.all(kind)
    return [m for m in observed.all(kind) if roles.is_ours(m, obj)]


def _volumes(obj: EtcdCluster, observed: Observed) -> list[Manifest]:
    """Only what holds this very EtcdCluster's data, never what an earlier one left."""
    return [m for m in observed.all(kinds.PVC) if roles.is_ours(m, obj)]


def to_be_freed(obj: EtcdCluster, observed: Observed) -> list[Manifest]:
    """Volumes of an EtcdCluster that still have it for an owner, as earlier releases made them.

    What is applied to members' volumes takes it off as well, but not in every pass, and not of those
    that a restore keeps. Once the garbage collector has asked for one to go, nothing keeps it.
    """
    return [m for m in observed.all(kinds.PVC) if owned_by(m, obj)]


async def free(p: Pass[EtcdCluster], volumes: Sequence[Manifest]) -> int:
    """Takes the owner off volumes; returns of how many: none may be left to the garbage collector."""
    owned = [claim["metadata"] for claim in volumes if claim["metadata"].get("ownerReferences")]
    for meta in owned:
        others = [r for r in meta["ownerReferences"] if r.get("uid") != p.obj.metadata.uid]
        # At the end nobody else's would keep it either.
        left = None if p.obj.deleting else others or None
        patch = {"metadata": {"uid": meta["uid"], "ownerReferences": left}}
        await p.kube.patch(kinds.PVC, meta["name"], meta["namespace"], patch)
    return len(owned)


async def _delete(
    p: Pass[EtcdCluster], kind: Kind, objects: Sequence[Manifest], grace: int | None = None
) -> int:
    """Asks for those to go that are not going yet; returns how many these are."""
    going = [m["metadata"] for m in objects if not m["metadata"].get("deletionTimestamp")]
    await all_of(
        p.kube.delete(kind, m["name"], m["namespace"], uid=m["uid"], grace=grace) for m in going
    )
    return len(going)


def _out_of_patience(obj: EtcdCluster, now: datetime, tuning: Tuning) -> bool:
    since = obj.metadata.deletion_timestamp
    return since is not None and now - since > tuning.delete_within


def _list(objects: Sequence[Manifest]) -> str:
    return ", ".join(f"{m['kind']} {m['metadata']['name']}" for m in objects)
