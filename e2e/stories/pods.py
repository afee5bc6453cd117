"""What people reported of pods in the meta cluster that others refuse, change or look into.

One EtcdCluster of one member with its backups in S3 goes through all of them.
"""

from __future__ import annotations

import base64
import json
import os
import time
from typing import Any

from e2e.fixtures import backups, etcd
from e2e.fixtures.backups import BACKUP, RESTORE
from e2e.fixtures.etcd import KIND, LONG, NAME, SOON
from e2e.framework.environment import Environment
from e2e.lab import S3
from e2e.stories import sidecar, told
from kok.api import Cluster
from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.operators.etcd import naming

NAMESPACE = "e2e-reports-pods"
BUCKET = NAMESPACE
CLUSTER = Cluster.info.kind
QUOTA = Kind("", "v1", "ResourceQuota", "resourcequotas")
LIMITS = Kind("", "v1", "LimitRange", "limitranges")
KEYS = "backup-keys"
OTHER = "other"
"""Under whose name backups are put that were made of `etcd.NAME`."""
ENOUGH = {"limits": {"cpu": "1", "memory": "512Mi"}}
WORKER = {"resources": {"limits": {"cpu": "1", "memory": "256Mi"}}, "etcdResources": ENOUGH}
LABELS, NOTES = {"team": "a"}, {"sidecar.example.com/inject": "false"}


async def tell(w: Environment) -> None:
    """All of them, one after the other; nothing is left."""
    async with etcd.bucket(w, BUCKET):
        await told(
            w,
            NAMESPACE,
            plain_http_needs_encryption,
            a_quota_that_wants_limits_of_members,
            a_quota_that_wants_limits_of_workers,
            a_limit_range,
            a_sidecar_that_never_ends,
            a_backup_under_another_name,
            a_backup_that_outlives_its_cluster,
        )


async def plain_http_needs_encryption(w: Environment) -> None:
    """a store at an http:// address without encryption is refused by kubectl apply"""
    s3 = {"bucket": BUCKET, "endpoint": "http://s3.example", "secret": etcd.STORE_SECRET}
    store: dict[str, Any] = {"store": {"s3": s3}}
    whole = {"version": "1.37.1", "profile": "edge", "etcd": {"backup": store}}
    source = {**store, "newestOf": f"{NAMESPACE}/{NAME}"}
    for manifest in (
        etcd.manifest(NAMESPACE, backup=store),
        etcd.manifest(NAMESPACE, restoreFrom=source),
        _object(BACKUP, "plain", etcdCluster=NAME, **store),
        _object(RESTORE, "plain", etcdCluster=NAME, **source),
        _object(CLUSTER, "plain", **whole),
    ):
        await w.refused(manifest, "a store at an http:// address needs encryption")


async def a_quota_that_wants_limits_of_members(w: Environment) -> None:
    """a quota that wants limits is quoted by an EtcdCluster, and its spec.resources suit it"""
    hard = {"limits.cpu": "6", "limits.memory": "6Gi"}
    await w.kube.apply(_object(QUOTA, "limits-wanted", hard=hard))
    store = await etcd.store(w, NAMESPACE, await _s3(w), BUCKET)
    await w.apply(etcd.manifest(NAMESPACE, members=1, backup={"store": store}))
    await _refused(w, KIND, NAME, "limits-wanted", "limits.memory", "set spec.resources")
    await etcd.change(w, NAMESPACE, resources=ENOUGH)
    await etcd.ready(w, NAMESPACE)


async def a_quota_that_wants_limits_of_workers(w: Environment) -> None:
    """it is quoted by a backup too, which can be given limits, or deleted at once"""
    for name in ("never", "mended"):
        await backups.back_up(w, NAMESPACE, name)
        await _refused(w, BACKUP, name, "limits-wanted", "limits.cpu", "spec.backup.worker")
    begun = time.monotonic()
    await w.kube.delete(BACKUP, "never", NAMESPACE)
    # What removes a backup would be refused as well: it would be waited for half an hour.
    await w.gone(BACKUP, NAMESPACE, "never", SOON)
    w.report.figures["never-stored-gone-s"] = round(time.monotonic() - begun, 2)
    live = await etcd.get(w, NAMESPACE)
    await etcd.change(w, NAMESPACE, backup={**live["spec"]["backup"], "worker": WORKER})
    await backups.stored(w, NAMESPACE, "mended")
    await backups.proved(w, NAMESPACE, "mended", "under the quota", "Passed")
    await _removed(w, "mended")
    await w.kube.delete(QUOTA, "limits-wanted", NAMESPACE)


async def a_limit_range(w: Environment) -> None:
    """a LimitRange above what pods ask for is quoted by EtcdCluster and backup alike"""
    least = [{"type": "Container", "min": {"cpu": "200m"}}]
    await w.kube.apply(_object(LIMITS, "least", limits=least))
    await backups.back_up(w, NAMESPACE, "small")
    words = ("minimum cpu usage per Container is 200m", "spec.worker of the EtcdBackup")
    await _refused(w, BACKUP, "small", *words)
    asks = {"resources": {**WORKER["resources"], "requests": {"cpu": "200m"}}}
    await w.kube.patch(BACKUP, "small", NAMESPACE, {"spec": {"worker": asks}})
    await backups.stored(w, NAMESPACE, "small")
    await w.kube.delete(kinds.POD, naming.pod_name(f"{NAME}-0"), NAMESPACE)
    await _refused(w, KIND, NAME, words[0], "set spec.resources")
    await etcd.change(w, NAMESPACE, resources={**ENOUGH, "requests": {"cpu": "200m"}})
    await etcd.ready(w, NAMESPACE)
    await w.kube.delete(LIMITS, "least", NAMESPACE)
    await _removed(w, "small")


async def a_sidecar_that_never_ends(w: Environment) -> None:
    """what a mesh puts beside the work holds up neither backup, proof, restore nor removal"""
    worker = {**WORKER, "labels": LABELS, "annotations": NOTES}
    live = await etcd.get(w, NAMESPACE)
    await etcd.change(w, NAMESPACE, backup={**live["spec"]["backup"], "worker": worker})
    async with sidecar.beside_workers(w, NAMESPACE), sidecar.seen(w, NAMESPACE) as seen:
        await backups.back_up(w, NAMESPACE, "meshed")
        await backups.stored(w, NAMESPACE, "meshed")
        await backups.proved(w, NAMESPACE, "meshed", "beside a mesh", "Passed")
        await backups.restore(w, NAMESPACE, "back", backup="meshed")
        await backups.restored(w, NAMESPACE, "back")
        await _removed(w, "meshed")
    await w.kube.delete(RESTORE, "back", NAMESPACE)
    lacking = {"backup", "verify", "prove", "seed", "remove"} - seen.pods.keys()
    if lacking:
        raise AssertionError(f"nothing ran beside {sorted(lacking)}: nothing was proved")
    for purpose, pod in seen.pods.items():
        _is_within("labels", purpose, LABELS, pod)
        _is_within("annotations", purpose, NOTES, pod)


async def a_backup_under_another_name(w: Environment) -> None:
    """a backup that was copied under another cluster's name is not restored for its"""
    s3 = await _s3(w)
    key = base64.b64encode(os.urandom(32)).decode()
    meta = {"name": KEYS, "namespace": NAMESPACE}
    await w.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"key": key}}
    )
    store = await etcd.store(w, NAMESPACE, s3, BUCKET)
    sealed = {"store": store, "encryption": {"secret": KEYS}}
    await backups.back_up(w, NAMESPACE, "sealed", **sealed)
    await backups.stored(w, NAMESPACE, "sealed")
    pod = await w.kube.get(kinds.POD, naming.pod_name(await _member(w)), NAMESPACE)
    copy = _copied(s3, "sealed")
    newest = {"newestOf": f"{NAMESPACE}/{OTHER}"}
    await _not_restored(
        w, "as-it-is", f"was made of EtcdCluster {NAMESPACE}/{NAME}", sealed, newest
    )
    await _not_restored(w, "by-key", "put", sealed, {"key": copy})
    _renamed(s3, copy)
    await _not_restored(w, "renamed", "put", sealed, newest)
    after = await w.kube.get(kinds.POD, naming.pod_name(await _member(w)), NAMESPACE)
    if etcd.lives(after) != etcd.lives(pod):
        raise AssertionError("a member was touched by restores that were refused")
    await etcd.ready(w, NAMESPACE)


async def a_backup_that_outlives_its_cluster(w: Environment) -> None:
    """without its EtcdCluster a backup is proven and removed, behind a NetworkPolicy of its own"""
    await w.kube.delete(KIND, NAME, NAMESPACE)
    await w.gone(KIND, NAMESPACE, NAME, LONG)
    await backups.proved(w, NAMESPACE, "sealed", "alone", "Passed")
    found = await w.kube.list(kinds.NETWORKPOLICY, NAMESPACE)
    (policy,) = found
    if [o["kind"] for o in policy["metadata"]["ownerReferences"]] != [BACKUP.kind]:
        raise AssertionError(f"it is kept by {policy['metadata']['ownerReferences']}")
    await _removed(w, "sealed")
    await w.gone(kinds.NETWORKPOLICY, NAMESPACE, policy["metadata"]["name"], SOON)


async def _s3(w: Environment) -> S3:
    return await w.lab.want_s3()


async def _member(w: Environment) -> str:
    (member,) = (await etcd.get(w, NAMESPACE))["status"]["members"]
    return str(member["name"])


async def _refused(w: Environment, kind: Kind, name: str, *words: str) -> None:
    """Ready quotes why a pod is refused, and says what to do."""

    def told_so(obj: Manifest) -> bool:
        quoted = etcd.sentence(obj, "Ready")
        return etcd.says("Ready", "False", "PodRefused")(obj) and all(x in quoted for x in words)

    await w.until(kind, NAMESPACE, name, told_so, LONG)


async def _removed(w: Environment, name: str) -> None:
    """Deletes an EtcdBackup; nothing of it is left in the bucket."""
    await w.kube.delete(BACKUP, name, NAMESPACE)
    await w.gone(BACKUP, NAMESPACE, name, LONG)
    s3 = await _s3(w)
    left = [k for k in s3.objects(BUCKET) if f"{NAMESPACE}/{NAME}/" in k and f"Z-{name}-" in k]
    if left:
        raise AssertionError(f"{left} is left of EtcdBackup {name}")


async def _not_restored(
    w: Environment, name: str, words: str, sealed: dict[str, Any], which: dict[str, Any]
) -> None:
    await backups.restore(w, NAMESPACE, name, **sealed, **which)
    said = etcd.says("Ready", "False", "RestoreRefused")
    done = await w.until(RESTORE, NAMESPACE, name, said, LONG)
    if words not in etcd.sentence(done, "Ready"):
        raise AssertionError(f"expected {words!r} in {etcd.sentence(done, 'Ready')!r}")
    await w.kube.delete(RESTORE, name, NAMESPACE)


def _copied(s3: S3, name: str) -> str:
    """Puts a backup, and what lies beside it, under another cluster's name; its key there."""
    key = backups.snapshot(s3, BUCKET, name)
    other = key.replace(f"/{NAME}/", f"/{OTHER}/")
    s3.copy(BUCKET, key, other)
    s3.copy(BUCKET, f"{key}.json", f"{other}.json")
    return other


def _renamed(s3: S3, key: str) -> None:
    """What lies beside a copy says that it is no copy."""
    path = s3.root / BUCKET / f"{key}.json"
    description = json.loads(path.read_text())
    description["key"], description["origin"]["name"] = key, OTHER
    text = json.dumps(description)
    path.write_text(text)


def _is_within(what: str, purpose: str, wanted: dict[str, str], pod: Manifest) -> None:
    found = pod["metadata"].get(what) or {}
    if not wanted.items() <= found.items():
        raise AssertionError(f"the pod of {purpose} has the {what} {found}")


def _object(kind: Kind, name: str, **spec: Any) -> Manifest:
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
    }
