"""An upgrade that hangs says so, and goes back where it may."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.unit.operators.cluster.cluster.operations.upgrade_world import (
    ERROR,
    NEW,
    OLD,
    World,
    a_world,
)

from kok.api.cluster.upgrade import UpgradeFinding
from kok.operators.cluster.cluster.operations import upgrade
from kok.operators.cluster.naming import API_SERVER, COMPONENTS


def test_a_version_that_never_gets_ready_is_named_after_the_deadline() -> None:
    world = a_world()
    world.broken = {NEW}
    world.settle(10)
    assert not world.tick().stuck
    found = world.tick(seconds=700)
    assert found.stuck
    assert world.steps[-1] == "APIServer"
    assert world.parsed.version == OLD


def test_what_hangs_goes_back_by_itself_and_is_not_tried_again() -> None:
    world = a_world(upgrade={"onFailure": "BackOut"})
    world.broken = {NEW}
    world.settle(10)
    world.tick(seconds=700)
    world.settle(10)
    assert world.components == dict.fromkeys(COMPONENTS, OLD)
    assert world.steps[-1] == "BackedOut"
    assert world.ended == ["BackedOut"]
    world.settle(10)
    assert world.ended == ["BackedOut"]
    assert world.components == dict.fromkeys(COMPONENTS, OLD)
    world.broken = set()
    world.annotations = {"kok.dev/upgrade-retry": "1"}
    world.settle()
    assert world.parsed.version == NEW
    assert world.ended == ["BackedOut", "Done"]


def test_what_was_taken_back_is_tried_again_when_a_fleet_raises_it_once_more() -> None:
    world = a_world(to=OLD, upgrade={"onFailure": "BackOut"})
    world.broken = {NEW}
    world.status["raised"] = {"to": NEW, "by": "team-a/june", "at": "2026-11-22T11:00:00Z"}
    world.settle(10)
    world.tick(seconds=700)
    world.settle(10)
    assert world.ended == ["BackedOut"]
    world.broken = set()
    world.settle(10)
    assert world.parsed.version == OLD
    world.status["raised"]["at"] = "2026-11-22T12:30:00Z"
    world.settle()
    assert world.parsed.version == NEW
    assert world.ended == ["BackedOut", "Done"]


def hanging(**spec: Any) -> World:
    """A World in which the new version never gets ready, as of a moment ago."""
    world = a_world(upgrade={"onFailure": "BackOut"}, **spec)
    world.broken = {NEW}
    world.settle(10)
    assert world.steps[-1] == "APIServer"
    return world


def goes_back(world: World, *, seconds: float = 1.0) -> bool:
    """Whether the next pass finds it on the way back."""
    found = world.tick(seconds=seconds)
    assert found.status is not None
    return found.status.backing_out


def test_time_asleep_is_not_held_against_an_upgrade() -> None:
    world = hanging()
    world.spec["hibernate"] = world.etcd_asleep = True
    world.tick(seconds=86400)
    world.spec["hibernate"] = False
    assert not goes_back(world, seconds=86400), "etcd starts first"
    world.etcd_asleep = False
    assert not goes_back(world, seconds=60), "it has its time from when it woke"
    assert goes_back(world, seconds=700)


def test_time_paused_is_not_held_against_an_upgrade() -> None:
    world = hanging()
    world.now += timedelta(days=1)
    world.spec["paused"] = True
    found = upgrade.decide(world.cluster, world.view, world.now)
    assert found.status is not None
    assert (found.stuck, found.status.backing_out) == (False, False)
    world.spec["paused"] = False
    since = {"type": "Paused", "reason": "SpecPaused", "lastTransitionTime": "2026-11-22T12:00:00Z"}
    world.status["conditions"] = [{**since, "status": "True", "message": ""}]
    assert not goes_back(world)
    world.status["conditions"] = []
    assert not goes_back(world, seconds=60)
    assert goes_back(world, seconds=700)


def test_a_preflight_of_which_nothing_comes_hangs_as_well_and_changes_nothing() -> None:
    world = a_world(upgrade={"onFailure": "BackOut"})
    world.tick()
    for _ in range(3):
        cluster = world.cluster
        cluster.status.upgrade.findings = None  # type: ignore[union-attr]
        world.status = cluster.status.manifest()
        found = world.tick(seconds=500)
    assert found.stuck
    assert world.steps == ["Preflight"]
    assert found.holds


def test_what_was_blocked_for_long_is_not_late_once_that_is_mended() -> None:
    world = a_world()
    world.findings = (ERROR,)
    for _ in range(3):
        assert not world.tick(seconds=3600).stuck, "it is blocked, which is told as such"
    cluster = world.cluster
    cluster.status.upgrade.findings = None  # type: ignore[union-attr]
    world.status = cluster.status.manifest()
    assert not world.tick(seconds=60).stuck


def test_an_addon_that_was_sick_before_does_not_hold_up_the_way_back() -> None:
    world = a_world()
    sick = {"check": "AddonHealth", "severity": "Warning", "object": "coredns", "message": "sick"}
    world.findings = (UpgradeFinding.model_validate(sick),)
    world.broken = {NEW}
    world.settle(8)
    world.spec["version"] = OLD
    found = world.tick()
    assert found.status is not None
    assert found.status.backing_out
    assert [f.object for f in found.status.findings or ()] == ["coredns"]


def test_another_version_in_the_spec_is_tried_after_one_that_was_taken_back() -> None:
    world = a_world(to="1.37.0", upgrade={"onFailure": "BackOut"})
    world.broken = {"1.37.0"}
    world.settle(10)
    world.tick(seconds=700)
    world.settle(10)
    world.spec["version"] = NEW
    world.settle()
    assert world.parsed.version == NEW


def test_the_spec_may_go_back_while_the_new_version_hangs() -> None:
    world = a_world()
    world.broken = {NEW}
    world.settle(8)
    world.spec["version"] = OLD
    world.settle()
    assert world.components == dict.fromkeys(COMPONENTS, OLD)
    assert world.parsed.upgrade is None
    assert world.parsed.version == OLD


def test_no_way_back_once_all_api_servers_have_been_at_the_minor() -> None:
    world = a_world()
    world.settle()
    assert world.parsed.lowest_version == NEW
    world.spec["version"] = OLD
    found = world.tick()
    assert found.refused is not None
    assert "EtcdRestore" in found.refused
    world.settle(5)
    assert world.components == dict.fromkeys(COMPONENTS, NEW)


def test_an_api_server_that_alone_got_further_goes_back_alone() -> None:
    world = a_world(to="1.36.4", running="1.35.4")
    world.settle(1)
    world.tick()
    assert world.components[API_SERVER] == "1.36.4"
    # Before the others follow, another patch level is asked for, and something speaks against it.
    world.findings = (ERROR,)
    world.spec["version"] = "1.36.3"
    world.go()
    world.tick()
    world.findings = ()
    world.settle()
    assert world.parsed.version == "1.36.3"


def test_patch_levels_go_both_ways() -> None:
    world = a_world(to="1.36.3")
    world.settle()
    assert world.components == dict.fromkeys(COMPONENTS, "1.36.3")
    assert world.parsed.upgrade is None
    assert world.parsed.lowest_version == OLD
