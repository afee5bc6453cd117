"""Follows what addons applied in one business cluster: one watch a kind, whoever applies it.

A watch costs a connection, and whoever may define kinds could have any number of them followed. So
there are no more than some; which ones depends on what addons apply now. Of objects nothing is
kept but that there are some: a watch brings their metadata, and whoever is woken reads what he needs.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Final

from kok.api.meta import Kind
from kok.kube import kinds
from kok.kube.client import Kube
from kok.operators.cluster.naming import LABEL_ADDON

FOLLOWED_MOST: Final = 12
"""Kinds that are followed in one business cluster."""
KNOWN: Final = 2**19
"""Bytes of names that are kept of the objects of a kind: some 1,500 objects."""
SHORT: Final = 0.02
"""Seconds within which several changes count as one."""
EVERY, BURST = 5.0, 100.0
"""Seconds between two wake-ups of an Addon whose objects change all the time, and seconds' worth of them
that may come at once."""
_FIRST: Final = (
    kinds.DEPLOYMENT,
    kinds.DAEMONSET,
    kinds.STATEFULSET,
    kinds.CONFIGMAP,
    kinds.SERVICE,
    kinds.CUSTOMRESOURCEDEFINITION,
    kinds.APISERVICE,
    kinds.JOB,
)
"""Kinds that are followed before all others: without them nobody sees how an addon is."""

_Id = tuple[str, str]
"""Group and plural: whatever the version, it is the same objects."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Objects that were found as they should be."""

    key: object
    """What they were compared with."""
    at: float
    """Monotonic seconds."""
    found: tuple[Any, ...]
    """What was found out of them."""
    revision: str = ""
    """Their hash."""


@dataclass(slots=True)
class _Follower:
    """One Addon."""

    wake: Callable[[], None]
    kinds: dict[_Id, Kind] = field(default_factory=dict)
    changes: int = 0
    """Of its objects, since it is known."""
    settled: tuple[int, Settled] | None = None
    """What was found, and the changes before that."""
    at: float = 0.0
    """When it would have been woken last at the lowest rate."""
    later: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class _Watch:
    kind: Kind
    task: asyncio.Task[None]
    synced: bool = False


@dataclass(slots=True)
class FollowedKinds:
    """What addons of one business cluster want to be woken by."""

    kube: Kube
    most: int = FOLLOWED_MOST
    _followers: dict[str, _Follower] = field(default_factory=dict)
    _watches: dict[_Id, _Watch] = field(default_factory=dict)

    def follow(self, addon: str, wanted: Collection[Kind], wake: Callable[[], None]) -> bool:
        """Has an Addon woken by changes of its objects, which are of these kinds; of several versions of
        a kind the last one counts.

        Whether all of them are followed: otherwise they have to be looked at now and then. Needs a
        running event loop.
        """
        found = self._followers.setdefault(addon, _Follower(wake))
        found.wake = wake
        ids = {(kind.group, kind.plural): kind for kind in wanted}
        if found.kinds != ids:
            found.kinds, found.settled = ids, None
            self._choose()
        return all(map(self._knows, ids))

    def forget(self, addon: str) -> None:
        """The Addon is gone, or has nothing there any more."""
        found = self._followers.pop(addon, None)
        if found is not None:
            if found.later is not None:
                found.later.cancel()
            self._choose()

    def changes(self, addon: str) -> int:
        """Grows with each change of an Addon's objects."""
        found = self._followers.get(addon)
        return found.changes if found is not None else 0

    def settle(self, addon: str, changes: int, settled: Settled) -> None:
        """Keeps what was found of an Addon's objects until one of them changes.

        `changes` is what that was before they were read.
        """
        found = self._followers.get(addon)
        if found is not None:
            found.settled = changes, settled

    def settled(self, addon: str) -> Settled | None:
        """What was found of an Addon's objects; None once one of them may have changed."""
        found = self._followers.get(addon)
        if found is None or found.settled is None or found.settled[0] != found.changes:
            return None
        return found.settled[1]

    @property
    def followed(self) -> frozenset[_Id]:
        """Groups and plurals of what is followed."""
        return frozenset(self._watches)

    async def close(self) -> None:
        """Ends all watches."""
        tasks = [watch.task for watch in self._watches.values()]
        for addon in list(self._followers):
            self.forget(addon)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _knows(self, one: _Id) -> bool:
        watch = self._watches.get(one)
        return watch is not None and watch.synced and self.kube.excess_of(watch.kind) is None

    def _choose(self) -> None:
        """Follows what is wanted, the most important kinds first, and nothing else."""
        users = Counter(one for found in self._followers.values() for one in found.kinds)
        first = [(kind.group, kind.plural) for kind in _FIRST]

        def place(one: _Id) -> tuple[int, int, _Id]:
            return (first.index(one) if one in first else len(first), -users[one], one)

        chosen = {one: self._kind(one) for one in sorted(users, key=place)[: self.most]}
        for one, watch in list(self._watches.items()):
            if chosen.get(one) != watch.kind:
                self._watches.pop(one).task.cancel()
                for found in self._followers.values():
                    if one in found.kinds:
                        # From now on, or until it is followed anew, it is looked at now and then.
                        found.settled = None
                        found.wake()
        for one, kind in chosen.items():
            if one not in self._watches:
                task = asyncio.create_task(self._watch(one, kind), name=f"addons: {one[1]}")
                self._watches[one] = _Watch(kind, task)

    def _kind(self, one: _Id) -> Kind:
        """In the version that most Addons use: one that is no longer served has no watch."""
        used = Counter(f.kinds[one] for f in self._followers.values() if one in f.kinds)

        def rank(kind: Kind) -> tuple[int, bool, bool, str]:
            name = kind.version
            return used[kind], "alpha" not in name, "beta" not in name, name

        return max(used, key=rank)

    async def _watch(self, one: _Id, kind: Kind) -> None:
        async for event in self.kube.watch(kind, labels=LABEL_ADDON, bare=True, known=KNOWN):
            if event.type == "SYNCED":
                self._synced(one)
            else:
                labels = (event.object.get("metadata") or {}).get("labels") or {}
                self._changed(str(labels.get(LABEL_ADDON) or ""))
                del labels
            # Until there is another one, which may take hours, nothing holds an object that is large.
            del event

    def _synced(self, one: _Id) -> None:
        """What went before it was followed, nobody tells of."""
        watch = self._watches.get(one)
        if watch is not None:
            watch.synced = True
        for name, found in self._followers.items():
            if one in found.kinds:
                self._changed(name)

    def _changed(self, addon: str) -> None:
        found = self._followers.get(addon)
        if found is None:
            return
        found.changes += 1
        if found.later is None:
            loop = asyncio.get_running_loop()
            now = loop.time()
            found.at = max(now, found.at) + EVERY
            found.later = loop.call_later(max(SHORT, found.at - now - BURST), _wake, found)


def _wake(found: _Follower) -> None:
    found.later = None
    found.wake()
