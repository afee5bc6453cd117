"""EtcdBackups and EtcdRestores as scenarios use them: asked for, and followed to their end."""

from __future__ import annotations

from typing import Any

from e2e import etcd
from e2e.follow import has
from e2e.lab import S3
from e2e.world import World
from kok.api import EtcdBackup, EtcdRestore
from kok.api.meta import Kind, Manifest

BACKUP, RESTORE = EtcdBackup.info.kind, EtcdRestore.info.kind
VERIFY = "kok.dev/verify"


async def back_up(w: World, namespace: str, name: str, **spec: Any) -> None:
    """Asks for a backup."""
    await w.apply(_of_cluster(BACKUP, namespace, name, spec))


async def stored(w: World, namespace: str, name: str) -> Manifest:
    """Waits until it is complete."""
    return await w.until(BACKUP, namespace, name, has("Ready", reason="Stored"), etcd.LONG)


async def proved(w: World, namespace: str, name: str, request: str, result: str) -> Manifest:
    """Has a backup restored for a trial, and waits until that ends so."""
    patch = {"metadata": {"annotations": {VERIFY: request}}}
    await w.kube.patch(BACKUP, name, namespace, patch)

    def done(obj: Manifest) -> bool:
        proof = (obj.get("status") or {}).get("verification") or {}
        return proof.get("request") == request and proof.get("result") == result

    return await w.until(BACKUP, namespace, name, done, etcd.LONG)


async def restore(w: World, namespace: str, name: str, **spec: Any) -> None:
    """Asks for a restore in place."""
    await w.apply(_of_cluster(RESTORE, namespace, name, spec))


async def restored(w: World, namespace: str, name: str) -> None:
    """Waits until it is done and the cluster is whole."""
    done = has("Ready", reason="Restored")
    await w.until(RESTORE, namespace, name, done, 2 * etcd.LONG)
    await etcd.ready(w, namespace)


def snapshot(s3: S3, bucket: str, name: str) -> str:
    """The key under which a backup lies in the bucket."""
    return next(k for k in s3.objects(bucket) if f"Z-{name}-" in k and k.endswith(".snapshot"))


def _of_cluster(kind: Kind, namespace: str, name: str, spec: dict[str, Any]) -> Manifest:
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"etcdCluster": etcd.NAME, **spec},
    }
