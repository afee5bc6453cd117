"""What looks after an Addon for many Clusters dies behind any write, and nobody gets anything too early."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.integration.apiserver import ApiServer
from tests.integration.conftest import CRDS, install_crds
from tests.integration.killing import Mortal
from tests.integration.operators.fleets.addons import ADDON, Addons

from kok.api.cluster.addon import Addon
from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.operators.cluster.addon.many.reconcile import ManyAddonsReconciler
from kok.runtime.controller.reconciler import Reconciler

NAMES = [f"c{n}" for n in range(4)]
WAVES = {"waves": [{"name": "first", "names": ["c2"]}, {"name": "rest", "maxParallel": 2}]}
OLD, NEW = {"level": "old"}, {"level": "new"}


class MortalAddons(Mortal):
    """Looks after Addon `log` alone; the Addons that it makes are Ready a life later."""

    operator, kind = "cluster", ADDON

    def __init__(self, kube: Kube, namespace: str, addons: Addons) -> None:
        super().__init__(kube, namespace, itertools.repeat(1), "log")
        self.addons = addons
        self.had: list[frozenset[str]] = []
        """Clusters that had the new values, as that changed."""
        self.ahead: list[str] = []
        """Clusters that had them before their rows said so."""

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Sequence[Reconciler[Any]]]:
        """One that knows nothing but what is stored."""
        yield (ManyAddonsReconciler(),)

    async def live(self) -> bool:
        """A life, and then the Addons of Clusters say how they are."""
        died = await super().live()
        parent = Addon.parse(await self._object(ADDON, "log"))
        rows = parent.status.rollout.table() if parent.status.rollout is not None else {}
        having = frozenset(await self.addons.having(NEW))
        if having and having not in self.had:
            self.had.append(having)
        self.ahead += [
            one for one in having if rows[one].state not in {"Upgrading", "Done", "Failed"}
        ]
        for name in NAMES:
            child = await self.addons.child(name)
            if child is not None:
                await self._judge(child)
        return died

    async def _judge(self, child: Addon) -> None:
        generation = child.metadata.generation
        said = child.status.condition("Ready")
        if said is not None and said.observed_generation == generation:
            return
        told = {
            "type": "Ready",
            "status": "True",
            "reason": "AsWanted",
            "message": "",
            "lastTransitionTime": "2026-11-22T12:00:00Z",
            "observedGeneration": generation,
        }
        status = {"status": {"conditions": [told]}}
        await self._kube.patch(ADDON, child.name, child.namespace, status, subresource="status")


@pytest.fixture(scope="session")
def addon_crds(api_server: ApiServer) -> None:
    """The kinds that this is about."""
    asyncio.run(install_crds(api_server, [CRDS / f"{n}.yaml" for n in ("clusters", "addons")]))


def through(found: Manifest) -> bool:
    addon = Addon.parse(found)
    spoken = addon.status.observed_generation == addon.metadata.generation
    return spoken and addon.status.is_true("Ready")


async def test_a_change_goes_its_way_whenever_the_operator_dies(
    kube: Kube, namespace: str, addon_crds: None
) -> None:
    addons = Addons(kube, namespace)
    mortal = MortalAddons(kube, namespace, addons)
    await addons.clusters(*NAMES)
    await addons.make(values=OLD, rollout=WAVES)
    finalizers = {"metadata": {"finalizers": [mortal.finalizer]}}
    await kube.patch(ADDON, "log", namespace, finalizers)
    await mortal.work(through)
    assert await addons.having(OLD) == set(NAMES)

    mortal.points.clear()
    await addons.change(values=NEW)
    await mortal.work(through)
    assert await addons.having(NEW) == set(NAMES)
    assert mortal.ahead == [], "nobody has it before that is recorded"
    assert mortal.had[0] == {"c2"}, "the canary first"
    assert len(mortal.points) > 3
    assert any("before PATCH addons/log-c" in point for point in mortal.points), mortal.points
    found = [await addons.child(name) for name in NAMES]
    assert [one.metadata.generation for one in found if one is not None] == [2] * 4, "once each"
    await mortal.quiet()


async def test_at_rest_nothing_is_written(kube: Kube, namespace: str, addon_crds: None) -> None:
    addons = Addons(kube, namespace)
    mortal = MortalAddons(kube, namespace, addons)
    mortal.lives = itertools.repeat(10_000)
    await addons.clusters(*NAMES)
    await addons.make(rollout={"waves": [{"name": "all"}]})
    await kube.patch(ADDON, "log", namespace, {"metadata": {"finalizers": [mortal.finalizer]}})
    await mortal.work(through)
    await mortal.quiet()
