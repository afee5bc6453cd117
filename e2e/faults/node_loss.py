"""A control plane that is spread over meta nodes, and one of these nodes goes."""

from __future__ import annotations

import asyncio
import contextlib
import time

from e2e.fixtures import etcd
from e2e.framework.environment import Environment
from e2e.framework.follow import has
from kok.api import Cluster
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import KubeError

PARTS = {"apiserver": 2, "controller-manager": 2, "scheduler": 2, "etcd": 3}
"""Pods of each part with profile `ha`."""
PATIENCE = 10.0
"""Seconds for which an API may be silent while a node goes: clients try again meanwhile."""
SOON, LONG = 300.0, 900.0


async def spread(w: Environment, namespace: str, cluster: str) -> dict[str, list[str]]:
    """The meta nodes of each part's pods, once all are ready; each pod has one of its own."""
    await w.until(Cluster.info.kind, namespace, cluster, has("ControlPlaneReady"), LONG)
    await etcd.ready(w, namespace, f"{cluster}-etcd", LONG)
    pods = [p for p in await w.kube.list(kinds.POD, namespace) if etcd.pod_ready(p)]
    found = {}
    for part, count in PARTS.items():
        prefix = f"{cluster}-{part}-"
        nodes = [p["spec"]["nodeName"] for p in pods if p["metadata"]["name"].startswith(prefix)]
        if len(nodes) != count or len(set(nodes)) != count:
            raise AssertionError(f"{cluster}-{part} should run on {count} nodes, not on {nodes}")
        found[part] = nodes
    return found


async def drained(w: Environment, namespace: str, cluster: str, *, spared: str) -> float:
    """Drains a meta node with an API server, but not the spared one, and gives it back.

    Only of this cluster's pods. Returns the longest time for which its API did not answer, in
    seconds; raises `AssertionError` if that was too long.
    """
    where = await spread(w, namespace, cluster)
    node = next(n for n in where["apiserver"] if n != spared)
    async with await w.business(namespace, cluster) as kube:
        asking = asyncio.create_task(_longest_silence(kube))
        try:
            for pods in (f"kok.dev/cluster={cluster}", f"kok.dev/owner-name={cluster}-etcd"):
                await w.lab.kubectl(
                    *("drain", node, "--ignore-daemonsets", "--delete-emptydir-data"),
                    *(f"--pod-selector={pods}", f"--timeout={SOON:.0f}s"),
                    timeout=SOON + 30,
                )
        finally:
            asking.cancel()
            await w.lab.kubectl("uncordon", node)
        silence = await asking
    if silence > PATIENCE:
        raise AssertionError(f"the API of {cluster} did not answer for {silence:.1f} s")
    await spread(w, namespace, cluster)
    return silence


async def _longest_silence(kube: Kube) -> float:
    """Asks the API again and again until cancelled; the longest time without an answer."""
    longest, last = 0.0, time.monotonic()
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            with contextlib.suppress(KubeError):
                await kube.raw("GET", "/api/v1/namespaces/kube-system", timeout=2.0)
                longest, last = max(longest, time.monotonic() - last), time.monotonic()
            await asyncio.sleep(0.1)
    return max(longest, time.monotonic() - last)
