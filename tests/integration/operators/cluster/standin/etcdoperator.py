"""What a test needs of the etcd operator: EtcdClusters that are ready, EtcdBackups that are proven."""

from __future__ import annotations

from datetime import UTC, datetime

from kok.api import names
from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.pki import LeafSpec, issue, new_ca, tls_secret_data

ETCD, BACKUP = EtcdCluster.info.kind, EtcdBackup.info.kind


async def keep_etcd(kube: Kube, live: Manifest, *, ready: bool) -> None:
    """The client's Secret, and a status that says whether it is ready, or asleep."""
    meta = live["metadata"]
    name = names.etcd_client_secret(meta["name"])
    if await kube.get(kinds.SECRET, name, meta["namespace"]) is None:
        ca = new_ca("etcd", datetime.now(UTC))
        leaf = issue(ca, LeafSpec("client"), datetime.now(UTC))
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": meta["namespace"]},
            "type": "kubernetes.io/tls",
            "data": tls_secret_data(leaf, ca.cert_pem),
        }
        await kube.apply(secret)
    asleep = bool(live["spec"].get("hibernate"))
    conditions = [
        {
            "type": type_,
            "status": str(ready and not asleep),
            "reason": "Hibernated" if asleep else "StandIn",
            "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        for type_ in ("Available", "Ready")
    ]
    if (live.get("status") or {}).get("conditions") != conditions:
        slept = bool((live.get("status") or {}).get("hibernation"))
        step = "Asleep" if asleep else "Waking" if slept and not ready else None
        sleep = {"step": step, "since": "2026-01-01T00:00:00Z"} if step else None
        patch = {"status": {"conditions": conditions, "hibernation": sleep}}
        await kube.patch(ETCD, meta["name"], meta["namespace"], patch, subresource="status")


async def keep_backup(kube: Kube, live: Manifest) -> None:
    """Stored and proven."""
    if "provenAt" not in (live.get("status") or {}):
        meta, then = live["metadata"], "2026-01-01T00:00:00Z"
        patch = {"status": {"completedAt": then, "provenAt": then}}
        await kube.patch(BACKUP, meta["name"], meta["namespace"], patch, subresource="status")
