"""A pool of hosts that two Clusters share: up, down, from one to the other, and nothing is left.

Four hosts of two operating systems, with directories in places of their own. A client of the scale
subresource and `kubectl scale` change their number; who leaves is the emptiest, or who does not
serve. A host that was cleaned up holds what it held before, and serves the other Cluster at once.
In the end the namespace is deleted with all that is in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from e2e.fixtures import clusters, userfiles
from e2e.fixtures.hosts import bare_host, host_pool
from e2e.framework.environment import Environment, environment
from e2e.framework.follow import condition, has, until_gone
from e2e.framework.report import Report
from e2e.framework.rights import nothing_was_refused
from e2e.lab.images.catalog import TOOLBOX
from e2e.polling import eventually
from e2e.stories.node_removal import kok
from kok.api.meta import Manifest
from kok.api.names import machine
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.http.paths import object_path
from kok.operators.machine.node.drain import concerns

NAMESPACE = "e2e-machine-pool"
SHOP, OTHER = "shop", "other"
WORKERS = f"{SHOP}-workers"
SYSTEMS: Mapping[str, str] = {
    "worker-2": "debian-12",
    "worker-3": "debian-12",
    "worker-4": "debian-12",
    "worker-5": "debian-13",
}
"""Not the demo's host: the demo may be running in the same lab."""
PLACES: Mapping[str, str] = {
    # /var/lib/containerd of every host of the lab is a mount of its own.
    "worker-3": """\
mkdir /srv/kubelet && mount --bind /var/lib/kubelet /srv/kubelet && umount /var/lib/kubelet
rmdir /var/lib/kubelet && ln -s /srv/kubelet /var/lib/kubelet && echo mine > /srv/kubelet/notes.txt
""",
    "worker-5": """\
mkdir -p /var/lib/docker/containerd && umount /var/lib/containerd && rmdir /var/lib/containerd
ln -s /var/lib/docker/containerd /var/lib/containerd && echo mine > /var/lib/docker/containerd/notes.txt
""",
}
"""What is done to hosts before they become nodes, as root."""
PODS = 4
"""On each node that is to be full: more than a cluster has of its own."""
SOON, LONG = 120.0, 900.0


async def run(report: Report) -> None:
    """The scenario; it removes what it made, also after a failure of an earlier run."""
    async with environment(report, meta=1, workers=max(_number(n) for n in SYSTEMS)) as w:
        begin = datetime.now(UTC)
        await host_pool.emptied(w, NAMESPACE)
        before = await bring(w)
        await up_by_an_autoscaler(w)
        left = await down_leaves_the_emptiest(w)
        await serves_another_cluster(w, left)
        await down_leaves_who_does_not_serve(w, before)
        await a_namespace_goes(w, before)
        await nothing_was_refused(w, begin)


async def bring(w: Environment) -> dict[str, frozenset[str]]:
    """Hosts as they are wanted, what they hold, two Clusters, and two nodes of the first."""
    with w.report.step("four bare hosts of two operating systems"):
        await asyncio.gather(*(w.lab.reset(name, system) for name, system in SYSTEMS.items()))
        for name, script in PLACES.items():
            await w.lab.exec(name, "sh", "-euc", script)
        before = {name: await bare_host.told(w, name) for name in SYSTEMS}
    await w.namespace(NAMESPACE)
    await w.apply(
        userfiles.ssh_secret(w.lab, next(iter(SYSTEMS)), NAMESPACE),
        userfiles.checksums(w.lab, NAMESPACE),
        *(host_pool.host(w, NAMESPACE, name) for name in SYSTEMS),
        *(clusters.manifest(NAMESPACE, name) for name in (SHOP, OTHER)),
        host_pool.kubenode(w, NAMESPACE, WORKERS, SHOP, 2),
    )
    with w.report.step("two nodes of the pool", "two_nodes_s"):
        await host_pool.serving(w, NAMESPACE, WORKERS, 2)
    return before


async def up_by_an_autoscaler(w: Environment) -> None:
    """A client that knows nothing but the scale subresource, as a HorizontalPodAutoscaler."""
    with w.report.step("scaled up by a client of the scale subresource", "scale_up_s"):
        await _rescale(w, len(SYSTEMS))
        await host_pool.serving(w, NAMESPACE, WORKERS, len(SYSTEMS))
    told = await _scale(w)
    machines = await w.kube.list(
        host_pool.MACHINE, NAMESPACE, labels=str(told["status"]["selector"])
    )
    if told["status"]["replicas"] != len(machines):
        raise AssertionError(f"{told['status']} counts {len(machines)} Machines")
    async with await w.business(NAMESPACE, SHOP) as kube:
        await host_pool.nodes_are(kube, *SYSTEMS)
        systems = {
            n["metadata"]["name"]: n["status"]["nodeInfo"]["osImage"]
            for n in await kube.list(kinds.NODE)
        }
        # They are taken back a moment after the nodes serve.
        await eventually(lambda: _no_token(kube), SOON, every=0.5)
    w.report.line(f"operating systems: {systems}")
    if "13" not in systems["worker-5"] or "12" not in systems["worker-2"]:
        raise AssertionError(f"the hosts should run Debian 12 and 13, not {systems}")


async def _no_token(kube: Kube) -> bool:
    secrets = await kube.list(kinds.SECRET, "kube-system")
    return all(s.get("type") != "bootstrap.kubernetes.io/token" for s in secrets)


async def down_leaves_the_emptiest(w: Environment) -> str:
    """All nodes but one are filled, not the youngest; that one leaves. Its name."""
    claimed = (await w.kube.get(host_pool.KUBENODE, WORKERS, NAMESPACE) or {})["status"]["claims"]
    empty: str = claimed[0]
    async with await w.business(NAMESPACE, SHOP) as kube:
        await asyncio.gather(*(_fill(kube, name) for name in SYSTEMS if name != empty))
        counted = await _pods(kube)
    w.report.line(f"pods that would have to move: {counted}")
    if min(counted, key=lambda name: counted[name]) != empty:
        raise AssertionError(f"{empty} should be the emptiest of {counted}")
    with w.report.step("kubectl scale: the emptiest leaves", "scale_down_s"):
        await host_pool.scale(w, NAMESPACE, WORKERS, len(SYSTEMS) - 1)
    async with await w.business(NAMESPACE, SHOP) as kube:
        await host_pool.nodes_are(kube, *(name for name in SYSTEMS if name != empty))
    await w.until(host_pool.HOST, NAMESPACE, empty, _free, SOON)
    return empty


async def serves_another_cluster(w: Environment, left: str) -> None:
    """What was cleaned up is free, and what waits for it gets it without being told."""
    workers = f"{OTHER}-workers"
    with w.report.step("a cleaned host joins another cluster", "other_cluster_s"):
        await w.apply(host_pool.kubenode(w, NAMESPACE, workers, OTHER, 2))
        await w.until(host_pool.KUBENODE, NAMESPACE, workers, _lacks_one, SOON)
        await w.until(host_pool.MACHINE, NAMESPACE, machine(workers, left), has("Ready"), LONG)
    async with await w.business(NAMESPACE, OTHER) as kube:
        await host_pool.nodes_are(kube, left)


async def down_leaves_who_does_not_serve(
    w: Environment, before: Mapping[str, frozenset[str]]
) -> None:
    """A host that hangs leaves before emptier ones; once it is back it is cleaned up and goes on."""
    claimed = (await w.kube.get(host_pool.KUBENODE, WORKERS, NAMESPACE) or {})["status"]["claims"]
    hangs = claimed[0]
    async with await w.business(NAMESPACE, SHOP) as kube:
        await _fill(kube, hangs, more=2)
    name = machine(WORKERS, hangs)
    await w.lab.pause(hangs)
    try:
        await w.until(host_pool.MACHINE, NAMESPACE, name, _serves_not, LONG)
        await _rescale(w, len(SYSTEMS) - 2)
        await w.until(host_pool.MACHINE, NAMESPACE, name, _leaves, SOON)
    finally:
        await w.lab.unpause(hangs)
    with w.report.step("a host that hung is cleaned up and serves the other cluster", "back_s"):
        await w.gone(host_pool.MACHINE, NAMESPACE, name, LONG)
        await host_pool.serving(w, NAMESPACE, f"{OTHER}-workers", 2)
        await host_pool.serving(w, NAMESPACE, WORKERS, len(SYSTEMS) - 2)
    async with await w.business(NAMESPACE, OTHER) as kube:
        nodes = {n["metadata"]["name"] for n in await kube.list(kinds.NODE)}
    if hangs not in nodes:
        raise AssertionError(f"{hangs} should serve {OTHER}, whose nodes are {sorted(nodes)}")
    # Both of them leave again, so that it can be seen what they hold.
    with w.report.step("hosts hold what they held before"):
        others = f"{OTHER}-workers"
        await w.kube.patch(host_pool.KUBENODE, others, NAMESPACE, {"spec": {"replicas": 0}})
        for node in nodes:
            await w.gone(host_pool.MACHINE, NAMESPACE, machine(others, node), LONG)
        await asyncio.gather(*(bare_host.as_before(w, n, before[n]) for n in nodes))


async def a_namespace_goes(w: Environment, before: Mapping[str, frozenset[str]]) -> None:
    """Clusters, KubeNodes, Hosts and Secrets at once: it takes minutes, and no finalizer by hand."""
    with w.report.step("a namespace is deleted with all that is in it", "namespace_s"):
        await w.kube.delete(kinds.NAMESPACE, NAMESPACE)
        await until_gone(w.kube, kinds.NAMESPACE, NAMESPACE, "", within=LONG)
    await asyncio.gather(*(bare_host.as_before(w, name, before[name]) for name in SYSTEMS))
    if NAMESPACE in (listed := await kok(w, "doctor")):
        raise AssertionError(f"all hosts are clean, but kok doctor says {listed}")


def _lacks_one(nodes: Manifest) -> bool:
    return "lacks 1 free" in str(condition(nodes, "Ready").get("message"))


def _serves_not(found: Manifest) -> bool:
    return not has("Ready")(found)


def _leaves(found: Manifest) -> bool:
    return "deletionTimestamp" in found["metadata"]


def _free(host: Manifest) -> bool:
    return bool((host.get("status") or {}).get("phase") == "Free")


async def _scale(w: Environment) -> Manifest:
    found: Manifest = await w.kube.raw("GET", _scale_path())
    return found


async def _rescale(w: Environment, replicas: int) -> None:
    """As autoscalers do it: the Scale as it was read, with another number."""
    read = await _scale(w)
    await w.kube.raw("PUT", _scale_path(), {**read, "spec": {"replicas": replicas}})


def _scale_path() -> str:
    return object_path(host_pool.KUBENODE, NAMESPACE, WORKERS, "scale")


async def _fill(kube: Kube, node: str, more: int = PODS) -> None:
    """Pods that stay on a node until they are moved away."""
    for number in range(more):
        await kube.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"generateName": f"filler-{number}-", "namespace": "default"},
                "spec": {
                    "nodeName": node,
                    "terminationGracePeriodSeconds": 1,
                    "containers": [
                        {"name": "filler", "image": TOOLBOX, "command": ["sleep", "86400"]}
                    ],
                },
            }
        )


async def _pods(kube: Kube) -> dict[str, int]:
    """How many pods would have to move from each node."""
    counted = dict.fromkeys(SYSTEMS, 0)
    for pod in await kube.list(kinds.POD):
        where: Any = pod["spec"].get("nodeName")
        if where in counted and concerns(pod):
            counted[where] += 1
    return counted


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])
