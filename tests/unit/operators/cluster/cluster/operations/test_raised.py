"""What a FleetUpgrade raised: how it is given up, and what becomes of nodes that it lets stay."""

from __future__ import annotations

from typing import Any, cast

import pytest
import structlog
from tests.unit.operators.cluster.builders import NOW
from tests.unit.operators.cluster.cluster.operations.upgrade_world import ERROR, NEW, OLD, World

from kok.api.cluster.status import ComponentStatus
from kok.operators.cluster.cluster.conditions import upgrades
from kok.operators.cluster.cluster.decide import decide, running_version
from kok.operators.cluster.cluster.operations import upgrade_calls
from kok.operators.cluster.cluster.operations.upgrade import Upgrade
from kok.operators.cluster.cluster.operations.upgrade_gates import PREFLIGHT
from kok.operators.cluster.cluster.outcome import ClusterOutcome
from kok.operators.cluster.naming import COMPONENTS
from kok.runtime.clock import FakeClock
from kok.runtime.controller.reconciler import Pass
from kok.runtime.policy import Policies
from kok.runtime.settings import Settings


class Raised(World):
    """A Cluster that a FleetUpgrade raised; its status is recorded as the reconciler does."""

    def tick(self, *, seconds: float = 1.0, dies: bool = False) -> Upgrade:
        """One pass."""
        self.now = self.now.fromtimestamp(self.now.timestamp() + seconds, self.now.tzinfo)
        cluster, view = self.cluster, self.view
        decided = decide(cluster, view, Policies(), self.now)
        found = decided.upgrade
        p: Pass[Any] = Pass(
            obj=cluster,
            status=cluster.status.model_copy(deep=True),
            kube=cast("Any", None),
            clock=FakeClock(self.now),
            now=self.now,
            log=structlog.stdlib.get_logger(),
            settings=Settings(),
        )
        upgrade_calls.record(p, found, view)
        self._act(decided.versions_once_answering, found)
        outcome = ClusterOutcome(view, upgrade=found)
        if found.at(PREFLIGHT):
            outcome.findings = list(self.findings)
        p.status.version = running_version(cluster, self.view)
        p.status.components = [
            ComponentStatus(name=name, version=version)
            for name, version in self.components.items()
            if name not in self.rolling
        ]
        upgrades.note(p.status, cluster, outcome)
        self.status = p.status.manifest()
        return found

    def forbid(self) -> None:
        """Its owner opts it out."""
        self.spec["upgrade"] = {**self.spec.get("upgrade", {}), "fleet": "Forbid"}


def a_raised(to: str = NEW, spec: str = OLD, running: str = OLD, **rest: Any) -> Raised:
    status = {
        "version": running,
        "nodesVersion": running,
        "components": [{"name": c, "version": running} for c in COMPONENTS],
        "raised": {"to": to, "by": "team-a/june", "at": NOW.isoformat(), **rest},
    }
    made = dict.fromkeys(COMPONENTS, running)
    return Raised({"version": spec}, status, components=made, addons=running)


def backed_out(**rest: Any) -> Raised:
    world = a_raised(**rest)
    world.spec["upgrade"] = {"onFailure": "BackOut"}
    world.broken = {NEW}
    world.settle(10)
    world.tick(seconds=700)
    world.settle(10)
    assert world.parsed.upgrade is not None
    assert world.parsed.upgrade.step == "BackedOut"
    return world


def test_one_that_went_back_is_given_up_by_its_owner() -> None:
    world = backed_out()
    assert world.parsed.raised is not None
    world.forbid()
    world.settle(3)
    assert (world.parsed.raised, world.parsed.upgrade) == (None, None)
    assert world.parsed.version == OLD
    assert world.components == dict.fromkeys(COMPONENTS, OLD)


def test_one_whose_preflight_blocks_is_given_up_by_its_owner() -> None:
    world = a_raised()
    world.findings = (ERROR,)
    world.settle(3)
    assert world.parsed.upgrade is not None
    world.forbid()
    world.settle(3)
    assert (world.parsed.raised, world.parsed.upgrade, world.parsed.version) == (None, None, OLD)


def test_what_was_raised_before_does_not_go_down_by_that() -> None:
    world = backed_out(running="1.36.4", spec="1.36.3")
    world.forbid()
    world.settle(3)
    raised = world.parsed.raised
    assert raised is not None
    assert (raised.to, raised.by) == ("1.36.4", "team-a/june")
    assert (world.parsed.version, world.parsed.upgrade) == ("1.36.4", None)


def test_one_that_is_under_way_or_through_stays_raised() -> None:
    world = a_raised()
    world.broken = {NEW}
    world.settle(5)
    assert world.parsed.upgrade is not None
    assert world.parsed.upgrade.step == "APIServer"
    world.forbid()
    world.settle(5)
    assert world.parsed.raised is not None
    world.broken = set()
    world.settle()
    assert (world.parsed.version, world.parsed.upgrade) == (NEW, None)
    assert world.parsed.raised is not None
    assert world.parsed.raised.to == NEW


def test_a_spec_that_went_further_and_back_leaves_what_was_raised() -> None:
    world = a_raised(to="1.37.1", spec="1.37.0", running="1.37.1")
    world.settle(2)
    world.findings = (ERROR,)
    world.spec["version"] = "1.37.2"
    world.settle(3)
    assert world.parsed.upgrade is not None, "its preflight blocks"
    world.spec["version"] = "1.37.0"
    world.settle()
    assert world.components == dict.fromkeys(COMPONENTS, "1.37.1")
    assert (world.parsed.version, world.parsed.upgrade) == ("1.37.1", None)
    assert world.parsed.raised is not None
    assert world.parsed.raised.to == "1.37.1"


@pytest.mark.parametrize("wish", ["Never", "Separate"])
@pytest.mark.parametrize("early", [False, True])
def test_nodes_stay_also_once_git_has_caught_up(wish: str, *, early: bool) -> None:
    world = a_raised(nodes=wish)
    if early:
        world.settle(3)
        world.spec["version"] = NEW
    world.settle()
    world.spec["version"] = NEW
    world.settle(3)
    assert (world.parsed.version, world.parsed.raised) == (NEW, None)
    held = world.parsed.nodes_held
    assert held is not None
    assert (held.to, held.by, held.nodes) == (NEW, "team-a/june", wish)
    assert world.parsed.nodes_version == OLD
    # The next upgrade is their owner's, and they follow it.
    world.spec["version"] = "1.37.2"
    world.settle()
    assert (world.parsed.nodes_version, world.parsed.nodes_held) == ("1.37.2", None)


def test_nodes_follow_where_a_fleet_lets_them() -> None:
    world = a_raised(nodes="Follow")
    world.tick()
    assert world.parsed.nodes_version == OLD
    world.settle()
    assert (world.parsed.nodes_version, world.parsed.nodes_held) == (NEW, None)


def test_nodes_that_are_held_back_and_in_the_way_are_told_how_to_go_on() -> None:
    world = a_raised(to="1.37.1", spec="1.33.4", running="1.33.4", nodes="Never")
    world.spec["upgrade"] = {"chained": True}
    world.status["nodes"] = {"ready": 1, "total": 1, "versions": {"1.33.4": 1}}
    world.settle()
    assert world.parsed.upgrade is not None
    assert world.parsed.upgrade.step == "Nodes"
    assert "team-a/june is Never: write spec.version" in world.parsed.upgrade.waiting_for
