"""What an earlier KOK made is taken over by this one: no pod, kubelet or runtime restarts.

A Cluster with a node, an etcd with backups, and a Cluster that sleeps are made by the tree of before.
Then the operators are upgraded, and have to go on with all of it as it is: to look after it, to prove
and restore a backup, to wake what sleeps, and to remove everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from e2e.demo import CLUSTER, first_cluster
from e2e.fixtures import backups, etcd
from e2e.framework import earlier_release, processes
from e2e.framework.environment import Environment, environment
from e2e.framework.follow import has
from e2e.framework.install import install
from e2e.framework.report import Report
from e2e.framework.rights import nothing_was_refused
from kok.api import Cluster, KubeNode, Machine, names
from kok.api.meta import Manifest
from kok.kube import kinds

NAMESPACE = "e2e-takeover"
BUCKET = "e2e-takeover"
WORKER = "worker-2"
SLEEPER = "nap"
LONG = 600.0
LABEL = "example.com/taken-over"
UNITS = ("containerd", "kubelet")
SETS = (kinds.DEPLOYMENT, kinds.STATEFULSET)


async def run(report: Report) -> None:
    """The scenario; it removes what it made, also after a failure of an earlier run."""
    async with environment(report, meta=1, workers=2) as w:
        s3 = await w.lab.want_s3()
        s3.make_bucket(BUCKET)
        try:
            async with etcd.fresh_namespaces(w, NAMESPACE, within=LONG):
                with report.step("the operators of before", "installed_before_s"):
                    await install(w.lab, report, tree=await earlier_release.tree(w.lab))
                store = await etcd.store(w, NAMESPACE, s3, BUCKET)
                await made_before(w, store)
                await taken_over(w)
                await gone_on_with(w)
                await nothing_is_left(w)
        finally:
            # Whatever came of it, the lab's operators are those of the checkout.
            await install(w.lab, report)
            s3.remove_bucket(BUCKET)


async def made_before(w: Environment, store: dict[str, Any]) -> None:
    """Everything that the later operators find."""
    await asyncio.gather(
        first_cluster(w, namespace=NAMESPACE, worker=WORKER),
        etcd.create(w, NAMESPACE, backup={"store": store, "schedule": "0 0 1 1 *"}),
        _asleep(w),
    )
    with w.report.step("a backup is stored and proven"):
        await backups.back_up(w, NAMESPACE, "before")
        await backups.stored(w, NAMESPACE, "before")
        await backups.proved(w, NAMESPACE, "before", "once", "Passed")


async def _asleep(w: Environment) -> None:
    spec = {"version": "1.37.1", "profile": "edge"}
    await w.apply(_cluster(SLEEPER, spec))
    await w.until(Cluster.info.kind, NAMESPACE, SLEEPER, has("Ready"), LONG)
    await w.kube.patch(Cluster.info.kind, SLEEPER, NAMESPACE, {"spec": {"hibernate": True}})
    await w.until(Cluster.info.kind, NAMESPACE, SLEEPER, _sleeps, LONG)


async def taken_over(w: Environment) -> None:
    """The operators are upgraded, look at everything once, and restart nothing of it."""
    begin = datetime.now(UTC)
    there = await lives(w)
    async with processes.ready_throughout(w, NAMESPACE, but={SLEEPER, f"{SLEEPER}-etcd"}):
        with w.report.step("the operators of now", "upgraded_s"):
            await install(w.lab, w.report)
        with w.report.step("each object is seen by them", "seen_s"):
            await _looked_after(w)
    w.report.figures["takeover_lives"] = len(there)
    if (now := await lives(w)) != there:
        changed = {k: (there.get(k), now.get(k)) for k in there.keys() | now.keys()}
        raise AssertionError(
            f"the upgrade changed { {k: v for k, v in changed.items() if v[0] != v[1]} }"
        )
    await nothing_was_refused(w, begin)


async def _looked_after(w: Environment) -> None:
    """What only a pass of an operator does: a child that is missing comes back, a label is set."""
    await asyncio.gather(
        _child_comes_back(w, kinds.PDB, f"{CLUSTER}-apiserver"),
        _child_comes_back(w, kinds.PDB, f"{SLEEPER}-apiserver"),
        _child_comes_back(w, kinds.PDB, etcd.NAME),
        _node_is_labelled(w),
    )
    await asyncio.gather(
        w.until(Cluster.info.kind, NAMESPACE, CLUSTER, has("Ready"), LONG),
        w.until(Cluster.info.kind, NAMESPACE, SLEEPER, _sleeps, LONG),
        w.until(KubeNode.info.kind, NAMESPACE, f"{CLUSTER}-workers", has("Ready"), LONG),
        etcd.ready(w, NAMESPACE),
    )


async def _child_comes_back(w: Environment, kind: Any, name: str) -> None:
    found = await w.kube.get(kind, name, NAMESPACE)
    if found is None:
        raise AssertionError(f"there is no {kind.kind} {name}")
    uid = found["metadata"]["uid"]
    await w.kube.delete(kind, name, NAMESPACE)
    await w.until(kind, NAMESPACE, name, lambda m: m["metadata"]["uid"] != uid, LONG)


async def _node_is_labelled(w: Environment) -> None:
    patch = {"spec": {"labels": {LABEL: "yes"}}}
    await w.kube.patch(KubeNode.info.kind, f"{CLUSTER}-workers", NAMESPACE, patch)
    async with await w.business(NAMESPACE, CLUSTER) as kube:
        async with asyncio.timeout(LONG):
            async for event in kube.watch(kinds.NODE):
                labels = event.object.get("metadata", {}).get("labels") or {}
                if labels.get(LABEL) == "yes":
                    return


async def gone_on_with(w: Environment) -> None:
    """What the earlier operators began or made is of use to these."""
    with w.report.step("a backup of before is proven again, and restored", "restored_s"):
        await backups.proved(w, NAMESPACE, "before", "again", "Passed")
        await backups.restore(w, NAMESPACE, "back", backup="before")
        await backups.restored(w, NAMESPACE, "back")
    with w.report.step("the Cluster that slept wakes", "woken_s"):
        await w.kube.patch(Cluster.info.kind, SLEEPER, NAMESPACE, {"spec": {"hibernate": False}})
        await w.until(Cluster.info.kind, NAMESPACE, SLEEPER, has("Ready"), LONG)


async def nothing_is_left(w: Environment) -> None:
    """Node, Clusters and etcd go by the later operators."""
    with w.report.step("all of it deleted", "deleted_s"):
        machine = names.machine(f"{CLUSTER}-workers", WORKER)
        await w.kube.delete(KubeNode.info.kind, f"{CLUSTER}-workers", NAMESPACE)
        await w.gone(Machine.info.kind, NAMESPACE, machine, LONG)
        for cluster in (CLUSTER, SLEEPER):
            await w.kube.delete(Cluster.info.kind, cluster, NAMESPACE)
        await asyncio.gather(
            *(w.gone(Cluster.info.kind, NAMESPACE, c, LONG) for c in (CLUSTER, SLEEPER))
        )
    said = await w.lab.exec(WORKER, "sh", "-c", "systemctl is-enabled kubelet 2>&1 || true")
    if said.strip() == "enabled":
        raise AssertionError(f"{WORKER} still has a kubelet")


# --- what must not change


async def lives(w: Environment) -> dict[str, Any]:
    """What is another one after a restart: pods and containers, templates, and units of the host."""
    found: dict[str, Any] = {
        f"Pod/{pod['metadata']['name']}": etcd.lives(pod)
        for pod in await w.kube.list(kinds.POD, NAMESPACE)
        if not _of_job(pod)
    }
    for kind in SETS:
        for one in await w.kube.list(kind, NAMESPACE):
            found[f"{kind.kind}/{one['metadata']['name']}"] = one["spec"]["template"]
    async with await w.business(NAMESPACE, CLUSTER) as kube:
        for pod in await kube.list(kinds.POD):
            found[f"inside/{pod['metadata']['name']}"] = etcd.lives(pod)
    for unit in UNITS:
        asked = ("systemctl", "show", unit, "-p", "MainPID,ExecMainStartTimestampMonotonic")
        found[f"{WORKER}/{unit}"] = await w.lab.exec(WORKER, *asked)
    return found


def _of_job(pod: Manifest) -> bool:
    owners = pod["metadata"].get("ownerReferences") or ()
    return any(owner["kind"] == "Job" for owner in owners)


def _sleeps(found: Manifest) -> bool:
    conditions = (found.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["reason"] == "Hibernated" for c in conditions)


def _cluster(name: str, spec: Mapping[str, Any]) -> Manifest:
    kind = Cluster.info.kind
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": dict(spec),
    }
