"""What looks after a FleetUpgrade dies behind any write, and the next one goes on: nothing is done twice.

And at what cost in requests: one list, and for each Cluster one raise.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.integration.killing import Mortal
from tests.integration.operators.fleets.conftest import FLEET, NEW, Actors, Fleets, states

from kok.api.cluster.fleetupgrade import FleetUpgrade
from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.operators.cluster.fleetupgrade.reconcile import FleetUpgradeReconciler
from kok.operators.cluster.wakeups import Wakeups
from kok.runtime.controller.reconciler import Reconciler
from kok.versions.knowledge import Releases

NAMES = [f"c{n}" for n in range(5)]


class MortalFleets(Mortal):
    """Looks after FleetUpgrade `patch`, and remembers the plans that it saw."""

    operator, kind = "cluster", FLEET

    def __init__(self, kube: Kube, namespace: str) -> None:
        super().__init__(kube, namespace, itertools.repeat(1), "patch")
        self.plans: set[tuple[Any, ...]] = set()
        self.phases: list[str] = []

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Sequence[Reconciler[Any]]]:
        """One that knows nothing but what is stored."""
        yield (FleetUpgradeReconciler(Releases, Wakeups()),)

    def doing(self, found: Manifest) -> str:
        """The phase; and the plan is the same whoever goes on with it."""
        fleet = FleetUpgrade.parse(found)
        rows = fleet.status.table()
        if rows:
            self.plans.add(tuple((key, row.wave, row.from_, row.to) for key, row in rows.items()))
        phase = fleet.status.phase or "new"
        if phase not in self.phases[-1:]:
            self.phases.append(phase)
        return phase


def through(found: Manifest) -> bool:
    return bool((found.get("status") or {}).get("phase") == "Completed")


async def test_a_fleet_is_upgraded_whenever_its_operator_dies(
    fleets: Fleets, kube: Kube, namespace: str, actors: Actors
) -> None:
    mortal = MortalFleets(kube, namespace)
    await fleets.clusters(*NAMES)
    await fleets.make(
        waves=[{"name": "first", "percent": 20}, {"name": "rest", "maxParallel": 2}],
    )
    await fleets.change({"metadata": {"finalizers": [mortal.finalizer]}})
    found = FleetUpgrade.parse(await mortal.work(through))

    assert states(found) == dict.fromkeys(NAMES, "Done")
    assert len(mortal.plans) == 1, "the plan is made once"
    assert actors.most <= 2
    for name in NAMES:
        assert len(actors.raises[name]) == 1, (
            "each is raised once, or once more with the same words"
        )
        assert actors.raises[name][0]["to"] == NEW
    assert len(mortal.points) > 5
    assert any("clusters" in point.partition(" before ")[2] for point in mortal.points)
    await mortal.quiet()


async def test_a_fleet_costs_a_list_and_one_raise_a_cluster(
    fleets: Fleets, kube: Kube, namespace: str, actors: Actors
) -> None:
    names = [f"m{n:02}" for n in range(40)]
    await fleets.clusters(*names)
    await fleets.make(waves=[{"name": "all", "maxParallel": 40}])
    mortal = MortalFleets(kube, namespace)
    mortal.lives = itertools.repeat(10_000)
    await fleets.change({"metadata": {"finalizers": [mortal.finalizer]}})
    made: Counter[str] = Counter()
    spend = mortal.spend

    def counted(what: str) -> None:
        made["raise" if "/clusters/" in what else "other"] += 1
        spend(what)

    mortal.spend = counted  # type: ignore[method-assign]
    await mortal.work(through)

    assert made["raise"] == len(names)
    assert made["other"] < 20, made
    await mortal.quiet()
