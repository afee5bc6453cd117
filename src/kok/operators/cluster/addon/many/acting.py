"""Makes, changes, removes and releases the Addons of Clusters, side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from kok.api import names
from kok.api.cluster.addon import Addon
from kok.api.meta import Manifest
from kok.kube.apply.prune import release
from kok.kube.client import Kube
from kok.kube.concurrency import all_of
from kok.kube.decoding.truncation import ANYTHING
from kok.kube.errors import Conflict, Forbidden, InvalidObject, NotFound
from kok.operators.cluster import naming, reasons
from kok.operators.cluster.addon.many.view import Child, ManyDecision
from kok.runtime.children.ensure import Children
from kok.runtime.children.rules import ChildRules
from kok.runtime.controller.errors import Invalid, Wait

ADDON = Addon.info.kind
RULES = ChildRules(
    naming.FIELD_MANAGER,
    creating=reasons.CREATING,
    stale=reasons.STALE_CHILD,
    taken=reasons.NAME_TAKEN,
)
TURNS = 8
"""Requests side by side."""
SOON = 1.0
"""Seconds until the next look at what has changed under our hands."""


class Acting:
    """Those of one pass."""

    def __init__(self, kube: Kube, addon: Addon, refused: dict[str, tuple[str, str]]) -> None:
        """`refused` gets the Clusters whose Addons cannot be made, and why."""
        self._kube, self._addon, self._refused = kube, addon, refused
        self._children = Children(kube, addon, RULES)
        self._turns = asyncio.Semaphore(TURNS)
        self.after: float | None = None
        """Seconds until it is looked again at what is in the way."""

    async def run(self, decision: ManyDecision) -> None:
        """All of it. Raises `KubeError` for what is no fault of one Cluster's."""
        await all_of(
            [
                *(self._make(key, spec) for key, spec in decision.intents.items()),
                *(self._remove(one) for one in decision.removed),
                *(self._release(one) for one in decision.released),
            ]
        )

    def _look_in(self, seconds: float) -> None:
        self.after = min(seconds, self.after if self.after is not None else seconds)

    async def _make(self, cluster: str, spec: Manifest) -> None:
        async with self._turns:
            try:
                # Read once more before it is written: whose it is may have changed.
                await self._children.ensure([intent(self._addon, cluster, spec)], {})
            except Wait as wait:
                if wait.reason == reasons.NAME_TAKEN:
                    # Whoever does something about it wakes us.
                    self._refused[cluster] = (wait.reason, wait.message)
                else:
                    self._look_in(wait.after)
            except Conflict as error:
                self._refused[cluster] = (reasons.NAME_TAKEN, error.message)
            except Invalid as error:
                self._refused[cluster] = (error.reason, error.message)
            except (InvalidObject, Forbidden) as error:
                # A quota, a webhook or a policy.
                self._refused[cluster] = (reasons.RAISE_REFUSED, error.message)

    async def _remove(self, child: Child) -> None:
        async with self._turns:
            try:
                await self._kube.delete(ADDON, child.name, self._addon.namespace, uid=child.uid)
            except Conflict:
                self._look_in(SOON)

    async def _release(self, child: Child) -> None:
        async with self._turns:
            live = await self._kube.get(ADDON, child.name, self._addon.namespace, unread=ANYTHING)
            if live is None or live["metadata"]["uid"] != child.uid:
                return
            try:
                await release(self._kube, ADDON, live, self._addon)
            except (Conflict, NotFound):
                self._look_in(SOON)


def intent(addon: Addon, cluster: str, spec: Mapping[str, object]) -> Manifest:
    """The Addon of one Cluster, without its owner."""
    return {
        "apiVersion": ADDON.api_version,
        "kind": ADDON.kind,
        "metadata": {
            "name": naming.addon_for(addon.name, cluster),
            "labels": {names.LABEL_CLUSTER: cluster},
        },
        "spec": dict(spec),
    }
