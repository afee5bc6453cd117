"""From nothing to a business cluster, a second cluster, and back to nothing.

The demo, then what must hold of it: applying the same file again changes nothing, what is deleted
by hand comes back, an addon and a tunnel into the cluster come and go, a deleted Machine leaves a host that
can join again, services of a host that are killed or hang come back, a change of software goes over two
nodes behind a canary, and deleting everything leaves nothing behind, neither in the meta cluster nor on
the hosts.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime

from e2e.demo import CLUSTER, first_cluster
from e2e.faults import host_services
from e2e.fixtures import rolling, userfiles
from e2e.fixtures.hosts import host_pool
from e2e.framework.environment import Environment, environment
from e2e.framework.follow import Predicate, condition, has, is_not, until
from e2e.framework.report import Report
from e2e.framework.rights import nothing_was_refused
from e2e.polling import eventually
from e2e.stories.inside import addons, tunnel
from e2e.stories.one_at_a_time import one_after_the_other
from kok.api import Addon, Cluster, Component, EtcdCluster, KubeNode, Machine
from kok.api.meta import Manifest
from kok.kube import kinds

NAMESPACE = "e2e-first-cluster"
OTHER = "e2e-other-team"
WORKER, SECOND = "worker-2", "worker-3"
"""Not the demo's host: the demo may be running in the same lab."""
WORKERS = f"{CLUSTER}-workers"
BEFALLS = ("kubelet killed", "kubelet hung", "containerd killed")
"""What befalls services of the first node; `machine-recovery` has all of it, and how long it may last."""
CHANGED = {"maxPods": 60}
"""What is changed of the kubelets."""
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
    async with environment(report, meta=1, workers=3) as w:
        begin = datetime.now(UTC)
        await asyncio.gather(w.drop_namespace(NAMESPACE), w.drop_namespace(OTHER))
        await first_cluster(w, namespace=NAMESPACE, worker=WORKER)
        await same_file_again(w)
        await tunnel.served(w)
        await asyncio.gather(other_team(w), what_is_inside(w))
        await children_come_back(w)
        await machine_leaves_and_joins_again(w)
        await asyncio.gather(services_come_back(w), another_node(w))
        await change_goes_over_both(w)
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


async def what_is_inside(w: Environment) -> None:
    """One after the other: without its API server nothing is known of what a Cluster runs."""
    await addons.come_and_go(w, NAMESPACE, CLUSTER)
    await tunnel.comes_and_goes(w, NAMESPACE, CLUSTER, WORKER)


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
    name = f"{WORKERS}-{WORKER}"
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


async def services_come_back(w: Environment) -> None:
    """What its unit cannot bring back the operator does, and tells of it."""
    listed = {fault.name: fault for fault in host_services.faults()}
    for name in BEFALLS:
        fault = listed[name]
        with w.report.step(f"{name}, brought back by {fault.by}"):
            took = await host_services.timed(w, WORKER, fault, namespace=NAMESPACE, workers=WORKERS)
            w.report.figures[f"{name.replace(' ', '_')}_s"] = round(took, 1)
        if "hung" in name:
            told = _tells_of(fault.service)
            await w.until(Machine.info.kind, NAMESPACE, f"{WORKERS}-{WORKER}", told, LONG)


def _tells_of(service: str) -> Predicate:
    def check(found: Manifest) -> bool:
        said = condition(found, "Healthy")
        return said.get("reason") == "Recovered" and service in said["message"]

    return check


async def another_node(w: Environment) -> None:
    """A second host joins by being listed."""
    with w.report.step("a second host becomes a node", "second_node_s"):
        await w.lab.reset(SECOND)
        ssh = w.lab.ssh(SECOND)
        listed = (await _kubenode(w))["spec"]["hosts"]
        more = {"name": SECOND, "address": ssh.address, "hostKey": ssh.fingerprint}
        await rolling.change(w, NAMESPACE, hosts=[*listed, more])
        await w.until(Machine.info.kind, NAMESPACE, f"{WORKERS}-{SECOND}", has("Ready"), LONG)


async def change_goes_over_both(w: Environment) -> None:
    """The canary has it, and proves itself, before the other one is touched."""
    policy = {"canary": 1}
    kubelet = {**userfiles.LAB_KUBELET, **CHANGED}
    await rolling.told(w, NAMESPACE, _both_ready)
    with w.report.step("kubelets get other parameters, a canary first", "rollout_s"):
        async with one_after_the_other(w, NAMESPACE, LONG):
            await rolling.change(w, NAMESPACE, rollout=policy, kubelet=kubelet)
        found = await rolling.told(w, NAMESPACE, rolling.rolled_out("True"))
    rollout = found["status"]["rollout"]
    if (rollout["batch"], rollout["updated"]) != (2, 2):
        raise AssertionError(f"two nodes are two batches, not {rollout}")
    async with await w.business(NAMESPACE, CLUSTER) as inside:
        for host in (WORKER, SECOND):
            await until(inside, kinds.NODE, host, "", _takes_fewer_pods, within=LONG)


def _both_ready(found: Manifest) -> bool:
    return has("Ready")(found) and found["status"].get("ready") == 2


def _takes_fewer_pods(node: Manifest) -> bool:
    return bool(node["status"]["capacity"]["pods"] == str(CHANGED["maxPods"]))


async def _kubenode(w: Environment) -> Manifest:
    found = await w.kube.get(KubeNode.info.kind, WORKERS, NAMESPACE)
    if found is None:
        raise AssertionError(f"there is no KubeNode {WORKERS}")
    return found


async def nothing_is_left(w: Environment) -> None:
    """Cluster and KubeNode are deleted together, as `kubectl delete -f` does."""
    with w.report.step("everything deleted", "deleted_s"):
        await asyncio.gather(
            w.kube.delete(Cluster.info.kind, CLUSTER, NAMESPACE),
            w.kube.delete(KubeNode.info.kind, WORKERS, NAMESPACE),
        )
        await asyncio.gather(
            w.gone(KubeNode.info.kind, NAMESPACE, WORKERS, LONG),
            w.gone(Cluster.info.kind, NAMESPACE, CLUSTER, LONG),
        )
    left = await _left(w, NAMESPACE)
    if left:
        raise AssertionError(f"deleting everything left {left}")
    for host in (WORKER, SECOND):
        await host_pool.bare(w, host)
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
