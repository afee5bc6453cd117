"""The cluster operator: Clusters become control planes in the meta cluster, Addons what runs on top;
FleetUpgrades raise many Clusters to a version."""

from __future__ import annotations

import asyncio

from kok.kube.client import Kube
from kok.operators.cluster.addon.bundle import BundleRenderer
from kok.operators.cluster.addon.many.dispatch import AddonsReconciler
from kok.operators.cluster.addon.many.reconcile import ManyAddonsReconciler
from kok.operators.cluster.addon.reconcile import AddonReconciler
from kok.operators.cluster.addon.sources.finding import Sources
from kok.operators.cluster.businesscluster.connections import Connections
from kok.operators.cluster.cluster.reconcile import ClusterReconciler
from kok.operators.cluster.fleetupgrade.reconcile import FleetUpgradeReconciler
from kok.operators.cluster.releases import ReleaseSource
from kok.operators.cluster.settings import ClusterSettings
from kok.operators.cluster.wakeups import Wakeups
from kok.runtime.controller.reconciler import OperatorSpec
from kok.runtime.sandbox.pool import SandboxPool
from kok.runtime.settings import Settings


def operator(settings: Settings) -> OperatorSpec:
    """The operator with its reconcilers; these share what they know of each other."""
    del settings  # The runtime hands them to each pass.
    own = ClusterSettings()
    releases = ReleaseSource(url=own.releases_url, key=own.releases_key, every=own.releases_every)
    following: list[asyncio.Task[None]] = []
    connections = Connections(own.business_clients, own.business_timeout)
    wakeups = Wakeups()
    sandboxes = SandboxPool()
    bundles = BundleRenderer(sandboxes, sources=Sources(sandboxes, own), helm=own.helm)

    async def start(kube: Kube, settings: Settings) -> None:
        follow = releases.follow(kube, settings.lease_namespace)
        following.append(asyncio.create_task(follow, name="knowledge of releases"))
        telling = releases.tell(wakeups.wake_all)
        following.append(asyncio.create_task(telling, name="news of releases"))

    async def stop(_kube: Kube, _settings: Settings) -> None:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
        await connections.close()
        await bundles.close()

    return OperatorSpec(
        name="cluster",
        reconcilers=(
            ClusterReconciler(own, connections, wakeups, releases),
            AddonsReconciler(
                AddonReconciler(own, connections, wakeups, bundles),
                ManyAddonsReconciler(),
            ),
            FleetUpgradeReconciler(lambda: releases.now().releases, wakeups),
        ),
        on_start=start,
        on_stop=stop,
    )
