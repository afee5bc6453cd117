"""What is known of Clusters that others select: listed once, and read again when they change.

An event tells no more than that a Cluster has changed. Of thousands that change all the time only those
are read whose state matters to a FleetUpgrade, once for all of its changes since its last pass.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from kok.api.cluster.cluster import Cluster
from kok.api.cluster.contract import ClusterContract
from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.kube.concurrency import asking
from kok.kube.decoding.truncation import ANYTHING
from kok.runtime.clock import Clock
from kok.runtime.controller.reconciler import Key

CLUSTER = Cluster.info.kind
EVERYWHERE = ""
"""In place of a namespace: all of them."""
REFRESH = 600.0
"""Seconds after which all is listed again: a watch event does not tell that an object is gone."""
MANY = 100
"""Clusters that are rather listed than read one by one."""
AT_ONCE = 8
"""Requests side by side."""


@dataclass(slots=True)
class _Follower:
    """What one FleetUpgrade wants to be woken for."""

    places: frozenset[str]
    under_way: set[str] = field(default_factory=set)
    closely: bool = False

    def covers(self, namespace: str) -> bool:
        return EVERYWHERE in self.places or namespace in self.places


class FollowedClusters:
    """Clusters of the namespaces that FleetUpgrades look at; nothing while there are none."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, ClusterContract]] = defaultdict(dict)
        self._changed: dict[str, set[str]] = defaultdict(set)
        """Names of those that have changed since they were read, by namespace."""
        self._listed_at: dict[str, float] = {}
        self._followers: dict[Key, _Follower] = {}
        self._reading = asyncio.Lock()
        """One reader at a time: what another one is reading counts as unchanged, and is not known yet."""

    def changed(self, manifest: Manifest) -> Iterable[Key]:
        """The key function of the runtime's wake; an event holds metadata and no more."""
        meta = manifest["metadata"]
        namespace, name = str(meta["namespace"]), str(meta["name"])
        interested = {k: f for k, f in self._followers.items() if f.covers(namespace)}
        known = self._known[namespace].get(name) if interested else None
        if not interested or (known and known.resource_version == meta["resourceVersion"]):
            return []
        self._changed[namespace].add(name)
        key = f"{namespace}/{name}"
        return [
            k
            for k, one in interested.items()
            if known is None
            or key in one.under_way
            or (one.closely and _gist(known) != _gist_of(meta))
        ]

    def follow(
        self,
        fleet: Key,
        places: Collection[str],
        under_way: Iterable[str],
        *,
        closely: bool = False,
    ) -> None:
        """From now on a follower is woken by changes of these, and by new ones.

        `closely`: also when one gets other labels or another spec, or is being deleted.
        """
        self._followers[fleet] = _Follower(frozenset(places), set(under_way), closely)

    def raised(self, fleet: Key, keys: Iterable[str]) -> bool:
        """It is woken by these as well; whether one of them has changed since it was read.

        Of that nobody has told it.
        """
        added = set(keys)
        if (follower := self._followers.get(fleet)) is not None:
            follower.under_way.update(added)
        return any(
            name in self._changed.get(namespace, ())
            for namespace, _, name in (key.partition("/") for key in added)
        )

    def forget(self, fleet: Key) -> None:
        """A FleetUpgrade has ended; with the last one all is forgotten."""
        self._followers.pop(fleet, None)
        if not self._followers:
            self._known.clear()
            self._changed.clear()
            self._listed_at.clear()

    def take(self, live: Manifest) -> None:
        """One that was just read or written."""
        found = ClusterContract.of(live)
        self._known[found.namespace][found.name] = found
        self._changed[found.namespace].discard(found.name)

    def touch(self, key: str) -> None:
        """One is not what it was when it was read."""
        namespace, _, name = key.partition("/")
        self._changed[namespace].add(name)

    async def read(
        self, kube: Kube, places: Collection[str], needed: Collection[str] | None, clock: Clock
    ) -> tuple[dict[str, ClusterContract], frozenset[str]]:
        """All Clusters there, and which of them have changed since they were read.

        Those that are `needed` are read again, as are new ones; None: all are. Raises `KubeError`.
        """
        async with self._reading:
            return await self._read(kube, places, needed, clock)

    async def _read(
        self, kube: Kube, places: Collection[str], needed: Collection[str] | None, clock: Clock
    ) -> tuple[dict[str, ClusterContract], frozenset[str]]:
        for place in places:
            if clock.monotonic() - self._listed_at.get(place, float("-inf")) > REFRESH:
                await self._list(kube, place, clock)
        wanted = [
            (namespace, name)
            for namespace, name in self._moved(places)
            if needed is None
            or f"{namespace}/{name}" in needed
            or name not in self._known[namespace]
        ]
        if len(wanted) > MANY:
            for place in places:
                await self._list(kube, place, clock)
        else:
            await self._get(kube, wanted)
        stale = frozenset(f"{namespace}/{name}" for namespace, name in self._moved(places))
        found = {
            one.key: one
            for namespace, those in self._known.items()
            if EVERYWHERE in places or namespace in places
            for one in those.values()
        }
        return found, stale

    def _moved(self, places: Collection[str]) -> list[tuple[str, str]]:
        return sorted(
            (namespace, name)
            for namespace, names in self._changed.items()
            if EVERYWHERE in places or namespace in places
            for name in names
        )

    async def _list(self, kube: Kube, place: str, clock: Clock) -> None:
        # What changes from here on is read once more; if this fails, all of it is.
        self._listed_at.pop(place, None)
        for namespace in list(self._changed) if place == EVERYWHERE else [place]:
            self._changed[namespace].clear()
        listed = await kube.list(
            CLUSTER,
            place or None,
            unread=ANYTHING,
            keep=lambda live: {"it": ClusterContract.of(live)},
            shared=True,
        )
        for namespace in list(self._known) if place == EVERYWHERE else [place]:
            self._known[namespace] = {}
        for one in listed:
            found: ClusterContract = one["it"]
            self._known[found.namespace][found.name] = found
        self._listed_at[place] = clock.monotonic()

    async def _get(self, kube: Kube, wanted: Iterable[tuple[str, str]]) -> None:
        turns = asyncio.Semaphore(AT_ONCE)

        async def one(namespace: str, name: str) -> None:
            async with turns:
                self._changed[namespace].discard(name)
                try:
                    live = await kube.get(CLUSTER, name, namespace, unread=ANYTHING)
                except BaseException:
                    self._changed[namespace].add(name)
                    raise
            if live is None:
                self._known[namespace].pop(name, None)
            else:
                found = ClusterContract.of(live)
                self._known[namespace][name] = found

        async with asking() as group:
            for namespace, name in wanted:
                group.create_task(one(namespace, name))


def _gist(known: ClusterContract) -> tuple[object, ...]:
    return dict(known.labels), known.generation, known.deleting


def _gist_of(meta: Manifest) -> tuple[object, ...]:
    """The same of metadata as an event has it."""
    labels = {str(key): str(value) for key, value in (meta.get("labels") or {}).items()}
    return labels, meta.get("generation", 0), meta.get("deletionTimestamp") is not None
