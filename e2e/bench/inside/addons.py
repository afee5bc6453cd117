"""All built-in addons that suit a cluster with one node: how soon they are there, and what they take then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from e2e.bench.clusters import NAMESPACE
from e2e.bench.figure import Figure, figure
from e2e.bench.upgrades.standins.operator import of_kind
from e2e.bench.usage import cores, mebibytes, usage
from e2e.fixtures import clusters, etcd, rolling, userfiles
from e2e.framework.environment import Environment
from e2e.framework.follow import has, until, until_gone
from e2e.framework.install import NAMESPACE as OPERATORS
from e2e.lab.images.catalog import BUSYBOX
from e2e.polling import eventually
from kok.addons import DEFAULTS, TUNNEL_AGENT
from kok.api import Addon, KubeNode, names
from kok.api.meta import GROUP, Manifest
from kok.kube import kinds
from kok.kube.client import Kube

CLUSTER, WORKER = "addons", "worker-2"
WORKERS = f"{CLUSTER}-workers"
KUBENODE, ADDON = KubeNode.info.kind, Addon.info.kind
ROUNDS = 3
"""In the first one the node has none of the images."""
SETTLE_SECONDS, REST_SECONDS = 60.0, 330.0
"""Each Addon is looked at once at least while nothing happens: every 300 s that is done by itself."""
TURNS, APART_SECONDS = 5, 0.5
"""How often each Addon is touched, and what lies between two of them."""
SOON, LONG = 180.0, 900.0
NUDGE = f"{GROUP}/nudge"
"""A change of one of our annotations, of whatever name, wakes an object; others are no business of ours."""
PASSES = "kok_pass_seconds"
METRICS_MOST = 32 * 2**20
"""Bytes of a server's metrics."""
_PROBE = "probe"


async def node(w: Environment) -> AsyncIterator[Figure]:
    """`kok addons install --all` with one node; then what the addons take at rest."""
    await w.lab.want_konnectivity()
    await w.lab.want_addons()
    await _made(w)
    try:
        async with await w.business(NAMESPACE, CLUSTER) as inside:
            async for found in _installed(w, inside):
                yield found
            async for found in _rest(w, inside):
                yield found
            text = (
                "over an Addon that was touched, beside one over its Cluster, which that wakes too"
            )
            yield figure("addons-pass-touched", await _touched(w), "ms", note=text)
    finally:
        await _gone(w)


# --- all of them


async def _installed(w: Environment, inside: Kube) -> AsyncIterator[Figure]:
    """They stay after the last round."""
    floors, times = [], []
    for turn in range(ROUNDS):
        floors.append(await _pod(inside))
        begin = time.monotonic()
        await rolling.kok(w, "addons", "install", CLUSTER, "--all", "-n", NAMESPACE)
        times.append(time.monotonic() - begin)
        there = await _further(w)
        w.report.line(f"{', '.join(there)} after {times[-1]:.1f} s")
        if turn < ROUNDS - 1:
            await _removed(w, inside, there)
    own = len(DEFAULTS) + 1
    text = f"`kok addons install --all` until {len(there)} are Ready beside {own} of before"
    floor, first, again = floors[0], times[0], times[1:]
    yield figure("addons-floor-first", floor, "s", note="one pod of busybox, its image pulled")
    yield figure("addons-floor", floors[1:], "s", note="the same, its image there")
    yield figure("addons-all-first", first, "s", 40.0, note=f"{text}, images pulled")
    yield figure("addons-all", again, "s", 40.0, note="the same, images there")
    ratios = [a / b for a, b in zip(again, floors[1:], strict=True)]
    yield figure("addons-all-ratio", ratios, "x-floor", note="one pod of busybox is 1")


async def _pod(inside: Kube) -> float:
    """Seconds until a pod of one small program is ready."""
    container = {"name": _PROBE, "image": BUSYBOX, "command": ["sleep", "infinity"]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    meta = {"name": _PROBE, "namespace": "default"}
    begin = time.monotonic()
    await inside.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    await until(inside, kinds.POD, _PROBE, "default", etcd.pod_ready, within=SOON)
    took = time.monotonic() - begin
    await inside.delete(kinds.POD, _PROBE, "default")
    await until_gone(inside, kinds.POD, _PROBE, "default", within=SOON)
    return took


async def _further(w: Environment) -> list[str]:
    """The Addons beside those that come by themselves; raises `AssertionError` where one is not Ready."""
    own = {names.cluster_addon(CLUSTER, name) for name in (*DEFAULTS, TUNNEL_AGENT)}
    found = await w.kube.list(ADDON, NAMESPACE)
    if late := [one["metadata"]["name"] for one in found if not has("Ready")(one)]:
        raise AssertionError(f"not Ready though the command has ended well: {late}")
    return sorted({one["metadata"]["name"] for one in found} - own)


async def _removed(w: Environment, inside: Kube, there: list[str]) -> None:
    """Without a namespace of theirs, which a new one would have to wait for."""
    before = {one["metadata"]["name"] for one in await inside.list(kinds.NAMESPACE)}
    await clusters.change(w, NAMESPACE, CLUSTER, addons=[clusters.PROXY])
    for name in there:
        await w.gone(ADDON, NAMESPACE, name, LONG)

    async def left() -> bool:
        found = await inside.list(kinds.NAMESPACE)
        return not any(one["metadata"].get("deletionTimestamp") for one in found)

    await eventually(left, SOON, every=0.5)
    after = {one["metadata"]["name"] for one in await inside.list(kinds.NAMESPACE)}
    w.report.line(f"removed, with namespaces {', '.join(sorted(before - after))}")


# --- at rest


async def _rest(w: Environment, inside: Kube) -> AsyncIterator[Figure]:
    """What is written, and what the operator takes, while nothing happens."""
    w.report.line(f"{SETTLE_SECONDS:.0f} s to settle, then {REST_SECONDS:.0f} s of watching")
    await asyncio.sleep(SETTLE_SECONDS)

    def ours(namespace: str, pod: str) -> bool:
        return namespace == OPERATORS and "cluster" in pod

    passes = await _passes(w)
    before, since, applied = await usage(w.kube, ours), datetime.now(UTC), await _applied(inside)
    await asyncio.sleep(REST_SECONDS)
    writes = await w.lab.writes(since)
    after, more = await usage(w.kube, ours), await _applied(inside) - applied
    count = sum(n for agent, n in writes.items() if agent.startswith("kok-"))
    text = f"in {REST_SECONDS:.0f} s"
    yield figure("addons-rest-writes", count, "writes", 0, note=f"to the meta cluster, {text}")
    yield figure("addons-rest-applied", more, "writes", 0, note=f"inside, {text}")
    yield figure("addons-rest-memory", mebibytes(after), "MiB", note="cluster operator, resident")
    yield figure("addons-rest-cpu", 100 * cores(before, after), "%-core", note="the same")
    took, number = (b - a for a, b in zip(passes, await _passes(w), strict=True))
    text = f"that finds nothing to do; mean of the {number:.0f} that came by themselves meanwhile"
    yield figure("addons-pass", 1000 * took / number, "ms", 30.0, note=text)


async def _applied(inside: Kube) -> float:
    """How often something was applied inside, as the operator does it and nobody else there."""
    asked = await inside.matching(
        "/metrics", "apiserver_request_total{", most=METRICS_MOST, timeout=SOON
    )
    return sum(float(line.rpartition(" ")[2]) for line in asked if 'verb="APPLY"' in line)


async def _touched(w: Environment) -> list[float]:
    """Milliseconds of a pass over an Addon that was touched and is as it should be; one value a turn.

    They are touched one after the other, and nothing is asked meanwhile: of several at once each waits for
    the others, and whoever asks for metrics is served by the very process that is measured.
    """
    addons = [one["metadata"]["name"] for one in await w.kube.list(ADDON, NAMESPACE)]
    taken = []
    for turn in range(TURNS):
        before = await _passes(w)
        for name in addons:
            note: dict[str, Any] = {"metadata": {"annotations": {NUDGE: str(turn)}}}
            await w.kube.patch(ADDON, name, NAMESPACE, note)
            await asyncio.sleep(APART_SECONDS)

        async def done(since: float = before[1]) -> bool:
            return (await _passes(w))[1] >= since + len(addons)

        await eventually(done, SOON, every=0.2)
        seconds, count = (b - a for a, b in zip(before, await _passes(w), strict=True))
        taken.append(1000 * seconds / count)
    return taken


async def _passes(w: Environment) -> tuple[float, float]:
    """Seconds of all passes over Addons so far, and how many there were."""
    pods = await w.kube.list(kinds.POD, OPERATORS)
    pod = next(p for p in pods if p["metadata"]["name"].startswith("kok-cluster-"))
    port = pod["spec"]["containers"][0]["ports"][0]["containerPort"]
    path = f"/api/v1/namespaces/{OPERATORS}/pods/{pod['metadata']['name']}:{port}/proxy/metrics"
    text = "\n".join(await w.kube.matching(path, PASSES, most=METRICS_MOST, timeout=SOON))
    kind = ADDON.kind
    return of_kind(text, f"{PASSES}_sum", kind), of_kind(text, f"{PASSES}_count", kind)


# --- the Cluster and its node


async def _made(w: Environment) -> None:
    await w.lab.reset(WORKER)
    text = userfiles.first_cluster(w.lab, WORKER, namespace=NAMESPACE, cluster=CLUSTER)
    _, worker = userfiles.documents(text)
    network: Manifest = {"tunnel": "Always"}
    await w.apply(
        userfiles.ssh_secret(w.lab, WORKER, NAMESPACE),
        userfiles.checksums(w.lab, NAMESPACE),
        clusters.manifest(NAMESPACE, CLUSTER, network=network),
        worker,
    )
    await w.until(KUBENODE, NAMESPACE, WORKERS, has("Ready"), LONG)
    await clusters.at_rest(w, NAMESPACE, CLUSTER)
    for name in (*DEFAULTS, TUNNEL_AGENT):
        await w.until(ADDON, NAMESPACE, names.cluster_addon(CLUSTER, name), has("Ready"), LONG)


async def _gone(w: Environment) -> None:
    await w.kube.delete(KUBENODE, WORKERS, NAMESPACE)
    await w.gone(KUBENODE, NAMESPACE, WORKERS, LONG)
    await w.kube.delete(clusters.KIND, CLUSTER, NAMESPACE)
    await w.gone(clusters.KIND, NAMESPACE, CLUSTER, LONG)
    await w.kube.delete(kinds.SECRET, userfiles.SSH_SECRET, NAMESPACE)
