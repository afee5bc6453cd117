"""What is said at the end of a FleetUpgrade that raised nobody, or not all."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operators.cluster.fleetupgrade.fleets import NEW, World, a_fleet, a_member

from kok.operators.cluster import reasons

ONE = [{"name": "all"}]


@pytest.mark.parametrize(
    ("members", "holds", "reason", "told"),
    [
        ([{"paused": True}], False, reasons.NOTHING_UPGRADED, "1 ClusterPaused"),
        ([{"forbids": True}, {"runs": "1.35.4"}], False, reasons.NOTHING_UPGRADED, "1 OptedOut"),
        ([{"runs": NEW}], True, reasons.FLEET_COMPLETED, "0 done"),
        ([{"paused": True}, {}], True, reasons.FLEET_COMPLETED, "1 done"),
        ([{"paused": True}, {"runs": NEW}], False, reasons.NOTHING_UPGRADED, "1 ClusterPaused"),
    ],
)
def test_where_nothing_got_through_that_was_to_it_is_not_ready(
    members: list[dict[str, Any]], holds: bool, reason: str, told: str
) -> None:
    found = (a_member(f"c{n}", **one) for n, one in enumerate(members))
    world = World.of(a_fleet(waves=ONE), *found)
    world.begin()
    world.finish(*world.under_way())
    world.step()
    world.step()
    assert world.fleet.status.phase == "Completed"
    ready = world.fleet.status.condition("Ready")
    assert ready is not None
    assert (ready.status == "True", ready.reason) == (holds, reason)
    assert told in ready.message
