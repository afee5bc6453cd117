"""Where a FleetUpgrade selects, and who is told that he may not, or cannot."""

from __future__ import annotations

from typing import Any, cast

import pytest
from tests.unit.operators.cluster.fleetupgrade.fleets import NOW, a_fleet

from kok.kube.client import Kube
from kok.operators.cluster import reasons
from kok.operators.cluster.fleetupgrade.observe import observe, places_of
from kok.operators.cluster.staging.followed import EVERYWHERE, FollowedClusters
from kok.runtime.clock import FakeClock
from kok.runtime.controller.errors import Invalid
from kok.runtime.settings import Settings

SOME = ("team-a", "team-b")


def settings(*served: str, own: str = "team-a") -> Settings:
    """Of an operator that runs in the FleetUpgrade's namespace."""
    return Settings(namespaces=served, lease_namespace=own)


@pytest.mark.parametrize(
    ("asked", "served", "places"),
    [
        ([], SOME, ("team-a",)),
        (["*"], SOME, SOME),
        (["*"], (), (EVERYWHERE,)),
        (["team-b"], SOME, ("team-b",)),
        (["team-b", "team-z"], (), ("team-b", "team-z")),
    ],
)
def test_it_selects_where_it_names(asked: Any, served: Any, places: Any) -> None:
    assert places_of(a_fleet(namespaces=asked), settings(*served)) == places


def test_namespaces_that_are_not_served_are_told_by_name() -> None:
    asked = ["team-b", *(f"far-{n}" for n in range(10))]
    with pytest.raises(Invalid) as refused:
        places_of(a_fleet(namespaces=asked), settings(*SOME))
    assert refused.value.reason == reasons.NAMESPACES_NOT_SERVED
    assert "names far-0, far-1," in refused.value.message
    assert "and 2 more" in refused.value.message
    assert "team-b" not in refused.value.message


def test_only_the_operators_own_namespace_names_others() -> None:
    with pytest.raises(Invalid) as refused:
        places_of(a_fleet(namespaces=["team-b"]), settings(*SOME, own="kok-system"))
    assert refused.value.reason == reasons.NAMESPACES_FORBIDDEN


@pytest.mark.parametrize("ended", [False, True])
async def test_of_one_that_has_ended_it_stays_said_what_came_of_it(*, ended: bool) -> None:
    fleet = a_fleet(namespaces=["team-z"])
    fleet.status.ended_at = NOW if ended else None
    nowhere = cast("Kube", None)
    view = await observe(nowhere, fleet, FollowedClusters(), FakeClock(NOW), settings(*SOME))
    assert (view.refused is None) == ended
