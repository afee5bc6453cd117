"""A minor under load, with a node, `logs -f` and `exec`; a proven backup comes first.

Two API servers behind a load balancer. Then nothing leads back, certificates are renewed, and every
component is restarted, all of it under the same load; the node follows last.
"""

from __future__ import annotations

import base64
from typing import Any

from e2e.fixtures import backups, clusters, etcd, userfiles
from e2e.framework.balancer import Balancer, balancer
from e2e.framework.environment import Environment, environment
from e2e.framework.follow import has
from e2e.framework.report import Report
from e2e.framework.rights import enough_rights
from e2e.load import Load, loading, undisturbed
from e2e.load.moves import move, note, unnoticed
from kok.api import KubeNode
from kok.api.meta import Manifest
from kok.kube import kinds

NAMESPACE = "e2e-upgrade-minor"
BUCKET = NAMESPACE
OLD, NEW = "1.36.4", "1.37.1"
SHOP, WORKER = "shop", "worker-2"
WORKERS = f"{SHOP}-workers"
KUBENODE = KubeNode.info.kind
LONG = 900.0


async def run(report: Report) -> None:
    """The scenario; it leaves the lab as it was."""
    async with environment(report, meta=1, workers=2) as w:
        with report.step(f"Kubernetes {OLD}", "versions_s"):
            await w.lab.want(kubernetes=f"v{OLD}")
        async with (
            etcd.bucket(w, BUCKET) as s3,
            etcd.fresh_namespaces(w, NAMESPACE, within=LONG),
            enough_rights(w),
            balancer(w) as given,
        ):
            store = await etcd.store(w, NAMESPACE, s3, BUCKET)
            await made(w, given, store)
            async with loading(w, NAMESPACE, SHOP, pods=True) as load:
                await upgraded(w, load)
                await no_way_back(w)
                await certificates_renewed(w, load)
                await all_restarted(w, load)
                told = await load.finish()
            note(w, told, "rest")
            undisturbed(told, rest=True)
            await node_follows(w)
            await gone(w)


async def made(w: Environment, given: Balancer, store: dict[str, Any]) -> None:
    """A Cluster with two API servers and a node."""
    text = userfiles.first_cluster(w.lab, WORKER, namespace=NAMESPACE, cluster=SHOP, version=OLD)
    _, node = userfiles.documents(text)
    # It would follow at once, and its drain takes the pod away that logs and exec go to.
    node["spec"]["version"] = OLD
    backup = {"store": store, "schedule": "0 0 1 1 *"}
    spec = {"profile": "standard", "version": OLD, "etcd": {"backup": backup}}
    endpoint = {"type": "LoadBalancer"}
    with w.report.step(f"a Cluster of {OLD} with a node", "created_s"):
        await w.apply(
            userfiles.ssh_secret(w.lab, WORKER, NAMESPACE),
            userfiles.checksums(w.lab, NAMESPACE),
            clusters.manifest(NAMESPACE, SHOP, endpoint=endpoint, **spec),
            node,
        )
        waits = etcd.says("Ready", "False", "WaitingForAddress")
        await w.until(clusters.KIND, NAMESPACE, SHOP, waits, clusters.SOON)
        await given.serve(NAMESPACE, f"{SHOP}-apiserver")
        await w.until(KUBENODE, NAMESPACE, WORKERS, has("Ready"), LONG)
        await clusters.at_rest(w, NAMESPACE, SHOP)


async def upgraded(w: Environment, load: Load) -> None:
    """The backup is made and proven before anything else changes."""
    seen = await move(w, load, (NAMESPACE, SHOP), NEW, figure="minor", steps=("Backup",))
    made = [
        one
        for one in await w.kube.list(backups.BACKUP, NAMESPACE)
        if one["metadata"]["name"].startswith(f"{SHOP}-upgrade-")
    ]
    proofs = [((b.get("status") or {}).get("verification") or {}).get("result") for b in made]
    if proofs != ["Passed"]:
        raise AssertionError(f"one backup should have been made and proven first, not {proofs}")
    w.report.line(f"steps: {', '.join(step for _, step in seen.taken)}")


async def no_way_back(w: Environment) -> None:
    """What API servers of the later minor have written an earlier one may not be able to read."""
    sentence = f"spec.version: {NEW} -> {OLD} goes down, which Kubernetes does not support"
    with w.report.step(f"{NEW} -> {OLD} is refused at kubectl apply"):
        await clusters.refused(w, sentence, NAMESPACE, SHOP, version=OLD)


async def node_follows(w: Environment) -> None:
    """The node comes to the version of its control plane, and serves there."""
    with w.report.step("the node follows", "node_follows_s"):
        await w.kube.patch(KUBENODE, WORKERS, NAMESPACE, {"spec": {"version": None}})
        await clusters.node_at(w, (NAMESPACE, SHOP), WORKER, NEW)
        await w.until(KUBENODE, NAMESPACE, WORKERS, has("Ready"), LONG)


async def certificates_renewed(w: Environment, load: Load) -> None:
    """A shorter life applies at once; what comes after is as when a certificate is due."""
    before = await _kubeconfig(w)

    def renewed(secret: Manifest) -> bool:
        return bool((secret.get("data") or {}).get("kubeconfig", before) != before)

    with w.report.step("all certificates are renewed", "renewed_s"):
        await clusters.change(w, NAMESPACE, SHOP, certificates={"leafDuration": "4380h"})
        await w.until(kinds.SECRET, NAMESPACE, f"{SHOP}-kubeconfig", renewed, LONG)
        await clusters.at_rest(w, NAMESPACE, SHOP)
    await unnoticed(w, load, (NAMESPACE, SHOP), "renewed")


async def _kubeconfig(w: Environment) -> str:
    secret = await w.kube.get(kinds.SECRET, f"{SHOP}-kubeconfig", NAMESPACE)
    text = ((secret or {}).get("data") or {}).get("kubeconfig", "")
    if not base64.b64decode(text):
        raise AssertionError(f"there is no kubeconfig of {SHOP}")
    return str(text)


async def all_restarted(w: Environment, load: Load) -> None:
    """Every component, one after the other as an upgrade would; etcd's members too."""
    roll = {"podAnnotations": {"example.com/restarted": "once"}}
    for part in ("apiServer", "controllerManager", "scheduler"):
        with w.report.step(f"{part} is restarted", f"{part}_restarted_s"):
            await clusters.change(w, NAMESPACE, SHOP, **{part: roll})
            await clusters.at_rest(w, NAMESPACE, SHOP)
        await unnoticed(w, load, (NAMESPACE, SHOP), f"{part}_restarted")
    with w.report.step("etcd's members are restarted", "etcd_restarted_s"):
        resources = {"requests": {"cpu": "21m", "memory": "65Mi"}}
        await clusters.change(w, NAMESPACE, SHOP, etcd={"resources": resources})
        rolls = etcd.says("UpToDate", "False")
        await w.until(etcd.KIND, NAMESPACE, f"{SHOP}-etcd", rolls, clusters.SOON)
        await w.until(etcd.KIND, NAMESPACE, f"{SHOP}-etcd", _up_to_date, LONG)
        await clusters.at_rest(w, NAMESPACE, SHOP)
    await unnoticed(w, load, (NAMESPACE, SHOP), "etcd_restarted")


def _up_to_date(found: Manifest) -> bool:
    return etcd.settled(found) and has("UpToDate")(found)


async def gone(w: Environment) -> None:
    """The node first, which needs its Cluster to leave."""
    with w.report.step("all of it deleted", "deleted_s"):
        await w.kube.delete(KUBENODE, WORKERS, NAMESPACE)
        await w.gone(KUBENODE, NAMESPACE, WORKERS, LONG)
        await w.kube.delete(clusters.KIND, SHOP, NAMESPACE)
        await w.gone(clusters.KIND, NAMESPACE, SHOP, LONG)
