"""Clusters that their owners move, or opt out, after the plan was made."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operators.cluster.fleetupgrade.fleets import NEW, World, a_fleet, a_member

from kok.operators.cluster import reasons
from kok.versions.knowledge import Releases

ONE = [{"name": "all"}]
FIXES = Releases.read(
    """
format: 1
issued: 2026-11-20T08:00:00Z
kubernetes:
  "1.36": {patches: [1.36.3, 1.36.4]}
  "1.37": {patches: [1.37.0, 1.37.1]}
vulnerabilities:
  - {id: CVE-2026-1111, fixed: {"1.36": 1.36.4, "1.37": 1.37.1}}
  - {id: CVE-2026-2222, fixed: {"1.36": 1.36.4}, unfixed: ["1.37"]}
  - {id: CVE-2026-3333, fixed: {"1.36": 1.36.4}}
"""
)


def moved(target: Any, *, begun: bool) -> World:
    """A Cluster of 1.36 that somebody moves to 1.37.0 before its turn, or in the middle."""
    world = World.of(a_fleet(target=target, waves=ONE), a_member("shop", "1.36.3"))
    world.releases = FIXES
    world.step()
    if begun:
        world.step()
        assert world.states() == {"shop": "Upgrading"}
    world.change("shop", version="1.37.0", runs="1.37.0", upgrade=None)
    return world


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("target", [{"fixes": "CVE-2026-1111"}, {"latestPatch": True}])
def test_one_that_is_moved_to_a_later_minor_goes_on_to_what_is_wanted_there(
    target: Any, *, begun: bool
) -> None:
    world = moved(target, begun=begun)
    world.step()
    assert (world.states(), world.rows["team-a/shop"].to) == ({"shop": "Upgrading"}, NEW)
    assert world.clusters["team-a/shop"].raised == NEW
    world.finish("shop")
    world.step()
    assert world.states() == {"shop": "Done"}


@pytest.mark.parametrize("begun", [False, True])
def test_one_that_is_moved_to_a_minor_without_a_fix_is_not_done(*, begun: bool) -> None:
    world = moved({"fixes": "CVE-2026-2222"}, begun=begun)
    world.step()
    row = world.rows["team-a/shop"]
    assert (row.state, row.reason) == ("Skipped", reasons.NO_FIX)
    world.step()
    report = world.fleet.status.report
    assert report is not None
    assert report.result == "NothingUpgraded"
    world.annotate(retry="1")
    world.begin()
    assert world.rows["team-a/shop"].reason == reasons.NO_FIX


def test_one_that_is_moved_while_nobody_knows_the_cve_any_more_is_not_done() -> None:
    world = moved({"fixes": "CVE-2026-1111"}, begun=True)
    world.releases = Releases()
    world.step()
    row = world.rows["team-a/shop"]
    assert (row.state, row.reason) == ("Skipped", reasons.CVE_UNKNOWN)


def test_one_that_is_moved_to_a_minor_that_does_not_have_it_is_done() -> None:
    world = moved({"fixes": "CVE-2026-3333"}, begun=True)
    world.step()
    assert world.states() == {"shop": "Done"}


def test_one_whose_owner_opts_out_and_takes_the_raise_back_is_not_raised_again() -> None:
    world = World.of(a_fleet(waves=ONE), a_member("shop"))
    world.begin()
    world.change("shop", raised="", raised_by="", raised_at=None, upgrade=None, forbids=True)
    world.step()
    assert world.rows["team-a/shop"].reason == reasons.OPTED_OUT
    assert world.clusters["team-a/shop"].raised == ""
