"""The CA of a Cluster's etcd is rotated, then all of it hibernates and wakes; nothing is lost.

One writer writes to etcd itself, another one by the Cluster's API, as users do.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from e2e.fixtures import etcd
from e2e.framework.environment import Environment, environment
from e2e.framework.follow import has
from e2e.framework.report import Report
from e2e.framework.rights import enough_rights
from e2e.writer import gap, read_back, writing
from kok.api import Cluster, names
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import KubeError

NAMESPACE = "e2e-etcd-ca"
CLUSTER = "shop"
ETCD = names.etcd_cluster(CLUSTER)
ROTATE = "kok.dev/rotate-ca"
GAP = 5.0
"""Seconds that a user of the API may wait at most for a write while the CA is rotated."""
EVERY = 0.2
PHASES = ["Trust", "Reissue", "Drop", "Done"]


class ApiWriter:
    """Makes one ConfigMap after the other and remembers those that were confirmed."""

    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self.confirmed: list[str] = []
        self.longest = 0.0

    async def run(self) -> None:
        """Until it is cancelled; what fails is tried under another name."""
        last = time.monotonic()
        for number in range(10**9):
            name = f"written-{number}"
            with contextlib.suppress(KubeError):
                await self._kube.create(_config_map(name))
                self.confirmed.append(name)
                now = time.monotonic()
                self.longest, last = max(self.longest, now - last), now
            await asyncio.sleep(EVERY)

    async def lost(self) -> list[str]:
        """What was confirmed and is not there."""
        found = await self._kube.list(kinds.CONFIGMAP, "default")
        return sorted(set(self.confirmed) - {m["metadata"]["name"] for m in found})


def _config_map(name: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default"},
    }


@asynccontextmanager
async def using_the_api(w: Environment) -> AsyncIterator[ApiWriter]:
    """A user of the Cluster at work."""
    async with await w.business(NAMESPACE, CLUSTER) as kube:
        writer = ApiWriter(kube)
        task = asyncio.create_task(writer.run())
        try:
            yield writer
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if not writer.confirmed or (lost := await writer.lost()):
            raise AssertionError(
                f"of {len(writer.confirmed)} confirmed writes these are lost: {lost}"
            )


async def run(report: Report) -> None:
    """The scenario; it leaves the lab as it was."""
    async with (
        environment(report, meta=1, workers=0) as w,
        etcd.fresh_namespaces(w, NAMESPACE),
        enough_rights(w),
    ):
        with report.step("a Cluster with three members of etcd", "create_s"):
            await w.apply(
                {
                    "apiVersion": "kok.dev/v1alpha1",
                    "kind": "Cluster",
                    "metadata": {"name": CLUSTER, "namespace": NAMESPACE},
                    "spec": {
                        "version": "1.37.1",
                        "profile": "edge",
                        "etcd": {"members": 3, "storage": {"size": "1Gi"}},
                    },
                }
            )
            await w.until(Cluster.info.kind, NAMESPACE, CLUSTER, has("Ready"), etcd.LONG)
            await etcd.ready(w, NAMESPACE, ETCD)
        await rotated(w)
        await slept(w)


async def rotated(w: Environment) -> None:
    """All three phases, with API servers that are restarted in each of them."""
    before = await etcd.get(w, NAMESPACE, ETCD)
    phases: list[str] = []

    def done(obj: Manifest) -> bool:
        phase = ((obj.get("status") or {}).get("caRotation") or {}).get("phase")
        if phase and phase not in phases:
            phases.append(phase)
        return phase == "Done" and etcd.settled(obj) and has("UpToDate")(obj)

    async with writing(w, NAMESPACE, ETCD) as direct:
        async with using_the_api(w) as user:
            await direct.lap()
            with w.report.step("the CA is rotated", "rotated_s"):
                note = {"metadata": {"annotations": {ROTATE: "once"}}}
                await w.kube.patch(etcd.KIND, ETCD, NAMESPACE, note)
                after = await w.until(etcd.KIND, NAMESPACE, ETCD, done, 2 * etcd.LONG)
            await gap(w, direct, "etcd")
            w.report.figures["api_gap_s"] = round(user.longest, 2)
        await read_back(w, direct)
    if phases != PHASES:
        raise AssertionError(f"the phases were {phases}")
    if user.longest > GAP:
        raise AssertionError(f"a user of the API waited for {user.longest:.1f} s")
    if before["status"]["caFingerprint"] == after["status"]["caFingerprint"]:
        raise AssertionError("the CA is the one of before")
    if await w.kube.get(kinds.SECRET, f"{names.etcd_ca_secret(ETCD)}-next", NAMESPACE):
        raise AssertionError("the Secret of the next CA was left behind")


async def slept(w: Environment) -> None:
    """The control plane stops before etcd, and what was written is there when both are back."""
    async with await w.business(NAMESPACE, CLUSTER) as kube:
        await kube.create(_config_map("slept"))
    with w.report.step("the Cluster hibernates", "asleep_s"):
        await w.kube.patch(Cluster.info.kind, CLUSTER, NAMESPACE, {"spec": {"hibernate": True}})
        asleep = has("Ready", "False", "Hibernated")
        await w.until(Cluster.info.kind, NAMESPACE, CLUSTER, asleep, etcd.LONG)
        await w.until(etcd.KIND, NAMESPACE, ETCD, asleep, etcd.SOON)
        if left := await w.kube.list(kinds.POD, NAMESPACE):
            raise AssertionError(f"pods run: {[m['metadata']['name'] for m in left]}")
    with w.report.step("and wakes", "awake_s"):
        await w.kube.patch(Cluster.info.kind, CLUSTER, NAMESPACE, {"spec": {"hibernate": False}})
        await w.until(Cluster.info.kind, NAMESPACE, CLUSTER, has("Ready"), etcd.LONG)
        await etcd.ready(w, NAMESPACE, ETCD)
    async with await w.business(NAMESPACE, CLUSTER) as kube:
        if await kube.get(kinds.CONFIGMAP, "slept", "default") is None:
            raise AssertionError("what was written before is not there")
