"""One tenant alone, and beside eight that do their worst: his times, the operators' memory."""

from __future__ import annotations

import asyncio
import statistics
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from e2e import demo
from e2e.bench import clusters
from e2e.bench.figure import Figure, figure
from e2e.bench.tenants import hostile
from e2e.bench.usage import usage
from e2e.fixtures import userfiles
from e2e.framework.environment import Environment
from e2e.framework.follow import has
from e2e.framework.install import NAMESPACE as OPERATORS
from e2e.framework.install import install
from kok.api import Cluster, KubeNode, Machine
from kok.kube import kinds
from kok.kube.objects.quantity import parse_quantity

ROUNDS = 2
WORKER = "worker-2"
WITHIN = 300.0
SAMPLE_SECONDS = 5.0
NAMESPACE = clusters.NAMESPACE


@dataclass(frozen=True, slots=True)
class Life:
    """Seconds from `apply` of a Cluster and a KubeNode until each was Ready."""

    cluster: float
    node: float


async def fairness(w: Environment) -> AsyncIterator[Figure]:
    """A Cluster and its node, alone and beside eight tenants that do their worst."""
    # With what the chart reserves for operators, of which scenarios leave out most.
    await install(w.lab, w.report, operators={})
    sums = userfiles.checksums(w.lab, NAMESPACE)
    await w.apply(userfiles.ssh_secret(w.lab, WORKER, NAMESPACE), sums)
    await _live(w)  # images are pulled and caches filled from here on
    alone = [await _live(w) for _ in range(ROUNDS)]
    restarts = await _restarts(w)
    peaks: dict[str, float] = defaultdict(float)
    async with hostile.at_work(w), _watched(w, peaks):
        beside = [await _live(w) for _ in range(ROUNDS)]
    for name in ("cluster", "node"):
        before = [getattr(life, name) for life in alone]
        during = [getattr(life, name) for life in beside]
        yield figure(f"fairness-{name}-alone", before, "s", note="until it is Ready")
        yield figure(
            f"fairness-{name}-beside", during, "s", note=f"beside {hostile.TENANTS} tenants"
        )
        base = statistics.median(before)
        yield figure(f"fairness-{name}-ratio", [s / base for s in during], "x-alone", 1.5)
    limits = await _limits(w)
    for operator, peak in sorted(peaks.items()):
        yield figure(f"fairness-memory-{operator}", peak, "MiB", limits[operator], note="highest")
    yield figure("fairness-restarts", await _restarts(w) - restarts, "restarts", 0)
    await w.kube.delete(kinds.SECRET, userfiles.SSH_SECRET, NAMESPACE)
    await w.kube.delete(kinds.CONFIGMAP, userfiles.CHECKSUMS, NAMESPACE)


async def _live(w: Environment) -> Life:
    """Makes a Cluster and a node, waits for both, and removes them."""
    name = f"{demo.CLUSTER}-workers"
    text = userfiles.first_cluster(w.lab, WORKER, namespace=NAMESPACE)
    begin = w.report.elapsed
    await w.apply(*userfiles.documents(text))
    await w.until(Cluster.info.kind, NAMESPACE, demo.CLUSTER, has("Ready"), WITHIN)
    cluster = w.report.elapsed - begin
    await w.until(Machine.info.kind, NAMESPACE, f"{name}-{WORKER}", has("Ready"), WITHIN)
    node = w.report.elapsed - begin
    await w.kube.delete(KubeNode.info.kind, name, NAMESPACE)
    await w.gone(KubeNode.info.kind, NAMESPACE, name, WITHIN)
    await clusters.delete(w, demo.CLUSTER)
    return Life(cluster, node)


@asynccontextmanager
async def _watched(w: Environment, peaks: dict[str, float]) -> AsyncIterator[None]:
    """Notes the highest resident memory of each operator, its processes included."""

    async def watch() -> None:
        while True:
            for one in await usage(w.kube, lambda namespace, _pod: namespace == OPERATORS):
                operator = one.pod.rsplit("-", 2)[0]
                peaks[operator] = max(peaks[operator], one.rss / 2**20)
            await asyncio.sleep(SAMPLE_SECONDS)

    watching = asyncio.create_task(watch())
    try:
        yield
        if watching.done():
            watching.result()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _limits(w: Environment) -> dict[str, float]:
    """MiB that the pod of each of the operators' Deployments may have."""
    return {
        deployment["metadata"]["name"]: sum(
            float(parse_quantity(container["resources"]["limits"]["memory"]) / 2**20)
            for container in deployment["spec"]["template"]["spec"]["containers"]
        )
        for deployment in await w.kube.list(kinds.DEPLOYMENT, OPERATORS)
    }


async def _restarts(w: Environment) -> int:
    pods = await w.kube.list(kinds.POD, OPERATORS)
    return sum(
        status["restartCount"]
        for pod in pods
        for status in (pod.get("status") or {}).get("containerStatuses") or ()
    )
