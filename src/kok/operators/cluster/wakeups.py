"""Who has to be woken when something of a business cluster changes; hints, never state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kok.api.cluster.cluster import Cluster
from kok.api.cluster.status import ClusterStatus
from kok.api.meta import Manifest
from kok.operators.cluster import reasons
from kok.runtime.controller.reconciler import Key

Part = tuple[str, str, str]
"""Kind, namespace and name of what an Addon is made of."""
AT_ONCE, PAUSE = 20, 0.2
"""How many are woken together where all of them are, and seconds between: some 100 passes a second are asked
for, as at the start of an operator."""


@dataclass(frozen=True, slots=True)
class _Registration:
    """What the last pass over one Addon said."""

    cluster: Key
    depends_on: frozenset[Key]


@dataclass(frozen=True, slots=True)
class _Facts:
    """What Addons go by of a Cluster. Most changes of its status are none of these."""

    uid: str
    generation: int
    status: tuple[object, ...]


class Wakeups:
    """Clusters, and Addons by Cluster and by what they depend on, as their last passes said."""

    def __init__(self) -> None:
        self._told: dict[Key, _Facts] = {}
        """Of Clusters, as their last passes were about to write them."""
        self._seen: dict[Key, _Facts] = {}
        """Of the Clusters of Addons, as the last passes over these have read them."""
        self._said: dict[Key, _Registration] = {}
        self._addons: dict[Key, dict[str, Callable[[], None]]] = {}
        self._dependents: dict[Key, set[str]] = {}
        self._parts: dict[Key, frozenset[Part]] = {}
        self._made_of: dict[Part, set[Key]] = {}
        self._clusters: dict[Key, Callable[[], None]] = {}
        self._unplanned: dict[Key, Callable[[], None]] = {}

    def register_cluster(self, cluster: Key, wake: Callable[[], None]) -> None:
        """A Cluster is looked after, and is woken by `wake`."""
        self._clusters[cluster] = wake

    def forget_cluster(self, cluster: Key) -> None:
        """The Cluster is gone."""
        self._clusters.pop(cluster, None)
        self._told.pop(cluster, None)

    def tell(self, cluster: Cluster, status: ClusterStatus) -> None:
        """What is about to be written of a Cluster; to be called before each write that changes it."""
        self._told[cluster.namespace, cluster.name] = _facts(cluster, status)

    def saw(self, addon: Key, cluster: Cluster | None) -> None:
        """What a pass over a registered Addon has read of its Cluster; other changes do not wake it."""
        if cluster is not None and addon in self._said:
            self._seen[addon] = _facts(cluster, cluster.status)

    def wake_cluster(self, cluster: Key) -> None:
        """Wakes a Cluster whose status somebody else has changed: of that no event wakes it."""
        wake = self._clusters.get(cluster)
        if wake is not None:
            wake()

    def register_unplanned(self, fleet: Key, wake: Callable[[], None]) -> None:
        """A FleetUpgrade has no plan yet, which may depend on what is known of releases."""
        self._unplanned[fleet] = wake

    def forget_unplanned(self, fleet: Key) -> None:
        """A FleetUpgrade has its plan, or is gone."""
        self._unplanned.pop(fleet, None)

    async def wake_all(self) -> None:
        """Wakes whom new knowledge of releases concerns: all Clusters, and before them FleetUpgrades.

        Takes its time, so that others get their turns.
        """
        for wake in list(self._unplanned.values()):
            wake()
        for count, cluster in enumerate(list(self._clusters)):
            if count and count % AT_ONCE == 0:
                await asyncio.sleep(PAUSE)
            self.wake_cluster(cluster)

    def register(
        self,
        namespace: str,
        addon: str,
        cluster: str,
        depends_on: Iterable[str],
        wake: Callable[[], None],
    ) -> None:
        """An Addon belongs to a Cluster and is woken by `wake`; what it said before is void.

        Any change of the Cluster wakes it until it says what it `saw`.
        """
        self.forget((namespace, addon))
        others = frozenset((namespace, other) for other in depends_on)
        self._said[namespace, addon] = said = _Registration((namespace, cluster), others)
        self._addons.setdefault(said.cluster, {})[addon] = wake
        for other in said.depends_on:
            self._dependents.setdefault(other, set()).add(addon)

    def register_parts(self, addon: Key, parts: Iterable[tuple[str, str]]) -> None:
        """An Addon is made of Secrets and ConfigMaps, by kind and name in its namespace."""
        self._forget_parts(addon)
        self._parts[addon] = found = frozenset((kind, addon[0], name) for kind, name in parts)
        for part in found:
            self._made_of.setdefault(part, set()).add(addon)

    def _forget_parts(self, addon: Key) -> None:
        for part in self._parts.pop(addon, ()):
            self._made_of[part].discard(addon)
            if not self._made_of[part]:
                del self._made_of[part]

    def forget(self, addon: Key) -> None:
        """The Addon is gone. Those that depend on it still do: there may be another one."""
        self._forget_parts(addon)
        self._seen.pop(addon, None)
        said = self._said.pop(addon, None)
        if said is None:
            return
        name = addon[1]
        self._addons[said.cluster].pop(name)
        if not self._addons[said.cluster]:
            del self._addons[said.cluster]
        for other in said.depends_on:
            self._dependents[other].discard(name)
            if not self._dependents[other]:
                del self._dependents[other]

    def cluster_of(self, addon: Key) -> Key | None:
        """The Cluster that an Addon said it belongs to."""
        said = self._said.get(addon)
        return said.cluster if said is not None else None

    def wake_addons(self, cluster: Key) -> None:
        """Wakes all Addons of a Cluster."""
        for wake in list(self._addons.get(cluster, {}).values()):
            wake()

    def wake_addon(self, cluster: Key, addon: str) -> None:
        """Wakes one Addon of a Cluster."""
        wake = self._addons.get(cluster, {}).get(addon)
        if wake is not None:
            wake()

    def of_cluster(self, manifest: Manifest) -> Iterable[Key]:
        """Keys of the Addons that a change of a Cluster concerns, of which no more than metadata is known.

        It is none of theirs if they have seen of its status what its last pass wrote: whoever
        starts up writes often, and each pass over each Addon for that would be for nothing.
        """
        key, meta = _key(manifest), manifest["metadata"]
        addons = [(key[0], addon) for addon in self._addons.get(key, {})]
        told = self._told.get(key)
        if told is None or meta.get("deletionTimestamp") or not _is_of(meta, told):
            return addons
        return [addon for addon in addons if self._seen.get(addon) != told]

    def of_addon(self, manifest: Manifest) -> Iterable[Key]:
        """Keys of the Addons that depend on an Addon that changed."""
        namespace, name = _key(manifest)
        return [(namespace, addon) for addon in self._dependents.get((namespace, name), ())]

    def of_secret(self, manifest: Manifest) -> Iterable[Key]:
        """Keys of the Addons that are made of a Secret that changed."""
        return list(self._made_of.get(("Secret", *_key(manifest)), ()))

    def of_config_map(self, manifest: Manifest) -> Iterable[Key]:
        """Keys of the Addons that are made of a ConfigMap that changed."""
        return list(self._made_of.get(("ConfigMap", *_key(manifest)), ()))


def _key(manifest: Manifest) -> Key:
    meta = manifest["metadata"]
    return str(meta.get("namespace") or ""), str(meta["name"])


def _facts(cluster: Cluster, status: ClusterStatus) -> _Facts:
    """With all of the spec, which the generation stands for."""
    reachable = status.condition(reasons.ENDPOINT_REACHABLE)
    upgrade = status.upgrade
    return _Facts(
        cluster.metadata.uid,
        cluster.metadata.generation,
        (
            status.endpoint,
            status.version,
            (upgrade.step, upgrade.hop, upgrade.backing_out) if upgrade is not None else None,
            (reachable.status, reachable.message) if reachable is not None else None,
            tuple(sorted(status.ca_fingerprints.items())),
        ),
    )


def _is_of(meta: Manifest, told: _Facts) -> bool:
    return meta.get("uid") == told.uid and meta.get("generation") == told.generation
