"""A patch level of the kubelet over six nodes, while a Service of two replicas is asked all the time."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from e2e.bench import clusters
from e2e.bench.figure import Figure, figure
from e2e.fixtures import rolling
from e2e.fixtures.clusters import KIND as CLUSTER
from e2e.framework.environment import Environment
from e2e.polling import eventually
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube

NODES = 6
HOSTS = rolling.hosts(NODES, first=2)
"""Not the demo's, which may be running in the same lab."""
OLD, NEW = "1.37.0", "1.37.1"
POLICY: dict[str, Any] = {"canary": 1, "batch": 3, "maxUnavailable": 2}
LONG = 900.0


async def rolled(w: Environment) -> AsyncIterator[Figure]:
    """A Cluster of six nodes goes to the next patch level: until all its kubelets run it."""
    await w.lab.want(kubernetes=f"v{OLD}")
    namespace = f"{clusters.NAMESPACE}-rollout"
    try:
        async with (
            rolling.serving(w, namespace, HOSTS, version=OLD, rollout=POLICY) as inside,
            rolling.requested(w, inside, HOSTS[0]) as requests,
        ):
            took = await _followed(w, namespace, inside)
            await requests.read()
    finally:
        for host in HOSTS[1:]:
            await w.lab.remove(host)
    text = f"kubelet {OLD} to {NEW} over {NODES} nodes, drained, at most two at a time"
    yield figure("machine-rollout", took, "s", note=text)
    note = f"of {requests.asked} to a Service with two replicas"
    yield figure("machine-rollout-failed", requests.failed, "requests", 0, note=note)


async def _followed(w: Environment, namespace: str, inside: Kube) -> float:
    """Seconds from when the control plane is at the new version until all nodes are."""
    spec = {"spec": {"version": NEW}}
    await w.kube.patch(CLUSTER, rolling.SHOP, namespace, spec)
    await w.until(CLUSTER, namespace, rolling.SHOP, _nodes_may, LONG)
    begin = time.monotonic()

    async def all_follow() -> bool:
        nodes = await inside.list(kinds.NODE)
        return all(one["status"]["nodeInfo"]["kubeletVersion"] == f"v{NEW}" for one in nodes)

    await eventually(all_follow, LONG, every=0.5)
    await rolling.told(w, namespace, rolling.rolled_out("True"))
    return time.monotonic() - begin


def _nodes_may(found: Manifest) -> bool:
    return bool(found["status"].get("nodesVersion") == NEW)
