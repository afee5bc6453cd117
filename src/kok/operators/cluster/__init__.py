"""The cluster operator: Clusters become control planes in the meta cluster, Addons what runs on top."""

from __future__ import annotations

from kok.kube.client import Kube
from kok.operators.cluster.addon.reconcile import AddonReconciler
from kok.operators.cluster.addon.source import Bundler
from kok.operators.cluster.cluster.reconcile import ClusterReconciler
from kok.operators.cluster.inside.tenants import Tenants
from kok.operators.cluster.settings import ClusterSettings
from kok.operators.cluster.wakeups import Links
from kok.runtime.controller.reconciler import OperatorSpec
from kok.runtime.sandbox.pool import Workshop
from kok.runtime.settings import Settings


def operator(settings: Settings) -> OperatorSpec:
    """The operator with its two reconcilers, which share their connections."""
    del settings  # The runtime hands them to each pass.
    own = ClusterSettings()
    tenants = Tenants(own.business_clients, own.business_timeout)
    links = Links()

    async def stop(_kube: Kube, _settings: Settings) -> None:
        await tenants.close()

    return OperatorSpec(
        name="cluster",
        reconcilers=(
            ClusterReconciler(own, tenants, links),
            AddonReconciler(own, tenants, links, Bundler(Workshop())),
        ),
        on_stop=stop,
    )
