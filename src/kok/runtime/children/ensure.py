"""Makes an owner's children as intended, never taking over what is somebody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from weakref import WeakValueDictionary

from kok.api.meta import Kind, Manifest, Resource
from kok.kube import kinds
from kok.kube.apply.prune import loosen
from kok.kube.apply.serverside import ensure, stamped
from kok.kube.client import Kube
from kok.kube.concurrency import all_of
from kok.kube.errors import AlreadyExists
from kok.kube.objects.children import whole_of
from kok.kube.objects.ownership import owned, owned_by, owned_by_label
from kok.runtime.children.rules import ChildRules
from kok.runtime.children.takeover import check_takeover
from kok.runtime.controller.errors import Wait

Lives = Mapping[tuple[str, str], Manifest]
"""Children as they were read, by kind and name."""


class Children:
    """The children of one owner, as far as one pass brings them into being."""

    def __init__(self, kube: Kube, owner: Resource, rules: ChildRules) -> None:
        """`kube` writes as the manager of `rules`."""
        self._kube = kube
        self._owner = owner
        self._rules = rules

    async def ensure(self, intents: Iterable[Manifest], lives: Lives) -> list[Manifest]:
        """Makes all children as intended, side by side; returns them as they are now.

        `intents` are without owner. All are tried before the first error is raised: `KubeError`,
        `Invalid` for a name that somebody else's object has, `Wait` while an earlier owner's
        object of that name is going.
        """
        return await self._ensure_all(intents, lives, once=False)

    async def make_once(self, intents: Iterable[Manifest], lives: Lives) -> list[Manifest]:
        """`ensure` for what cannot be made twice.

        Nothing is written over an object that `lives` does not know: what it holds has to be
        looked at first. `Wait` then, too.
        """
        return await self._ensure_all(intents, lives, once=True)

    async def loosen(self, lives: Iterable[Manifest]) -> list[Manifest]:
        """Takes the owner off Secrets that outlive it; returns these as they are now.

        What the garbage collector has asked to go already, nothing keeps. Raises `KubeError`.
        """
        return await all_of(
            self._kept(loosen(self._kube, kinds.SECRET, live, self._owner))
            for live in lives
            if owned_by(live, self._owner) and not live["metadata"].get("deletionTimestamp")
        )

    async def _ensure_all(
        self, intents: Iterable[Manifest], lives: Lives, *, once: bool
    ) -> list[Manifest]:
        wanted = [
            (self._owned(one), lives.get((one["kind"], one["metadata"]["name"]))) for one in intents
        ]
        return await all_of(
            self._kept(self._ensure(want, live, once=once)) for want, live in wanted
        )

    async def _kept(self, work: Awaitable[Manifest]) -> Manifest:
        """An answer has all in it that others hung on the object; a pass would keep it to its end."""
        return whole_of(self._owner, await work, entries=self._rules.entries)

    def _owned(self, intent: Manifest) -> Manifest:
        """What has to outlive its owner has no reference to it."""
        stays = self._rules.outlives(intent, self._owner)
        return owned_by_label(intent, self._owner) if stays else owned(intent, self._owner)

    async def _ensure(self, want: Manifest, live: Manifest | None, *, once: bool) -> Manifest:
        if live is not None:
            return (await ensure(self._kube, want, live))[0]
        kind, meta = await self._kube.resolve(want), want["metadata"]
        # Two owners whose derived names collide are both ours, so that server-side apply sees no
        # conflict between them: whoever comes first makes the object, the other one finds it.
        async with _birth(kind, meta["namespace"], meta["name"]):
            found = await self._kube.get(kind, meta["name"], meta["namespace"])
            if found is None and not once:
                return await self._kube.apply(stamped(want), force=False)
            if found is None:
                return await self._create(want)
        check_takeover(self._rules, kind, found, self._owner)
        if once:
            raise self._meanwhile(want)
        return (await ensure(self._kube, want, found))[0]

    async def _create(self, want: Manifest) -> Manifest:
        """Unlike an apply this is no merge with what somebody makes at the same moment."""
        try:
            return await self._kube.create(stamped(want))
        except AlreadyExists as error:
            raise self._meanwhile(want) from error

    def _meanwhile(self, want: Manifest) -> Wait:
        meta = want["metadata"]
        where = f"{want['kind']} {meta['namespace']}/{meta['name']}"
        return Wait(self._rules.creating, f"{where} was made meanwhile; looking again", 0.1)


_births: WeakValueDictionary[tuple[str, str, str], asyncio.Lock] = WeakValueDictionary()


def _birth(kind: Kind, namespace: str, name: str) -> asyncio.Lock:
    """Held while an object of that name is looked for and made."""
    return _births.setdefault((kind.crd_name, namespace, name), asyncio.Lock())
