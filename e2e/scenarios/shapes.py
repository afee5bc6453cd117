"""Clusters of every shape: endpoints, spread, kept data, an older Kubernetes, a pool of hosts.

Three Clusters and an EtcdCluster of seven members live side by side; then the operators run in
one process, and from the checkout.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

from e2e.faults import disruption, node_loss
from e2e.fixtures import business_cluster, clusters, etcd, userfiles
from e2e.fixtures.hosts import host_pool
from e2e.framework import processes
from e2e.framework.balancer import Balancer, balancer
from e2e.framework.environment import Environment, environment
from e2e.framework.follow import condition, has, is_not
from e2e.framework.install import install
from e2e.framework.report import Report
from e2e.framework.rights import nothing_was_refused
from kok.api import Cluster
from kok.api.meta import Kind, Manifest
from kok.kube import kinds

NAMESPACE = "e2e-shapes"
NODES = ("meta-1", "meta-2", "meta-3")
HOSTS = ("worker-1", "worker-2")
INSIDE, PUBLIC, OLDER, RESTING, WIDE = "inside", "public", "older", "resting", "wide"
WORKERS = f"{OLDER}-workers"
CLUSTER = Cluster.info.kind
SOON, LONG = 300.0, 900.0


async def run(report: Report) -> None:
    """The scenario; it leaves the chart's three operators, as it found them."""
    async with environment(report, meta=len(NODES), workers=len(HOSTS)) as w:
        await emptied(w)
        await w.namespace(NAMESPACE)
        begin = datetime.now(UTC)
        await w.lab.want(kubernetes="v1.36.4")
        async with balancer(w) as given:
            await asyncio.gather(
                inside_then_kept(w),
                behind_balancer(w, given),
                older_with_pool(w),
                seven_members(w),
            )
            with report.step("a meta node is drained under profile ha"):
                silence = await node_loss.drained(w, NAMESPACE, PUBLIC, spared=NODES[0])
                report.figures["drain_silence_s"] = round(silence, 1)
            await in_one_process(w)
            await from_checkout(w)
            with report.step("three Deployments again"):
                await install(w.lab, report)
        with report.step("everything deleted"):
            await emptied(w)
        await nothing_was_refused(w, begin)


async def emptied(w: Environment) -> None:
    """Removes what this or an earlier run made; nodes first, which need their Cluster to leave."""
    await asyncio.gather(_without(w, host_pool.KUBENODE, CLUSTER), _without(w, etcd.KIND))
    await w.drop_namespace(NAMESPACE, LONG)


async def _without(w: Environment, *in_turn: Kind) -> None:
    """All objects of these kinds that a user made, deleted and gone."""
    for kind in in_turn:
        made = [m["metadata"] for m in await w.kube.list(kind, NAMESPACE)]
        names = [meta["name"] for meta in made if not meta.get("ownerReferences")]
        await asyncio.gather(*(w.kube.delete(kind, name, NAMESPACE) for name in names))
        await asyncio.gather(*(w.gone(kind, NAMESPACE, name, LONG) for name in names))


def cluster(name: str, **spec: Any) -> Manifest:
    """The smallest Cluster; `spec` changes that."""
    return clusters.manifest(NAMESPACE, name, **spec)


async def ready(w: Environment, name: str, within: float = LONG) -> Manifest:
    """The Cluster once it can be used."""
    return await w.until(CLUSTER, NAMESPACE, name, has("Ready"), within)


# --- an endpoint inside the meta cluster, and data that outlives its Cluster


async def inside_then_kept(w: Environment) -> None:
    """A Cluster that only the meta cluster reaches is deleted and made again with its data."""
    manifest = cluster(INSIDE, endpoint={"type": "ClusterIP"}, deletionPolicy="Retain")
    with w.report.step("a Cluster with a ClusterIP", "cluster_ip_s"):
        await w.apply(manifest)
        made = await ready(w, INSIDE)
    address = await _cluster_ip(w, INSIDE)
    if made["status"]["endpoint"] != f"https://{address}:6443":
        raise AssertionError(f"{made['status']['endpoint']} is not the Service's {address}")
    await _inside(w, "create", "configmap", "kept", "--from-literal=word=here")
    await _inside(w, "create", "secret", "generic", "kept", "--from-literal=word=hidden")
    volumes = await _volumes(w)
    with w.report.step("deleted, its volumes stay"):
        await w.kube.delete(CLUSTER, INSIDE, NAMESPACE)
        await w.gone(CLUSTER, NAMESPACE, INSIDE, LONG)
        if not volumes or await _volumes(w) != volumes:
            raise AssertionError(f"of the volumes {volumes} are left {await _volumes(w)}")
    with w.report.step("made again, it goes on with its data", "kept_data_s"):
        await w.apply(manifest)
        said = await w.until(CLUSTER, NAMESPACE, INSIDE, _asks_for_annotation, LONG)
        annotation = _annotation(said)
        await w.lab.kubectl("annotate", "etcd", f"{INSIDE}-etcd", "-n", NAMESPACE, annotation)
        await ready(w, INSIDE)
    for kind, word in (("configmap", "here"), ("secret", "aGlkZGVu")):
        found = await _inside(w, "get", kind, "kept", "-o", "jsonpath={.data.word}")
        if found != word:
            raise AssertionError(f"{kind} kept holds {found!r} and not {word!r}")
    if await _volumes(w) != volumes:
        raise AssertionError(f"{await _volumes(w)} are not the volumes {volumes}")
    # Before operators run where its address leads nowhere.
    await w.kube.delete(CLUSTER, INSIDE, NAMESPACE)
    await w.gone(CLUSTER, NAMESPACE, INSIDE, LONG)


async def _inside(w: Environment, *arguments: str) -> str:
    kubeconfig = await w.kubeconfig(NAMESPACE, INSIDE)
    return await business_cluster.kubectl(w.lab, kubeconfig, *arguments, host=NODES[0])


async def _cluster_ip(w: Environment, name: str) -> str:
    found = await w.kube.get(kinds.SERVICE, f"{name}-apiserver", NAMESPACE) or {"spec": {}}
    return str(found["spec"].get("clusterIP"))


async def _volumes(w: Environment) -> dict[str, str]:
    """The volumes of the Cluster's etcd by the UIDs of their claims."""
    claims = await w.kube.list(kinds.PVC, NAMESPACE)
    return {
        claim["metadata"]["uid"]: claim["spec"].get("volumeName", "")
        for claim in claims
        if claim["metadata"]["name"].startswith(f"{INSIDE}-etcd")
    }


def _annotation(manifest: Manifest) -> str:
    """The annotation that a sentence tells the user to set, or an empty text."""
    said = str(condition(manifest, "Ready").get("message"))
    found = re.search(r"kok\.dev/adopt-volumes=[0-9a-f]+", said)
    return found.group() if found else ""


def _asks_for_annotation(manifest: Manifest) -> bool:
    return has("Ready", "False")(manifest) and bool(_annotation(manifest))


# --- an endpoint of a load balancer, and a control plane that is spread


async def behind_balancer(w: Environment, given: Balancer) -> None:
    """Ready only once the API answers through what the balancer gave; then a node is drained."""
    service = f"{PUBLIC}-apiserver"
    with w.report.step("profile ha behind a load balancer", "load_balancer_s"):
        await w.apply(cluster(PUBLIC, profile="ha", endpoint={"type": "LoadBalancer"}))
        waits = etcd.says("Ready", "False", "WaitingForAddress")
        said = await w.until(CLUSTER, NAMESPACE, PUBLIC, waits, SOON)
        if f"{service} got no address from a load balancer" not in etcd.sentence(said, "Ready"):
            raise AssertionError(etcd.sentence(said, "Ready"))
        await given.promise(NAMESPACE, service)
        silent = etcd.says("Ready", "False", "Unreachable")
        await w.until(CLUSTER, NAMESPACE, PUBLIC, silent, LONG)
        await given.serve(NAMESPACE, service)
        made = await ready(w, PUBLIC)
    if made["status"]["endpoint"] != f"https://{given.address}:6443":
        raise AssertionError(f"{made['status']['endpoint']} is not at {given.address}")
    kubeconfig = await w.kubeconfig(NAMESPACE, PUBLIC)
    found = await business_cluster.kubectl(w.lab, kubeconfig, "get", "namespaces", "-o", "name")
    if "namespace/kube-system" not in found:
        raise AssertionError(f"kubectl get namespaces: {found}")


# --- an older Kubernetes with nodes of a pool


async def older_with_pool(w: Environment) -> None:
    """Kubernetes 1.36.4 up to its nodes, which are hosts of a pool; one more, and one less."""
    key = userfiles.ssh_secret(w.lab, HOSTS[0], NAMESPACE, password=w.lab.ssh(HOSTS[0]).password)
    sums = userfiles.checksums(w.lab, NAMESPACE)
    await w.apply(key, sums, *(host_pool.host(w, NAMESPACE, name) for name in HOSTS))
    with w.report.step("Kubernetes 1.36.4 with a node of a pool, by password", "older_node_s"):
        await w.apply(
            cluster(OLDER, version="1.36.4"), host_pool.kubenode(w, NAMESPACE, WORKERS, OLDER, 1)
        )
        await host_pool.serving(w, NAMESPACE, WORKERS, 1)
    # What never ran can be taken back.
    await refused(w)
    async with await w.business(NAMESPACE, OLDER) as kube:
        versions = [n["status"]["nodeInfo"]["kubeletVersion"] for n in await kube.list(kinds.NODE)]
        versions.append((await kube.raw("GET", "/version"))["gitVersion"])
        if versions != ["v1.36.4"] * 2:
            raise AssertionError(f"node and API server run {versions}")
        with w.report.step("a pod on it resolves a name", "older_pod_s"):
            kubeconfig = await w.kubeconfig(NAMESPACE, OLDER)
            await business_cluster.dns_check(w.lab, kube, kubeconfig, within=LONG)
        with w.report.step("kubectl scale to two nodes", "scale_up_s"):
            await host_pool.scale(w, NAMESPACE, WORKERS, 2)
            await host_pool.nodes_are(kube, *HOSTS)
        with w.report.step("kubectl scale to one node", "scale_down_s"):
            await host_pool.scale(w, NAMESPACE, WORKERS, 1)
            spare = await host_pool.free(w, NAMESPACE, HOSTS)
            await host_pool.nodes_are(kube, *(name for name in HOSTS if name != spare))
            await host_pool.bare(w, spare)


async def refused(w: Environment) -> None:
    """What must not change is refused by `kubectl apply`, with a sentence."""
    await w.apply(cluster(RESTING, version="1.35.4", paused=True))
    down = "spec.version: 1.36.4 -> 1.35.4 goes down, which Kubernetes does not support"
    fixed = "cannot be changed; nodes and kubeconfigs hold the address"
    cases: tuple[tuple[str, dict[str, Any], str], ...] = (
        (RESTING, {"version": "1.37.1"}, "1.35.4 -> 1.37.1 skips 1.36; upgrade to 1.36.x first"),
        (OLDER, {"version": "1.38.0"}, "1.38.0 is not supported; this release knows 1.34 to 1.37"),
        (OLDER, {"version": "1.35.4"}, down),
        (OLDER, {"endpoint": {"type": "ClusterIP"}}, f"spec.endpoint.type {fixed}"),
        (OLDER, {"network": {"podCIDRs": ["10.96.0.0/16"]}}, "spec.network cannot be changed"),
    )
    with w.report.step("what must not change is refused at kubectl apply"):
        for name, spec, sentence in cases:
            await w.refused(cluster(name, **{"version": "1.36.4", **spec}), sentence)
        moved = host_pool.kubenode(w, NAMESPACE, WORKERS, PUBLIC, 1)
        await w.refused(moved, "spec.cluster cannot be changed; delete the KubeNode and create")
        await w.kube.delete(CLUSTER, RESTING, NAMESPACE)


# --- seven members


async def seven_members(w: Environment) -> None:
    """Seven members vote, and three of them may be away."""
    tiny = {"requests": {"cpu": "10m", "memory": "32Mi"}}
    with w.report.step("seven members of etcd", "seven_members_s"):
        await w.apply(etcd.manifest(NAMESPACE, WIDE, members=7, resources=tiny))
        made = await etcd.ready(w, NAMESPACE, WIDE, LONG)
    leader, (*others, witness) = etcd.roles(made)
    away = (leader, *others[:2])
    with w.report.step("three of seven are cut off, and writes go on"):
        async with AsyncExitStack() as cuts:
            for member in away:
                await cuts.enter_async_context(
                    disruption.pod_cut_off(w, NAMESPACE, etcd.pod(member))
                )
            await etcd.etcdctl_with_retries(w, NAMESPACE, witness, "put", "word", "here")
        await etcd.ready(w, NAMESPACE, WIDE, LONG)
        found = await etcd.etcdctl_with_retries(
            w, NAMESPACE, leader, "get", "word", "--print-value-only"
        )
        listed = await etcd.etcdctl_with_retries(w, NAMESPACE, leader, "member", "list")
    if found.strip() != "here" or listed.count("started") != 7:
        raise AssertionError(f"{leader} holds {found!r} and lists {listed}")


# --- one process for all operators


async def in_one_process(w: Environment) -> None:
    """The chart's `singleProcess` takes over from three Deployments; nothing is disturbed."""
    with w.report.step("helm upgrade with singleProcess", "single_process_s"):
        async with processes.ready_throughout(w, NAMESPACE):
            await install(w.lab, w.report, singleProcess=True)
            names = await processes.deployments(w)
            if len(names) != 1:
                raise AssertionError(f"with singleProcess there are Deployments {names}")
            await asyncio.gather(_back(w, f"{OLDER}-apiserver"), _back(w, WIDE))
        await host_pool.labelled(w, NAMESPACE, WORKERS, OLDER, "single")


async def _back(w: Environment, name: str) -> None:
    """A PodDisruptionBudget that was deleted by hand is made again."""
    before = await w.kube.get(kinds.PDB, name, NAMESPACE)
    if before is None:
        raise AssertionError(f"there is no PodDisruptionBudget {name}")
    await w.kube.delete(kinds.PDB, name, NAMESPACE)
    await w.until(kinds.PDB, NAMESPACE, name, is_not(before["metadata"]["uid"]), SOON)


async def from_checkout(w: Environment) -> None:
    """`kok operator --all` of the checkout does the work of the chart's operators."""
    with w.report.step("kok operator --all from the checkout", "checkout_s"):
        async with processes.from_checkout(w):
            async with processes.ready_throughout(w, NAMESPACE):
                more = {"spec": {"scheduler": {"replicas": 2}}}
                await w.kube.patch(CLUSTER, OLDER, NAMESPACE, more)
                await asyncio.gather(
                    w.until(CLUSTER, NAMESPACE, OLDER, _two_schedulers, LONG),
                    etcd.create(w, NAMESPACE, "late", members=1),
                )
            await host_pool.labelled(w, NAMESPACE, WORKERS, OLDER, "checkout")


def _two_schedulers(manifest: Manifest) -> bool:
    components = (manifest.get("status") or {}).get("components") or ()
    return any(c["name"] == "kube-scheduler" and c.get("ready") == 2 for c in components)
