"""Times until what fails on a node works again, with containerd and with Docker; and of a reboot."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from e2e.bench import clusters
from e2e.bench.figure import Figure, figure
from e2e.faults import host_services
from e2e.faults.host_services import Fault, well
from e2e.fixtures import rolling, userfiles
from e2e.fixtures.hosts import host_pool
from e2e.framework.environment import Environment
from e2e.framework.follow import Predicate, has, until
from kok.api import Cluster
from kok.api.meta import Manifest
from kok.api.names import machine
from kok.kube import kinds

ROUNDS = 3
CLUSTER = "nodes"
LONG = 900.0
NODES = {"containerd": "worker-2", "docker": "worker-3"}
"""A host for each runtime; not the demo's, which may be running in the same lab."""
SERVICES = {"containerd": ("containerd", "kubelet"), "docker": ("docker", "cri-dockerd")}
"""What is measured on which node. The kubelet is the same on both."""
BEFALLS = ("killed", "stopped", "hung")


async def recovered(w: Environment) -> AsyncIterator[Figure]:
    """Services of a node killed, stopped by hand and hung, and its host rebooted: until all works again."""
    await _bring(w, await w.lab.want_docker())
    try:
        for runtime, host in NODES.items():
            faults = faults_of(runtime)
            times: dict[str, list[float]] = defaultdict(list)
            for _ in range(ROUNDS):
                for fault in faults:
                    times[fault.name].append(await _timed(w, runtime, host, fault))
            for fault in faults:
                yield _figure(fault, times[fault.name])
        for runtime, host in NODES.items():
            boots = [await _rebooted(w, runtime, host) for _ in range(ROUNDS)]
            note = f"host with {runtime} rebooted, until its node is Ready"
            yield figure(f"recovery-{runtime}-rebooted", boots, "s", note=note)
    finally:
        await _leave(w)


def faults_of(runtime: str) -> list[Fault]:
    """What befalls the node of a runtime, in an order in which no service fails twice in a row.

    What was tried of a service is remembered where the same fails again, and more patience follows.
    """
    listed = {fault.name: fault for fault in host_services.faults(SERVICES[runtime])}
    return [listed[f"{service} {what}"] for what in BEFALLS for service in SERVICES[runtime]]


def _figure(fault: Fault, seconds: list[float]) -> Figure:
    note = f"{fault.name}, brought back by {fault.by}"
    return figure(f"recovery-{fault.name.replace(' ', '-')}", seconds, "s", fault.within, note)


async def _timed(w: Environment, runtime: str, host: str, fault: Fault) -> float:
    workers = _workers(runtime)
    took = await host_services.timed(w, host, fault, namespace=clusters.NAMESPACE, workers=workers)
    w.report.line(f"{fault.name}: {took:.1f} s")
    return took


async def _rebooted(w: Environment, runtime: str, host: str) -> float:
    """Seconds from the order to reboot until the kubelet of the next boot says that it is Ready."""
    ordered, begun = datetime.now(UTC), time.monotonic()
    # Hosts of the lab boot within a second. A kubelet says that it is Ready when it starts, and then for
    # minutes not again; one that goes down does not.
    await w.lab.restart(host)
    async with await w.business(clusters.NAMESPACE, CLUSTER) as inside:
        await until(inside, kinds.NODE, host, "", ready_since(ordered), within=LONG)
    took = time.monotonic() - begun
    name = machine(_workers(runtime), host)
    await w.until(host_pool.MACHINE, clusters.NAMESPACE, name, well, LONG)
    w.report.line(f"{host} rebooted: {took:.1f} s")
    return took


def ready_since(moment: datetime) -> Predicate:
    """Whether a kubelet has said since then that its node is Ready: what stands there may be old."""

    def check(node: Manifest) -> bool:
        conditions = (node.get("status") or {}).get("conditions") or ()
        ready: Manifest = next((c for c in conditions if c["type"] == "Ready"), {})
        said = str(ready.get("lastHeartbeatTime") or "")
        # Times are told by the second.
        since = moment + timedelta(seconds=1)
        told = bool(said) and datetime.fromisoformat(said) >= since
        return told and ready.get("status") == "True"

    return check


# --- nodes


def _workers(runtime: str) -> str:
    return f"{CLUSTER}-{runtime}"


async def _bring(w: Environment, docker: str) -> None:
    """A Cluster with a node of each runtime."""
    for host in NODES.values():
        await w.lab.reset(host)
    await w.apply(
        userfiles.ssh_secret(w.lab, NODES["containerd"], clusters.NAMESPACE),
        userfiles.checksums(w.lab, clusters.NAMESPACE),
        _cluster(w),
        _kubenode(w, "containerd"),
        _kubenode(w, "docker", runtime={"type": "docker", "version": docker}),
    )
    await w.until(Cluster.info.kind, clusters.NAMESPACE, CLUSTER, has("Ready"), LONG)
    for runtime, host in NODES.items():
        name = machine(_workers(runtime), host)
        await w.until(host_pool.MACHINE, clusters.NAMESPACE, name, well, LONG)


def _cluster(w: Environment) -> Manifest:
    proxy = {"name": "kube-proxy", "values": {"conntrack": {"maxPerCore": 0, "min": 0}}}
    # Docker has mirrors for docker.io alone, so that images come under the mirror's own name.
    images = {"registry": w.lab.registry}
    return clusters.manifest(CLUSTER, {**clusters.EDGE, "addons": [proxy], "images": images})


def _kubenode(w: Environment, of: str, **spec: Any) -> Manifest:
    made = rolling.kubenode(w, clusters.NAMESPACE, (NODES[of],), cluster=CLUSTER, **spec)
    made["metadata"]["name"] = _workers(of)
    return made


async def _leave(w: Environment) -> None:
    """Nothing is left of what was measured."""
    for runtime in NODES:
        await w.kube.delete(host_pool.KUBENODE, _workers(runtime), clusters.NAMESPACE)
    for runtime in NODES:
        await w.gone(host_pool.KUBENODE, clusters.NAMESPACE, _workers(runtime), LONG)
    await clusters.delete(w, CLUSTER)
    await w.kube.delete(kinds.SECRET, userfiles.SSH_SECRET, clusters.NAMESPACE)
    await w.lab.remove(NODES["docker"])
