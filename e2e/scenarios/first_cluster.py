"""From nothing to a business cluster, a second cluster, and back to nothing.

The demo, then what must hold of it: applying the same file again changes nothing, what is deleted
by hand comes back, a deleted Machine leaves a host that can join again, and deleting everything
leaves nothing behind, neither in the meta cluster nor on the host.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime

from e2e.demo import CLUSTER, first_cluster
from e2e.fixtures import host_pool, userfiles
from e2e.framework.environment import Environment, environment
from e2e.framework.follow import has, is_not
from e2e.framework.report import Report
from e2e.framework.rights import nothing_was_refused
from e2e.polling import eventually
from kok.api import Addon, Cluster, Component, EtcdCluster, KubeNode, Machine
from kok.kube import kinds

NAMESPACE = "e2e-first-cluster"
OTHER = "e2e-other-team"
WORKER = "worker-2"
"""Not the demo's host: the demo may be running in the same lab."""
LONG = 600.0
"""Seconds after which what is waited for counts as not happening; how long it takes is a figure."""
CHILDREN = (
    kinds.DEPLOYMENT,
    kinds.STATEFULSET,
    kinds.SERVICE,
    kinds.SECRET,
    kinds.CONFIGMAP,
    kinds.PVC,
    kinds.PDB,
    kinds.NETWORKPOLICY,
    kinds.POD,
    Cluster.info.kind,
    EtcdCluster.info.kind,
    Addon.info.kind,
    Machine.info.kind,
    KubeNode.info.kind,
    Component.info.kind,
)


async def run(report: Report) -> None:
    """The scenario; it removes what it made, also after a failure of an earlier run."""
    async with environment(report, meta=1, workers=2) as w:
        begin = datetime.now(UTC)
        await asyncio.gather(w.drop_namespace(NAMESPACE), w.drop_namespace(OTHER))
        await first_cluster(w, namespace=NAMESPACE, worker=WORKER)
        await same_file_again(w)
        await other_team(w)
        await children_come_back(w)
        await machine_leaves_and_joins_again(w)
        await nothing_is_left(w)
        await nothing_was_refused(w, begin)


async def same_file_again(w: Environment) -> None:
    """A second apply writes nothing at all."""
    report = w.report
    with report.step("the same file again changes nothing"):
        before = await _versions(w)
        text = userfiles.first_cluster(w.lab, WORKER, namespace=NAMESPACE)
        await w.apply(*userfiles.documents(text))
        after = await _versions(w)
        changed = {k for k in before if before[k] != after.get(k)}
        if changed:
            raise AssertionError(f"applying the same file again changed {sorted(changed)}")


async def _versions(w: Environment) -> dict[str, int]:
    found = {}
    for kind in (Cluster.info.kind, KubeNode.info.kind):
        for manifest in await w.kube.list(kind, NAMESPACE):
            meta = manifest["metadata"]
            found[f"{kind.kind}/{meta['name']}"] = meta["generation"]
    return found


async def other_team(w: Environment) -> None:
    """Another team's cluster of the same name, with the older Kubernetes and three members."""
    await w.lab.want(kubernetes="v1.36.4")
    cluster = {
        "apiVersion": "kok.dev/v1alpha1",
        "kind": "Cluster",
        "metadata": {"name": CLUSTER, "namespace": OTHER},
        "spec": {"version": "1.36.4", "profile": "standard"},
    }
    await w.namespace(OTHER)
    with w.report.step("a cluster of the same name in another namespace", "second_cluster_s"):
        await w.apply(cluster)
        await w.until(Cluster.info.kind, OTHER, CLUSTER, has("Ready"), LONG)
    async with await w.business(OTHER, CLUSTER) as kube:
        version = await kube.raw("GET", "/version")
        if version["gitVersion"] != "v1.36.4":
            raise AssertionError(f"the other cluster runs {version['gitVersion']}")
        if await kube.list(kinds.NODE):
            raise AssertionError("the other cluster shows nodes of its namesake")
    with w.report.step("the other cluster deleted", "second_cluster_deleted_s"):
        await w.kube.delete(Cluster.info.kind, CLUSTER, OTHER)
        await w.gone(Cluster.info.kind, OTHER, CLUSTER, LONG)
        left = await _left(w, OTHER)
        if left:
            raise AssertionError(f"deleting the other cluster left {left}")


async def children_come_back(w: Environment) -> None:
    """What is deleted by hand in the meta cluster is made again."""
    victims = (
        (kinds.DEPLOYMENT, f"{CLUSTER}-controller-manager"),
        (kinds.SECRET, f"{CLUSTER}-kubeconfig"),
        (kinds.PDB, f"{CLUSTER}-etcd"),
    )
    with w.report.step("children deleted by hand come back", "children_back_s"):
        uids = {}
        for kind, name in victims:
            manifest = await w.kube.get(kind, name, NAMESPACE)
            if manifest is None:
                raise AssertionError(f"there is no {kind.kind} {name}")
            uids[name] = manifest["metadata"]["uid"]
            await w.kube.delete(kind, name, NAMESPACE)
        for kind, name in victims:
            await w.until(kind, NAMESPACE, name, is_not(uids[name]), LONG)
        await w.until(Cluster.info.kind, NAMESPACE, CLUSTER, has("Ready"), LONG)


async def machine_leaves_and_joins_again(w: Environment) -> None:
    """A deleted Machine takes its node along; the KubeNode makes it anew on the same host."""
    name = f"{CLUSTER}-workers-{WORKER}"
    kind = Machine.info.kind
    before = await w.kube.get(kind, name, NAMESPACE)
    if before is None:
        raise AssertionError(f"there is no Machine {name}")
    with w.report.step("a deleted Machine joins again", "machine_again_s"):
        await w.kube.delete(kind, name, NAMESPACE)
        await w.until(
            kind,
            NAMESPACE,
            name,
            lambda m: is_not(before["metadata"]["uid"])(m) and has("Ready")(m),
            LONG,
        )


async def nothing_is_left(w: Environment) -> None:
    """Cluster and KubeNode are deleted together, as `kubectl delete -f` does."""
    with w.report.step("everything deleted", "deleted_s"):
        await asyncio.gather(
            w.kube.delete(Cluster.info.kind, CLUSTER, NAMESPACE),
            w.kube.delete(KubeNode.info.kind, f"{CLUSTER}-workers", NAMESPACE),
        )
        await asyncio.gather(
            w.gone(KubeNode.info.kind, NAMESPACE, f"{CLUSTER}-workers", LONG),
            w.gone(Cluster.info.kind, NAMESPACE, CLUSTER, LONG),
        )
    left = await _left(w, NAMESPACE)
    if left:
        raise AssertionError(f"deleting everything left {left}")
    await host_pool.bare(w, WORKER)
    await asyncio.gather(w.drop_namespace(NAMESPACE), w.drop_namespace(OTHER))


async def _left(w: Environment, namespace: str) -> list[str]:
    """What is left but for what the user brought; pods get a moment to end."""
    theirs = {f"Secret/{userfiles.SSH_SECRET}", f"ConfigMap/{userfiles.CHECKSUMS}"}
    left: list[str] = []

    async def nothing() -> bool:
        left[:] = [x for x in await w.left_in(namespace, CHILDREN) if x not in theirs]
        return not left

    with contextlib.suppress(TimeoutError):
        await eventually(nothing, 180.0, every=1.0)
    return left
