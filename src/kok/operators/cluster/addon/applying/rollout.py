"""Keeps a bundle applied in a business cluster: what is recorded before, and what is not asked twice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from kok.api.cluster.addon import Addon, AppliedObject
from kok.api.meta import Manifest
from kok.kube.apply.serverside import intent_hash
from kok.kube.client import Kube
from kok.operators.cluster import reasons
from kok.operators.cluster.addon.applying.bring import ObjectTaken, Terms
from kok.operators.cluster.addon.applying.install import (
    Installed,
    install,
    inventory_entries,
    unreachable_as_wait,
)
from kok.operators.cluster.addon.applying.inventory import (
    in_namespace,
    kind_of_entry,
    merge_inventory,
    stale_entries,
)
from kok.operators.cluster.addon.applying.removal import remove
from kok.operators.cluster.addon.health import Lagging
from kok.operators.cluster.businesscluster.connections import Connection
from kok.operators.cluster.businesscluster.followed import Settled
from kok.runtime.controller.errors import Wait
from kok.runtime.controller.reconciler import Pass

TAKEN_OVER: Final = 32
"""Addons that are no more whose objects one pass takes over."""
RESYNC: Final = 60.0
"""Seconds after which objects are looked at whose kind is not followed."""
GOING: Final = 5.0
"""Seconds after which it is seen whether what is to go went."""
_ADDON = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
"""What an Addon that is the value of a label may be called."""


class Rollout:
    """One Addon's objects in one business cluster, as far as one pass gets with them."""

    def __init__(self, p: Pass[Addon], connection: Connection, recheck: float) -> None:
        """`recheck`: seconds for which nothing is read where nothing was seen to change."""
        self._p = p
        self.connection = connection
        self._recheck = recheck
        self._revision = ""
        self.look_again: float | None = None
        """Seconds after which they are to be looked at, though nothing is seen to change."""

    def known(self, made_of: str, namespace: str = "default") -> Installed | None:
        """What a pass before found of what is rendered from that, if all was as it should be.

        None once any of it may have changed.
        """
        p = self._p
        known = self.connection.followed.settled(p.obj.name)
        if known is None or known.key != self._key(made_of, namespace):
            return None
        if p.clock.monotonic() - known.at >= self._recheck:
            return None
        return Installed(list(known.found), revision=known.revision)

    async def apply(
        self, manifests: Sequence[Manifest], namespace: str = "default", made_of: str = ""
    ) -> Installed:
        """Applies all that is not there, and removes what is not wanted any more.

        `namespace` is that of what names none; `made_of` says from what it was rendered.
        `Installed.waits` says whether a wave is yet to come. Raises `Wait` and `Invalid`.
        """
        p, followed = self._p, self.connection.followed
        revision = intent_hash({"objects": manifests})
        made_of = made_of or revision
        if (known := self.known(made_of, namespace)) is not None:
            return known
        self._revision, now = revision, p.clock.monotonic()
        # What is seen to change from here on is looked at again.
        changes = followed.changes(p.obj.name)
        done, watched = await self._brought(manifests, namespace)
        done.revision = revision
        if not watched:
            self.look_again = RESYNC
        elif done.waits is None and done.fought is None and self.look_again is None:
            key = self._key(made_of, namespace)
            found = Settled(key, now, tuple(done.found), revision)
            followed.settle(p.obj.name, changes, found)
        return done

    def _key(self, made_of: str, namespace: str) -> tuple[str, str, int]:
        return made_of, namespace, self._p.obj.metadata.generation

    async def _brought(
        self, manifests: Sequence[Manifest], namespace: str
    ) -> tuple[Installed, bool]:
        p = self._p
        kube = p.guarded(self.connection.kube)
        with unreachable_as_wait(p):
            wanted = await inventory_entries(kube, manifests, namespace)
        known = [one for one in wanted if one is not None]
        before = list(p.status.inventory)
        p.status.inventory = merge_inventory(before, known)
        p.status.objects = len(known)
        # What is to go may be of a version that nobody serves any more.
        entries = [*p.status.inventory, *known]
        watched = self.connection.followed.follow(
            p.obj.name, list(map(kind_of_entry, entries)), p.wake
        )
        # Recorded before anything is applied, so that nothing can be left behind.
        if p.status.inventory != before and not p.paused:
            await p.latch()
        both = zip(manifests, wanted, strict=True)
        done = await self._install(kube, [in_namespace(m, a) for m, a in both if a is not None])
        _require_kinds(manifests, wanted)
        if done.waits is None:
            await self._prune(kube, stale_entries(before, known), known, done)
        return done, watched

    async def _prune(
        self,
        kube: Kube,
        stale: Sequence[AppliedObject],
        known: Sequence[AppliedObject],
        done: Installed,
    ) -> None:
        with unreachable_as_wait(self._p):
            removed = await remove(kube, stale, self._p.obj.name)
        if removed.released:
            self._p.event(reasons.LEFT_IN_PLACE, removed.told)
        left = removed.left
        self._p.status.inventory = merge_inventory(left, known)
        if left:
            self.look_again = GOING
            done.found += (
                Lagging(f"{one.kind} {one.name}", "it is to go and still there", failed=False)
                for one in left
            )

    async def _install(self, kube: Kube, wanted: list[Manifest]) -> Installed:
        """Takes over what carries the name of an Addon that this Cluster does not have.

        A Cluster that began with a backup finds the marks of Addons of the one that was backed up.
        """
        p = self._p
        settled = p.obj.status.revision == self._revision
        gone: set[str] = set()
        while True:
            terms = Terms(p.obj.name, gone, p.obj.spec.ignore, settled)
            try:
                with unreachable_as_wait(p):
                    return await install(kube, wanted, terms)
            except ObjectTaken as taken:
                # A server that answers with ever new names must not keep the pass busy for ever.
                if not _ADDON.fullmatch(taken.other) or len(gone) >= TAKEN_OVER:
                    raise
                live = await p.kube.get(Addon.info.kind, taken.other, p.obj.namespace)
                if live is not None and live["spec"].get("cluster") == p.obj.spec.cluster:
                    raise
                p.log.info("objects of an Addon that is no more are taken over", of=taken.other)
                gone.add(taken.other)


def _require_kinds(manifests: Sequence[Manifest], entries: Sequence[AppliedObject | None]) -> None:
    """Raises `Wait` for a kind that the business cluster does not serve."""
    for manifest, entry in zip(manifests, entries, strict=True):
        if entry is None:
            kind = f"{manifest['apiVersion']} {manifest['kind']}"
            text = f"the business cluster has no kind {kind} yet"
            raise Wait(reasons.KIND_UNKNOWN, text, 2.0)
