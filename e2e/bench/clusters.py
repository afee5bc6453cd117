"""Times of business clusters: from `apply` to a kubeconfig that works."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

from e2e.framework.environment import Environment
from e2e.framework.follow import until
from e2e.polling import eventually
from kok.api import Cluster
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import KubeError

NAMESPACE = "bench"
DEADLINE = 180.0
CLUSTER = Cluster.info.kind


@dataclass(frozen=True, slots=True)
class Created:
    """Seconds for one cluster: until its kubeconfig worked, and the share spent on volumes."""

    usable: float
    volumes: float


def manifest(name: str, spec: dict[str, Any]) -> Manifest:
    """A Cluster of the benchmark's namespace."""
    return {
        "apiVersion": "kok.dev/v1alpha1",
        "kind": "Cluster",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"version": "1.37.1", **spec},
    }


EDGE: dict[str, Any] = {"profile": "edge"}
STANDARD: dict[str, Any] = {
    "profile": "standard",
    "etcd": {"members": 3},
    "apiServer": {"replicas": 2},
}


async def create(w: Environment, name: str, spec: dict[str, Any]) -> Created:
    """Applies a Cluster and measures until its admin kubeconfig may read."""
    volumes = asyncio.create_task(_volume_wait(w, name))
    begin = time.monotonic()
    try:
        await w.apply(manifest(name, spec))
        async with asyncio.timeout(DEADLINE):
            await _usable(w, name)
        usable = time.monotonic() - begin
        async with asyncio.timeout(30.0):
            return Created(usable, await volumes)
    finally:
        volumes.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await volumes


async def delete(w: Environment, *names: str) -> None:
    """Deletes Clusters side by side and waits until they are gone."""
    await asyncio.gather(*(w.kube.delete(CLUSTER, n, NAMESPACE) for n in names))
    await asyncio.gather(*(w.gone(CLUSTER, NAMESPACE, n, DEADLINE) for n in names))


async def _usable(w: Environment, name: str) -> None:
    secret = await until(
        w.kube,
        kinds.SECRET,
        f"{name}-kubeconfig",
        NAMESPACE,
        lambda s: "kubeconfig" in (s.get("data") or {}),
        within=DEADLINE,
    )
    text = kubeconfig_text(secret)
    async with await Kube.from_kubeconfig(text, field_manager="kok-e2e", timeout=2.0) as kube:
        usable = partial(kube.get, kinds.NAMESPACE, "default")
        await eventually(usable, DEADLINE, every=0.02, unless=(KubeError,))


def kubeconfig_text(secret: Manifest) -> str:
    """The kubeconfig inside a Secret."""
    return base64.b64decode(secret["data"]["kubeconfig"]).decode()


async def _volume_wait(w: Environment, name: str) -> float:
    """The longest time from a claim's first sight to its being bound, over the cluster's etcd."""
    seen: dict[str, float] = {}
    longest = 0.0
    waiting: set[str] = set()
    async with aclosing(w.kube.watch(kinds.PVC, NAMESPACE)) as events:
        async for event in events:
            if event.type in ("SYNCED", "DELETED"):
                continue
            claim = event.object["metadata"]["name"]
            if not claim.startswith(f"{name}-etcd"):
                continue
            now = time.monotonic()
            if claim not in seen:
                seen[claim] = now
                waiting.add(claim)
            if (event.object.get("status") or {}).get("phase") == "Bound" and claim in waiting:
                waiting.discard(claim)
                longest = max(longest, now - seen[claim])
                if not waiting:
                    return longest
    return longest
