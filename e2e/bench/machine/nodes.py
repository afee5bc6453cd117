"""Times of hosts that become nodes: one, one that is prepared, and many at once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence

from e2e.bench import clusters
from e2e.bench.figure import Figure, figure
from e2e.fixtures import userfiles
from e2e.fixtures.clusters import PROXY
from e2e.fixtures.hosts import host_pool
from e2e.framework.environment import Environment
from e2e.framework.follow import Predicate, has
from kok.api import Cluster, Host, KubeNode
from kok.api.meta import Manifest
from kok.kube import kinds

ROUNDS = 3
MANY = 10
"""Hosts at once; fewer where memory does not suffice."""
HOST_GIB = 0.8
"""Memory that a host takes as a node, and what pods on it need."""
FIRST = 2
"""Number of the first host; not the demo's, which may be running in the same lab."""
CLUSTER, WORKERS = "nodes", "nodes-workers"
LONG = 900.0
PREPARED = "/srv/prepared.tar"
_KEEP = f"tar -C / -cf {PREPARED} usr/local/bin usr/local/sbin opt/cni/bin"
_PREPARE = f"tar -C / -xf {PREPARED}"


async def join(w: Environment) -> AsyncIterator[Figure]:
    """One bare host with containerd, from its claim to a Ready node: all comes from artifacts."""
    (name,) = await _bring(w, 1)
    try:
        times = []
        for turn in range(ROUNDS + 1):
            seconds = await _up(w, 1)
            if turn:  # the first one overlapped with what a new control plane has to do
                times.append(seconds)
            if turn < ROUNDS:
                await _down(w)
        yield figure("machine-join", times, "s", 12.0, note="bare host until its Machine is Ready")
        await w.lab.exec(name, "sh", "-euc", _KEEP)
        await _down(w)
        times = []
        for _ in range(ROUNDS):
            await w.lab.exec(name, "sh", "-euc", _PREPARE)
            times.append(await _up(w, 1))
            await _down(w)
        note = "the same where programs lie in their places already"
        yield figure("machine-prepared", times, "s", 6.0, note=note)
    finally:
        await _leave(w, [name])


async def many(w: Environment) -> AsyncIterator[Figure]:
    """Many bare hosts at once, relative to one of them."""
    names = await _bring(w, _fit())
    try:
        await _up(w, 1)
        await _down(w)
        alone = await _up(w, 1)
        await _down(w)
        together = await _up(w, len(names))
        yield figure("machine-alone", alone, "s", note="one of these hosts")
        yield figure("machine-many", together, "s", note=f"{len(names)} hosts, until all are Ready")
        yield figure("machine-many-ratio", together / alone, "x-one", 2.5)
        await _down(w)
    finally:
        await _leave(w, names)


def _fit() -> int:
    """How many hosts the machine can carry."""
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") / 2**30
    return max(2, min(MANY, int(free / HOST_GIB)))


async def _bring(w: Environment, count: int) -> list[str]:
    """Bare hosts, their Hosts, a Cluster, and a KubeNode that has none of them."""
    hosts = [f"worker-{number}" for number in range(FIRST, FIRST + count)]
    for name in hosts:
        await w.lab.reset(name)
    await w.apply(
        userfiles.ssh_secret(w.lab, hosts[0], clusters.NAMESPACE),
        userfiles.checksums(w.lab, clusters.NAMESPACE),
        *(host_pool.host(w, clusters.NAMESPACE, name) for name in hosts),
        _cluster(),
        host_pool.kubenode(w, clusters.NAMESPACE, WORKERS, CLUSTER, 0),
    )
    await w.until(Cluster.info.kind, clusters.NAMESPACE, CLUSTER, has("Ready"), LONG)
    return hosts


def _cluster() -> Manifest:
    return clusters.manifest(CLUSTER, {**clusters.EDGE, "addons": [PROXY]})


async def _up(w: Environment, replicas: int) -> float:
    """Seconds until so many of the pool's hosts serve."""
    begin = w.report.elapsed
    await _scaled(w, replicas)
    await w.until(KubeNode.info.kind, clusters.NAMESPACE, WORKERS, _serve(replicas), LONG)
    return w.report.elapsed - begin


async def _down(w: Environment) -> None:
    """All hosts are bare again."""
    await _scaled(w, 0)
    await w.until(KubeNode.info.kind, clusters.NAMESPACE, WORKERS, _without, LONG)


async def _scaled(w: Environment, replicas: int) -> None:
    patch = {"spec": {"replicas": replicas}}
    await w.kube.patch(KubeNode.info.kind, WORKERS, clusters.NAMESPACE, patch, subresource="scale")


def _serve(replicas: int) -> Predicate:
    def check(found: Manifest) -> bool:
        return bool((found.get("status") or {}).get("ready") == replicas)

    return check


def _without(found: Manifest) -> bool:
    return not (found.get("status") or {}).get("claims")


async def _leave(w: Environment, hosts: Sequence[str]) -> None:
    """Nothing is left of what was measured."""
    await w.kube.delete(KubeNode.info.kind, WORKERS, clusters.NAMESPACE)
    await w.gone(KubeNode.info.kind, clusters.NAMESPACE, WORKERS, LONG)
    await clusters.delete(w, CLUSTER)
    await asyncio.gather(
        *(w.kube.delete(Host.info.kind, name, clusters.NAMESPACE) for name in hosts)
    )
    await asyncio.gather(*(w.gone(Host.info.kind, clusters.NAMESPACE, n, LONG) for n in hosts))
    await w.kube.delete(kinds.SECRET, userfiles.SSH_SECRET, clusters.NAMESPACE)
    for name in hosts[1:]:
        await w.lab.remove(name)
