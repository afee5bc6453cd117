"""What its owner wants otherwise while an upgrade is under way."""

from __future__ import annotations

from e2e.fixtures import clusters
from e2e.framework.environment import Environment
from e2e.stories.upgrade import (
    BLOCKED,
    NAMESPACE,
    NEXT,
    NO_IMAGE,
    RUNS,
    afresh,
    begun,
    change,
    serves,
    through,
    told,
)
from kok.kube import kinds

DOOMED = "doomed"


async def taken_back(w: Environment) -> None:
    """spec.version goes back in the middle: what ran runs again"""
    await begun(w)
    await change(w, version=RUNS)
    await through(w, RUNS)


async def up_and_sideways(w: Environment) -> None:
    """spec.version goes up to one without image in the middle, then back to the one before"""
    await begun(w)
    await change(w, version=NO_IMAGE)
    await told(w, NO_IMAGE, reasons=("ImageUnavailable", BLOCKED))
    await change(w, version=NEXT)
    await through(w)
    await afresh(w)


async def something_else(w: Environment) -> None:
    """another part of the spec changes in the middle: both come to their end"""
    await begun(w)
    await change(w, scheduler={"replicas": 2})
    await through(w)
    found = await clusters.get(w, NAMESPACE, "shop")
    parts = {part["name"]: part["ready"] for part in found["status"]["components"]}
    if parts.get("kube-scheduler") != 2:
        raise AssertionError(f"two schedulers were asked for, and ready are {parts}")
    await change(w, scheduler={"replicas": 1})
    await afresh(w)


async def deleted(w: Environment) -> None:
    """a Cluster is deleted in the middle of its upgrade, and nothing of it is left"""
    await clusters.create(w, NAMESPACE, DOOMED, version=RUNS)
    await clusters.change(w, NAMESPACE, DOOMED, version=NEXT)
    await clusters.in_step(w, NAMESPACE, DOOMED, "APIServer")
    await w.kube.delete(clusters.KIND, DOOMED, NAMESPACE)
    await w.gone(clusters.KIND, NAMESPACE, DOOMED, clusters.LONG)
    for kind in (kinds.DEPLOYMENT, kinds.STATEFULSET, kinds.SERVICE, kinds.SECRET, kinds.PVC):
        found = [m["metadata"]["name"] for m in await w.kube.list(kind, NAMESPACE)]
        if left := [name for name in found if name.startswith(f"{DOOMED}-")]:
            raise AssertionError(f"of {DOOMED} there are left {kind.kind} {left}")
    await serves(w)
