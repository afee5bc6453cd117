"""Who has to be woken when something of a business cluster changes; hints, never state."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable

from kok.api.meta import Manifest
from kok.runtime.reconciler import Key


class Links:
    """Addons by Cluster and by what they depend on, as their last passes said."""

    def __init__(self) -> None:
        self._addons: dict[Key, dict[str, Callable[[], None]]] = defaultdict(dict)
        self._dependents: dict[Key, set[str]] = defaultdict(set)

    def register(
        self,
        namespace: str,
        addon: str,
        cluster: str,
        depends_on: Iterable[str],
        wake: Callable[[], None],
    ) -> None:
        """An Addon belongs to a Cluster and is woken by `wake`."""
        self._addons[namespace, cluster][addon] = wake
        for other in depends_on:
            self._dependents[namespace, other].add(addon)

    def forget(self, namespace: str, addon: str, cluster: str) -> None:
        """The Addon is gone."""
        known = self._addons.get((namespace, cluster), {})
        known.pop(addon, None)
        if not known:
            self._addons.pop((namespace, cluster), None)
        self._dependents.pop((namespace, addon), None)

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
        """Keys of the Addons of a Cluster that changed."""
        namespace, name = _key(manifest)
        return [(namespace, addon) for addon in self._addons.get((namespace, name), {})]

    def of_addon(self, manifest: Manifest) -> Iterable[Key]:
        """Keys of the Addons that depend on an Addon that changed."""
        namespace, name = _key(manifest)
        return [(namespace, addon) for addon in self._dependents.get((namespace, name), ())]


def _key(manifest: Manifest) -> Key:
    meta = manifest["metadata"]
    return str(meta.get("namespace") or ""), str(meta["name"])
