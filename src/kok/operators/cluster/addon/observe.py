"""Reads everything in the meta cluster that a pass over an Addon looks at."""

from __future__ import annotations

from dataclasses import dataclass

from kok.api.cluster.addon import Addon
from kok.api.cluster.cluster import Cluster
from kok.api.unreadable import Unreadable
from kok.kube.client import Kube
from kok.kube.concurrency import asking
from kok.kube.decoding.truncation import FREE_FORM
from kok.operators.cluster import naming, reasons


@dataclass(frozen=True, slots=True)
class Dependency:
    """An Addon that this one depends on."""

    name: str
    ready: bool | None
    """None if there is none of that name."""
    unreadable: Unreadable | None = None
    """Why nobody knows whether it is ready."""


@dataclass(frozen=True, slots=True)
class AddonView:
    """What was observed."""

    cluster: Cluster | None
    dependencies: tuple[Dependency, ...] = ()


async def observe(kube: Kube, addon: Addon) -> AddonView:
    """Reads it all, side by side. Raises `KubeError`, and `Unreadable` for the Cluster."""
    async with asking() as group:
        cluster = group.create_task(read_cluster(kube, addon))
        needed = [group.create_task(_dependency(kube, addon, n)) for n in addon.spec.depends_on]
    return AddonView(cluster.result(), tuple(one.result() for one in needed))


def needed_names(addon: Addon) -> list[str]:
    """Names of Addons whose changes concern this one, as it depends on them."""
    asked = addon.spec.depends_on
    return [*asked, *(naming.addon_for(name, addon.spec.cluster) for name in asked)]


def parts_of(addon: Addon) -> frozenset[tuple[str, str]]:
    """Kinds and names of the Secrets and ConfigMaps that it is made of, in its namespace."""
    spec = addon.spec
    found: list[tuple[str, str | None]] = [("ConfigMap", spec.source.config_map)]
    for source in spec.values_from:
        found += [("Secret", source.secret), ("ConfigMap", source.config_map)]
    for repository in (spec.source.helm, spec.source.oci):
        if repository is not None:
            found.append(("Secret", repository.secret))
    return frozenset((kind, name) for kind, name in found if name)


async def read_cluster(kube: Kube, addon: Addon) -> Cluster | None:
    """The Cluster of an Addon. Raises `KubeError`, `Unreadable`."""
    kind = Cluster.info.kind
    live = await kube.get(kind, addon.spec.cluster, addon.namespace, unread=FREE_FORM)
    return None if live is None else Cluster.parse(live)


async def _dependency(kube: Kube, addon: Addon, name: str) -> Dependency:
    live = await kube.get(Addon.info.kind, name, addon.namespace, unread=FREE_FORM)
    if live is not None and live["spec"].get("clusters") is not None:
        # One for many Clusters: what it has made for this one is waited for.
        name = naming.addon_for(name, addon.spec.cluster)
        live = await kube.get(Addon.info.kind, name, addon.namespace, unread=FREE_FORM)
    if live is None:
        return Dependency(name, None)
    try:
        return Dependency(name, Addon.parse(live).status.is_true(reasons.READY))
    except Unreadable as error:
        return Dependency(name, ready=False, unreadable=error)
