"""Addons for many Clusters on a real API server; what becomes of the Addon of each is acted out."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, cast

from tests.integration.at_work import at_work, settings_in
from tests.integration.operators.fleets.conftest import CLUSTER, LIMIT, OLD

from kok.api.cluster.addon import Addon
from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.kube.http.access import Access
from kok.operators.cluster.addon.many.dispatch import AddonsReconciler
from kok.operators.cluster.addon.many.reconcile import ManyAddonsReconciler
from kok.runtime.controller.reconciler import DONE, Done, Key, OperatorSpec, Pass, Result, Wake
from kok.runtime.process.main import Process

ADDON = Addon.info.kind
SOURCE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"


class Acted:
    """Stands for what applies the Addon of one Cluster: it is Ready at once, or as it is told."""

    model = Addon
    wakes_on: tuple[Wake, ...] = ()

    def __init__(self) -> None:
        self.broken: dict[str, str] = {}
        """Clusters where it is not Ready, and the reason."""
        self.seen: dict[str, list[Any]] = defaultdict(list)
        """By Cluster: the values that it was to have, in their order."""
        self._wakes: dict[str, Callable[[], None]] = {}

    def mend(self, *clusters: str) -> None:
        """It gets Ready there."""
        for one in clusters:
            self.broken.pop(one, None)
            self._wakes[one]()

    async def reconcile(self, p: Pass[Addon]) -> Result:
        """One pass."""
        cluster, values = p.obj.spec.cluster, p.obj.spec.values
        self._wakes[cluster] = p.wake
        if self.seen[cluster][-1:] != [values]:
            self.seen[cluster].append(values)
        reason = self.broken.get(cluster)
        p.set_condition("Ready", reason is None, reason or "AsWanted", "as the test wants it")
        return Result()

    async def finalize(self, p: Pass[Addon]) -> Result | Done:
        """Nothing was applied."""
        self.seen[p.obj.spec.cluster].append("removed")
        return DONE

    def forget(self, key: Key, uid: str) -> None:
        """Nothing is kept."""


@asynccontextmanager
async def keeping(access: Access, acted: Acted, *namespaces: str) -> AsyncIterator[Process]:
    """What looks after Addons alone, in this process."""
    both = AddonsReconciler(cast("Any", acted), ManyAddonsReconciler())
    wanted = settings_in(*namespaces, resync=3600.0)
    async with at_work([OperatorSpec("cluster", (both,))], wanted, access) as process:
        yield process


class Addons:
    """Short ways to the objects of a test."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self.kube, self.namespace = kube, namespace

    async def clusters(self, *names: str, runs: str = OLD, **meta: Any) -> None:
        """Makes Clusters that run."""
        for name in names:
            await self.kube.create(
                {
                    "apiVersion": CLUSTER.api_version,
                    "kind": CLUSTER.kind,
                    "metadata": {"name": name, "namespace": self.namespace, **meta},
                    "spec": {"version": OLD, "profile": "edge"},
                }
            )
            if runs:
                await self.ran(name, runs)

    async def ran(self, name: str, version: str = OLD) -> None:
        """A Cluster runs."""
        status = {"status": {"version": version}}
        await self.kube.patch(CLUSTER, name, self.namespace, status, subresource="status")

    async def label(self, name: str, **labels: str | None) -> None:
        """A Cluster gets other labels."""
        await self.kube.patch(CLUSTER, name, self.namespace, {"metadata": {"labels": labels}})

    async def make(self, name: str = "log", **spec: Any) -> Manifest:
        """Makes an Addon for all Clusters."""
        return await self.kube.create(
            {
                "apiVersion": ADDON.api_version,
                "kind": ADDON.kind,
                "metadata": {"name": name, "namespace": self.namespace},
                "spec": {"clusters": {}, "source": {"inline": SOURCE}, **spec},
            }
        )

    async def change(self, name: str = "log", **spec: Any) -> None:
        """Writes fields of its spec."""
        await self.kube.patch(ADDON, name, self.namespace, {"spec": spec})

    async def child(self, cluster: str) -> Addon | None:
        """The Addon of one Cluster."""
        live = await self.kube.get(ADDON, f"log-{cluster}", self.namespace)
        return None if live is None else Addon.parse(live)

    async def having(self, values: Any) -> set[str]:
        """Clusters whose Addons have these values."""
        found = [Addon.parse(one) for one in await self.kube.list(ADDON, self.namespace)]
        return {one.spec.cluster for one in found if one.spec.cluster and one.spec.values == values}

    async def until(self, holds: Callable[[Addon], object], name: str = "log") -> Addon:
        """The Addon as soon as `holds` does."""
        last: Manifest = {}
        watch = self.kube.watch(ADDON, self.namespace, fields={"metadata.name": name})
        try:
            async with asyncio.timeout(LIMIT), aclosing(watch) as events:
                async for event in events:
                    if event.type not in {"ADDED", "MODIFIED"}:
                        continue
                    last = event.object
                    found = Addon.parse(last)
                    spoken = found.status.observed_generation == found.metadata.generation
                    if spoken and holds(found):
                        return found
        except TimeoutError:
            raise AssertionError(f"it stayed as it is: {last.get('status')}") from None
        raise AssertionError("a watch never ends")

    async def until_reason(self, reason: str) -> Addon:
        """The Addon once its `Ready` has that reason."""

        def said(addon: Addon) -> bool:
            ready = addon.status.condition("Ready")
            return ready is not None and ready.reason == reason

        return await self.until(said)


def states(addon: Addon) -> dict[str, str]:
    """State of each Cluster."""
    rollout = addon.status.rollout
    return {key: row.state for key, row in rollout.table().items()} if rollout else {}
