"""Which Clusters count as another FleetUpgrade's."""

from __future__ import annotations

from typing import Any, cast

import pytest
from tests.unit.operators.cluster.fleetupgrade.fleets import World, a_fleet, a_member

from kok.operators.cluster.fleetupgrade.observe import claims
from kok.runtime.settings import Settings


class Server:
    """FleetUpgrades as an API server has them."""

    def __init__(self, *fleets: dict[str, Any]) -> None:
        self.fleets = fleets

    async def list(self, _kind: Any, namespace: str | None, *, keep: Any, **_: Any) -> list[Any]:
        return [
            keep(one) for one in self.fleets if namespace in {None, one["metadata"]["namespace"]}
        ]


def of_namespace(namespace: str) -> dict[str, Any]:
    """A FleetUpgrade that has, by what its status says, a Cluster of team-a under way."""
    world = World.of(a_fleet("other"), a_member("shop"))
    world.begin()
    manifest = world.fleet.manifest()
    manifest["metadata"]["namespace"] = namespace
    return manifest


@pytest.mark.parametrize(
    ("namespace", "expected"),
    [
        ("team-a", {"team-a/shop": "team-a/other"}),
        ("kok-system", {"team-a/shop": "kok-system/other"}),
        ("team-b", {}),
    ],
)
async def test_nobody_has_what_he_may_not_raise(namespace: str, expected: Any) -> None:
    kube = cast("Any", Server(of_namespace(namespace)))
    settings = Settings(lease_namespace="kok-system")
    assert await claims(kube, a_fleet("wide"), [""], settings) == expected
