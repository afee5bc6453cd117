"""What Prometheus sees of a FleetUpgrade."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import REGISTRY
from tests.unit.operators.cluster.fleetupgrade.fleets import World, a_fleet, a_member

from kok.operators.cluster import metrics
from kok.operators.cluster.fleetupgrade.reconcile import FleetUpgradeReconciler
from kok.operators.cluster.wakeups import Wakeups
from kok.versions.knowledge import Releases


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    metrics.forget_fleet("team-a", "patch")


def series() -> dict[str, float]:
    """All series of FleetUpgrades by their name, with the label that is not the object's."""
    return {
        ":".join(
            [
                sample.name.removeprefix("kok_fleet_upgrade_"),
                *(v for k, v in sample.labels.items() if k not in {"namespace", "name"}),
            ]
        ): sample.value
        for metric in REGISTRY.collect()
        if metric.name.startswith("kok_fleet_upgrade")
        for sample in metric.samples
    }


def shown(world: World) -> dict[str, float]:
    metrics.show_fleet("team-a", "patch", world.fleet.status)
    return series()


def a_world(*names: str, **spec: Any) -> World:
    return World.of(a_fleet(**spec), *(a_member(name) for name in names))


def test_clusters_are_counted_by_state_and_the_phase_is_one() -> None:
    world = a_world("a", "b", "c")
    assert shown(world) == {}, "there is no plan yet"
    world.begin()
    began = world.now.timestamp()
    assert shown(world) == {
        "clusters:waiting": 2,
        "clusters:upgrading": 1,
        "clusters:done": 0,
        "clusters:failed": 0,
        "clusters:skipped": 0,
        "phase:Upgrading": 1,
        "stopped": 0,
        "moved_timestamp_seconds": began,
    }
    world.later(minutes=5)
    world.step()
    assert shown(world)["moved_timestamp_seconds"] == began
    world.finish("a")
    world.step()
    assert shown(world)["moved_timestamp_seconds"] == world.now.timestamp()


def test_it_is_shown_that_failures_stopped_it() -> None:
    world = a_world("a", "b", "c")
    world.begin()
    world.block("a")
    world.later(minutes=2)
    world.step()
    found = shown(world)
    assert (found["stopped"], found["clusters:failed"], found["phase:Stopped"]) == (1, 1, 1)
    assert "phase:Upgrading" not in found


def test_of_one_that_ended_well_nothing_is_left() -> None:
    world = a_world("a", waves=[{"name": "all"}])
    world.begin()
    assert shown(world)
    world.finish("a")
    world.step()
    world.step()
    assert world.fleet.status.phase == "Completed"
    assert shown(world) == {}


def test_failures_that_are_left_behind_are_shown_until_they_are_mended() -> None:
    world = a_world("a", "b", waves=[{"name": "all"}], stopAfterFailures=2)
    world.begin()
    world.finish("a")
    world.block("b")
    world.later(minutes=2)
    world.step()
    world.step()
    found = shown(world)
    assert (found["clusters:failed"], found["phase:Completed"]) == (1, 1)
    assert "moved_timestamp_seconds" not in found
    world.finish("b")
    world.annotate(retry="1")
    world.step()
    world.step()
    world.step()
    assert world.fleet.status.counts.failed == 0
    assert shown(world) == {}


def test_they_go_with_their_object() -> None:
    world = a_world("a", "b")
    world.begin()
    assert shown(world)
    FleetUpgradeReconciler(Releases, Wakeups()).forget(("team-a", "patch"), "uid-patch")
    assert series() == {}
