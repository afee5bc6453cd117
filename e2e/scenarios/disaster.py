"""The whole meta cluster is lost, and a new one brings its business clusters back from S3 alone.

Beside the bucket there is what a user has in Git and in a vault: his files, the credentials of the
bucket, the key of the backups, a private key. One Cluster comes back under its own name with its
node, whose kubelet goes on by itself; the other under another name, its keys sealed to a key pair of
which the lost meta cluster had only the public half. Users' kubeconfigs are those of before.
"""

from __future__ import annotations

import asyncio
import base64
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from e2e.fixtures import business_cluster, etcd, userfiles
from e2e.fixtures.backups import BACKUP
from e2e.framework.environment import PATIENCE, Environment, environment
from e2e.framework.follow import has, until
from e2e.framework.report import Report
from e2e.framework.rights import nothing_was_refused
from e2e.lab import S3
from kok.api import Cluster, Machine
from kok.api.meta import Kind, Manifest
from kok.backup.encryption.sealing import key_pair
from kok.kube import kinds
from kok.kube.client import Kube

CLUSTER, MACHINE = Cluster.info.kind, Machine.info.kind
NODE_LEASE = "kube-node-lease"
WORKER = "worker-1"
BUCKET = "e2e-disaster"
ENCRYPTION, VAULT = "backup-keys", "vault"
DATA = "written before the disaster"
LONG = 900.0


@dataclass(frozen=True)
class Tenant:
    """One business cluster before and after."""

    namespace: str
    name: str
    after: str
    """What it is called afterwards."""
    port: int
    worker: str | None = None


SHOP = Tenant("e2e-disaster-shop", "shop", "shop", 30643, WORKER)
DEPOT = Tenant("e2e-disaster-depot", "depot", "storehouse", 30644)
TENANTS = (SHOP, DEPOT)


@dataclass(frozen=True)
class Kept:
    """What is not in the meta cluster: a vault's content, and users' kubeconfigs by Cluster."""

    key: str
    private: str
    public: str
    kubeconfigs: dict[str, str]


async def run(report: Report) -> None:
    """The scenario; its meta cluster is another one at the end."""
    private, public = key_pair()
    kept = Kept(base64.b64encode(os.urandom(32)).decode(), private, public, {})
    async with environment(report, meta=1, workers=1) as w, etcd.bucket(w, BUCKET) as s3:
        await asyncio.gather(*(w.drop_namespace(t.namespace, LONG) for t in TENANTS))
        await before(w, s3, kept)
        with report.step("the meta cluster is lost"):
            await w.lab.lose_meta()
        async with environment(report, meta=1, workers=1) as another:
            await after(another, s3, kept)


async def before(w: Environment, s3: S3, kept: Kept) -> None:
    """Two Clusters with their data, and a proven backup of each."""
    with w.report.step("two Clusters, one with a node", "made_s"):
        await asyncio.gather(*(_make(w, s3, kept, tenant) for tenant in TENANTS))
    for tenant in TENANTS:
        kept.kubeconfigs[tenant.name] = await w.kubeconfig(tenant.namespace, tenant.name)
        async with await _client(kept, tenant) as kube:
            await kube.apply(_written(kinds.CONFIGMAP, "data", DATA))
            await kube.apply(_written(kinds.SECRET, "stringData", DATA))
    async with await _client(kept, SHOP) as kube:
        with w.report.step("a pod on the node resolves a name"):
            await business_cluster.dns_check(w.lab, kube, kept.kubeconfigs[SHOP.name])
    with w.report.step("a proven backup of each", "backups_s"):
        await asyncio.gather(*(_back_up(w, tenant) for tenant in TENANTS))


async def after(w: Environment, s3: S3, kept: Kept) -> None:
    """Begins with an empty meta cluster, in which KOK is installed."""
    begin, report = datetime.now(UTC), w.report
    with report.step("both Clusters serve again, with the node", "all_back_s"):
        await asyncio.gather(*(_bring_back(w, s3, kept, tenant, begin) for tenant in TENANTS))
    with report.step("what was written is there, also what was encrypted"):
        for tenant in TENANTS:
            await _read(kept, tenant)
    async with await _client(kept, SHOP) as kube:
        with report.step("a new pod on the node resolves a name", "pod_s"):
            await kube.delete(kinds.POD, "dns-check", "default", grace=0)
            await business_cluster.dns_check(w.lab, kube, kept.kubeconfigs[SHOP.name])
    with report.step("the node has its Machine again", "machine_s"):
        # Only its owner can know that the meta cluster which the host was marked by is lost.
        await w.lab.exec(WORKER, "rm", "-f", "/var/lib/kok/owner")
        await w.apply(*_documents(w, SHOP)[1:])
        name = f"{SHOP.after}-workers-{WORKER}"
        await w.until(MACHINE, SHOP.namespace, name, has("Ready"), LONG)
    await nothing_was_refused(w, begin)
    for tenant in TENANTS:
        await w.kube.delete(CLUSTER, tenant.after, tenant.namespace)
    await asyncio.gather(*(w.drop_namespace(t.namespace, LONG) for t in TENANTS))


async def _make(w: Environment, s3: S3, kept: Kept, tenant: Tenant) -> None:
    store = await _secrets(w, s3, kept, tenant)
    keys = {"recipient": kept.public} if tenant is DEPOT else {}
    policy = {"store": store, "encryption": {"secret": ENCRYPTION}, "keys": keys}
    cluster, *nodes = _documents(w, tenant)
    cluster["spec"]["etcd"] = {"backup": policy}
    await w.apply(cluster, *nodes)
    await w.until(CLUSTER, tenant.namespace, tenant.name, has("Ready"), LONG)
    if tenant.worker is not None:
        name = f"{tenant.name}-workers-{tenant.worker}"
        await w.until(MACHINE, tenant.namespace, name, has("Ready"), LONG)


async def _bring_back(w: Environment, s3: S3, kept: Kept, tenant: Tenant, begin: datetime) -> None:
    """From the user's files to an API that answers users' kubeconfigs, and a node that reports."""
    store = await _secrets(w, s3, kept, tenant)
    source: dict[str, Any] = {
        "store": store,
        "newestOf": f"{tenant.namespace}/{tenant.name}-etcd",
        "encryption": {"secret": ENCRYPTION},
    }
    if tenant is DEPOT:
        source["privateKey"] = {"secret": VAULT}
    cluster = _documents(w, tenant)[0]
    cluster["metadata"]["name"] = tenant.after
    cluster["spec"]["etcd"] = {"restoreFrom": source}
    await w.apply(cluster)
    await w.until(CLUSTER, tenant.namespace, tenant.after, has("Ready"), LONG)
    _took(w, f"{tenant.after}_serves_s", begin)
    if tenant.worker is not None:
        async with await _client(kept, tenant) as kube:
            await _reports(kube, tenant.worker, begin)
        _took(w, f"{tenant.after}_node_s", begin)


async def _reports(kube: Kube, node: str, since: datetime) -> None:
    """Waits until a node's kubelet has renewed its Lease; what it said before is in the backup."""

    def renewed(lease: Manifest) -> bool:
        said = str(lease["spec"].get("renewTime") or "")
        return bool(said) and datetime.fromisoformat(said) > since

    await until(kube, kinds.LEASE, node, NODE_LEASE, renewed, within=LONG)
    await until(kube, kinds.NODE, node, "", has("Ready"), within=LONG)


async def _read(kept: Kept, tenant: Tenant) -> None:
    async with await _client(kept, tenant) as kube:
        plain = await kube.get(kinds.CONFIGMAP, "before", "default")
        secret = await kube.get(kinds.SECRET, "before", "default")
    found = (plain or {}).get("data", {}).get("text")
    hidden = base64.b64decode((secret or {}).get("data", {}).get("text", "")).decode()
    if (found, hidden) != (DATA, DATA):
        raise AssertionError(f"{tenant.after} has {found!r} and {hidden!r} where {DATA!r} was")


async def _back_up(w: Environment, tenant: Tenant) -> None:
    await w.apply(
        {
            "apiVersion": BACKUP.api_version,
            "kind": BACKUP.kind,
            "metadata": {
                "name": tenant.name,
                "namespace": tenant.namespace,
                "annotations": {"kok.dev/verify": "before the disaster"},
            },
            "spec": {"etcdCluster": f"{tenant.name}-etcd"},
        }
    )

    def proven(obj: Manifest) -> bool:
        proof = (obj.get("status") or {}).get("verification") or {}
        return proof.get("result") in {"Passed", "Failed", "Unknown"}

    done = await w.until(BACKUP, tenant.namespace, tenant.name, proven, LONG)
    proof = done["status"]["verification"]
    w.report.line(f"{tenant.name}: {proof['message']}")
    if proof["result"] != "Passed" or not done["status"].get("sealedKeys"):
        raise AssertionError(f"the backup of {tenant.name} is none: {done['status']}")


async def _secrets(w: Environment, s3: S3, kept: Kept, tenant: Tenant) -> dict[str, Any]:
    """A namespace with what vault and Git hold; the `store` that names the bucket."""
    await w.namespace(tenant.namespace)
    if tenant.worker is not None:
        secret = userfiles.ssh_secret(w.lab, tenant.worker, tenant.namespace)
        await w.apply(secret, userfiles.checksums(w.lab, tenant.namespace))
    for name, entry, value in (
        (ENCRYPTION, "key", kept.key),
        (VAULT, "privateKey", kept.private),
    ):
        if name == VAULT and not kept.kubeconfigs:
            continue  # The meta cluster that will be lost never sees it.
        meta = {"name": name, "namespace": tenant.namespace}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta}
        await w.apply({**secret, "stringData": {entry: value}})
    return await etcd.store(w, tenant.namespace, s3, BUCKET)


def _documents(w: Environment, tenant: Tenant) -> list[Manifest]:
    """The user's file: a Cluster, and a KubeNode if it has a worker."""
    worker = tenant.worker or WORKER
    text = userfiles.first_cluster(w.lab, worker, namespace=tenant.namespace, cluster=tenant.name)
    cluster, *nodes = userfiles.documents(text)
    # The same address after as before, as a user has it by DNS or a virtual address.
    address = str(w.lab.host("meta-1").address)
    cluster["spec"]["endpoint"] = {"type": "NodePort", "host": address, "port": tenant.port}
    return [cluster, *nodes] if tenant.worker is not None else [cluster]


def _written(kind: Kind, field: str, text: str) -> Manifest:
    meta = {"name": "before", "namespace": "default"}
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": meta,
        field if kind is kinds.SECRET else "data": {"text": text},
    }


async def _client(kept: Kept, tenant: Tenant) -> Kube:
    """With the kubeconfig that its users had before."""
    text = kept.kubeconfigs[tenant.name]
    return await Kube.from_kubeconfig(text, field_manager="kok-e2e", timeout=PATIENCE)


def _took(w: Environment, figure: str, begin: datetime) -> None:
    seconds = (datetime.now(UTC) - begin).total_seconds()
    w.report.figures[figure] = round(seconds, 1)
    w.report.line(f"{figure}: {seconds:.1f}")
