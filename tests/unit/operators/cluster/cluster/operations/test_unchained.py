"""Where minors are not chained nothing goes further than one, whatever edits of the spec come to."""

from __future__ import annotations

import pytest
from tests.unit.operators.cluster.builders import NOW
from tests.unit.operators.cluster.cluster.operations.upgrade_world import (
    ERROR,
    World,
    a_world,
)

from kok.operators.cluster.cluster.conditions import upgrades
from kok.operators.cluster.cluster.decide import next_look
from kok.operators.cluster.cluster.operations.upgrade import Upgrade
from kok.operators.cluster.cluster.outcome import ClusterOutcome
from kok.operators.cluster.naming import API_SERVER, COMPONENTS

FIRST, SECOND, THIRD = "1.35.4", "1.36.4", "1.37.1"


def told(world: World, found: Upgrade) -> tuple[str, str]:
    """Reason and message of `Progressing`, as after a pass."""
    said = upgrades.progressing(world.cluster, ClusterOutcome(world.view, upgrade=found), None)
    assert said is not None
    return said.reason, said.message


def test_two_edits_of_a_minor_each_are_not_begun_and_it_says_what_to_write() -> None:
    world = a_world(to=THIRD, running=FIRST)
    world.settle(10)
    assert world.components == dict.fromkeys(COMPONENTS, FIRST)
    assert world.steps == ["Preflight"]
    reason, message = told(world, world.tick())
    assert reason == "UpgradeBlocked"
    assert message.startswith(f"{FIRST} -> {THIRD}: ")
    assert f"write spec.version: {SECOND} first, or set spec.upgrade.chained to true" in message


def test_one_that_is_not_begun_is_blocked_for_others_too() -> None:
    world = a_world(to=THIRD, running=FIRST)
    found = world.tick()
    status = world.parsed
    upgrades.note(status, world.cluster, ClusterOutcome(world.view, upgrade=found))
    assert status.upgrade is not None
    assert [f"write spec.version: {SECOND}" in one for one in status.upgrade.blocked_by] == [True]


def test_what_it_says_helps() -> None:
    world = a_world(to=THIRD, running=FIRST)
    world.settle(3)
    world.spec["version"] = SECOND
    world.settle()
    assert world.parsed.version == SECOND
    world.spec["version"] = THIRD
    world.settle()
    assert world.parsed.version == THIRD

    world = a_world(to=THIRD, running=FIRST)
    world.settle(3)
    world.now = NOW.replace(year=NOW.year + 1)
    world.spec["upgrade"] = {"chained": True}
    assert not world.tick().stuck, "it was not late before"
    world.settle()
    assert world.parsed.version == THIRD


def test_a_second_edit_before_the_first_one_was_begun_begins_nothing() -> None:
    world = a_world(to=SECOND, running=FIRST)
    world.findings = (ERROR,)
    world.settle(3)
    world.spec["version"] = THIRD
    world.findings = ()
    world.settle()
    assert world.components == dict.fromkeys(COMPONENTS, FIRST)
    assert told(world, world.tick())[0] == "UpgradeBlocked"


@pytest.mark.parametrize("addons", [FIRST, None], ids=["with addons", "without any"])
def test_what_was_begun_goes_on_until_all_components_run_it(addons: str | None) -> None:
    world = a_world(to=SECOND, running=FIRST)
    world.addons = addons
    while world.steps[-1:] != ["APIServer"]:
        world.tick()
    world.spec["version"] = THIRD
    world.tick()
    assert world.steps[-1] == "APIServer", "half of it is no state to stay in"
    while world.parsed.version != SECOND:
        world.go()
        found = world.tick()
    assert world.components == dict.fromkeys(COMPONENTS, SECOND)
    if addons is None:
        outcome = ClusterOutcome(world.view, upgrade=found)
        look = next_look(world.cluster, world.parsed, outcome, world.now)
        assert look is not None
        assert look < 1, "nobody else wakes it for what is wanted by now"
    world.settle()
    assert world.parsed.version == THIRD


def test_a_chain_that_is_no_longer_wanted_ends_at_the_minor_that_it_goes_to() -> None:
    world = a_world(to=THIRD, running="1.34.4", upgrade={"chained": True})
    while world.components[API_SERVER] != FIRST:
        world.tick()
        world.go()
    world.spec["upgrade"] = {"chained": False}
    world.settle()
    assert world.components == dict.fromkeys(COMPONENTS, FIRST)
    assert f"write spec.version: {SECOND} first" in told(world, world.tick())[1]


def test_one_that_a_fleet_raised_says_how_that_is_given_up() -> None:
    world = a_world(to=FIRST, running=FIRST)
    world.status["raised"] = {"to": THIRD, "by": "team-a/june", "at": "2026-11-22T11:00:00Z"}
    world.settle(5)
    assert world.components == dict.fromkeys(COMPONENTS, FIRST)
    message = told(world, world.tick())[1]
    assert "set spec.upgrade.chained to true" in message
    assert "spec.upgrade.fleet to Forbid" in message
    world.spec["upgrade"] = {"fleet": "Forbid"}
    world.settle(3)
    assert world.parsed.upgrade is None
