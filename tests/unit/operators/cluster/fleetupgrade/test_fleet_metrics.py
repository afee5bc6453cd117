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
    refused = world.decision.refused if world.decision is not None else None
    metrics.show_fleet("team-a", "patch", world.fleet.status, refused)
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


def test_one_that_cannot_begin_or_go_on_is_shown_with_the_reason() -> None:
    world = a_world("a", target={"fixes": "CVE-2026-9999"})
    world.step()
    assert shown(world) == {"refused:CVEUnknown": 1}
    world.releases = Releases.read(
        "format: 1\nissued: 2026-11-30T08:00:00Z\n"
        "vulnerabilities: [{id: CVE-2026-9999, fixed: {'1.37': 1.37.1}}]\n"
    )
    world.begin()
    assert not [name for name in shown(world) if name.startswith("refused")]

    never = a_world("a", window={"cron": "0 25 * * *", "duration": "1h"})
    never.begin()
    assert shown(never)["refused:WindowInvalid"] == 1


def test_they_go_with_their_object() -> None:
    world = a_world("a", "b")
    world.begin()
    assert shown(world)
    FleetUpgradeReconciler(Releases, Wakeups()).forget(("team-a", "patch"), "uid-patch")
    assert series() == {}
