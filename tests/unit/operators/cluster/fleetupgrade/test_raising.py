"""One Cluster that cannot be raised is no matter of the others."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.unit.operators.cluster.fleetupgrade.fleets import NEW, NOW, World, a_fleet, a_member

from kok.kube.errors import Conflict, Forbidden, InvalidObject, KubeError, Unreachable
from kok.operators.cluster.fleetupgrade.decision import (
    FleetDecision,
    FleetView,
    Raise,
)
from kok.operators.cluster.fleetupgrade.raising import Raising
from kok.operators.cluster.fleetupgrade.reconcile import FleetUpgradeReconciler
from kok.operators.cluster.staging.followed import FollowedClusters
from kok.operators.cluster.staging.standing import AT_ONCE, Standing
from kok.operators.cluster.wakeups import Wakeups
from kok.versions.knowledge import Releases

DENIED = Forbidden(403, "Forbidden", 'admission webhook "w" denied the request')
BROKEN = KubeError(500, "InternalError", 'failed calling webhook "w"')


class Server:
    """Takes the status of every Cluster but of some."""

    def __init__(self, errors: dict[str, Exception]) -> None:
        self.errors = errors
        self.raised: list[str] = []

    async def patch(
        self, _kind: Any, name: str, namespace: str, _patch: Any, *, subresource: str
    ) -> Any:
        assert subresource == "status"
        if name in self.errors:
            raise self.errors[name]
        self.raised.append(name)
        return {"metadata": {"name": name, "namespace": namespace, "resourceVersion": "2"}}


def raising(server: Server, now: Any = NOW) -> Raising:
    clusters = {one.key: one for one in map(a_member, "abc")}
    kube = cast("Any", server)
    return Raising(kube, a_fleet(), clusters, FollowedClusters(), Wakeups(), now=now)


RAISES = [Raise(f"team-a/{name}", NEW, NOW) for name in "abc"]


@pytest.mark.parametrize("error", [DENIED, InvalidObject(422, "Invalid", "no")])
async def test_what_a_webhook_or_policy_refuses_is_told_of_that_cluster(error: KubeError) -> None:
    server = Server({"b": error})
    found = raising(server)
    await found.run(RAISES)
    assert found.refused == {"team-a/b": error.message}
    assert server.raised == ["a", "c"]


async def test_a_webhook_that_is_down_is_tried_again_but_not_for_ever() -> None:
    server = Server({"b": BROKEN})
    soon = raising(server, NOW + timedelta(minutes=9))
    with pytest.raises(KubeError):
        await soon.run(RAISES)
    assert soon.refused == {}
    assert server.raised == ["a", "c"]
    late = raising(server, NOW + timedelta(minutes=11))
    await late.run(RAISES)
    assert late.refused == {"team-a/b": BROKEN.message}


@pytest.mark.parametrize("error", [Unreachable("gone"), Unreachable("busy", status=503)])
async def test_an_api_that_is_away_speaks_against_no_cluster(error: KubeError) -> None:
    late = raising(Server({"b": error}), NOW + timedelta(days=1))
    with pytest.raises(Unreachable):
        await late.run(RAISES)
    assert late.refused == {}


async def test_one_that_changed_meanwhile_is_looked_at_again() -> None:
    found = raising(Server({"b": Conflict(409, "Conflict", "changed")}), NOW + timedelta(days=1))
    await found.run(RAISES)
    assert (found.again, found.refused) == (True, {})


async def test_after_a_refusal_the_next_ones_have_their_turn_at_once() -> None:
    world = World.of(a_fleet(), *map(a_member, "abc"))
    world.begin()
    decision = FleetDecision(Standing("Upgrading", "WaveUnderWay", ""), raises=(RAISES[0],))
    reconciler = FleetUpgradeReconciler(Releases, Wakeups())
    view = FleetView(world.clusters)
    outcome = reconciler.outcome(view, decision)
    p = cast("Any", SimpleNamespace(kube=Server({"a": DENIED}), obj=world.fleet, now=world.now))
    assert await reconciler.act(p, view, decision, outcome) == AT_ONCE
    assert outcome.refused == {"team-a/a": DENIED.message}
