"""What failures stop, and how what failed or was skipped is tried again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.operators.cluster.fleetupgrade.fleets import (
    FIVE,
    NEW,
    five_clusters,
    ready,
    run,
)

from kok.operators.cluster import reasons


def test_failures_stop_it_and_those_under_way_finish() -> None:
    world = five_clusters({"name": "all", "maxParallel": 2})
    world.begin()
    world.block("c0")
    world.step()
    assert world.states() == dict(zip(FIVE, ["Failed", "Upgrading", *["Waiting"] * 3], strict=True))
    assert ready(world)[0] == "Stopped"
    assert "1 under way finish" in ready(world)[2]
    world.finish("c1")
    world.step()
    assert world.states()["c1"] == "Done"
    assert not world.under_way()
    assert world.fleet.status.ended_at is None

    world.set(stop_after_failures=2)
    world.step()
    assert world.under_way() == ["c2", "c3"]
    assert world.fleet.status.condition("Stopped") is None


def test_a_wave_of_which_none_got_through_is_the_last() -> None:
    world = five_clusters(stopAfterFailures="100%")
    world.begin()
    world.block("c0")
    world.step()

    assert ready(world)[0] == "Stopped"
    assert "no Cluster of wave canary got through" in ready(world)[2]
    assert "stopAfterFailures" not in ready(world)[2], "which would not help"


@pytest.mark.parametrize("deleted", [True, False], ids=["deleted", "opted out"])
def test_a_failed_canary_that_is_taken_out_lets_the_others_go_on(deleted: bool) -> None:
    world = five_clusters()
    world.begin()
    world.block("c0")
    world.step()
    assert ready(world)[0] == "Stopped"
    if deleted:
        del world.clusters["team-a/c0"]
    else:
        world.change("c0", forbids=True)
    world.annotate(retry="without it")
    world.step()
    world.step()
    expected = reasons.CLUSTER_GONE if deleted else reasons.OPTED_OUT
    assert (world.states()["c0"], world.rows["team-a/c0"].reason) == ("Skipped", expected)
    run(world)
    assert ready(world)[:2] == ("Completed", reasons.FLEET_COMPLETED)
    assert set(world.states().values()) == {"Skipped", "Done"}


def test_with_fewer_failures_than_allowed_it_goes_on_and_says_so_at_the_end() -> None:
    world = five_clusters({"name": "all", "maxParallel": 5}, stopAfterFailures="40%")
    world.begin()
    world.block("c0")
    world.step()
    run(world)
    assert ready(world)[:2] == ("Completed", reasons.FLEET_FAILURES)
    assert not world.fleet.status.is_true("Ready")
    assert world.fleet.status.counts.failed == 1


@pytest.mark.parametrize("gone", ["c2 c3", "c3 c4", "c2 c4"])
def test_nobody_is_begun_once_deleted_clusters_make_failures_too_large_a_share(gone: str) -> None:
    world = five_clusters({"name": "all", "maxParallel": 2}, stopAfterFailures="50%")
    world.begin()
    world.finish("c1")
    world.block("c0")
    # One failure of five is allowed, one of three is not.
    for name in gone.split():
        del world.clusters[f"team-a/{name}"]
    world.step()
    world.step()
    assert world.under_way() == []
    assert ready(world)[0] == "Stopped"


def test_one_that_mends_itself_is_done_after_all() -> None:
    world = five_clusters({"name": "all", "maxParallel": 1})
    world.begin()
    world.block("c0")
    world.step()
    world.finish("c0")
    world.step()
    assert world.states()["c0"] == "Done"
    assert world.under_way() == ["c1"]


def test_what_failed_is_tried_again_with_the_same_plan() -> None:
    world = five_clusters()
    world.begin()
    world.block("c0")
    world.step()
    world.later(hours=1)
    world.annotate(retry="1")
    world.step()
    assert world.states()["c0"] == "Waiting"
    world.step()
    assert world.raised == ["team-a/c0", "team-a/c0"], "it is raised once more"
    assert world.clusters["team-a/c0"].raised_at == world.now
    world.step()
    assert world.under_way() == ["c0"], "the same annotation asks only once"
    run(world)
    assert ready(world)[1] == reasons.FLEET_COMPLETED


def test_what_was_skipped_is_tried_again_after_the_end() -> None:
    world = five_clusters()
    world.change("c3", hibernates=True)
    world.begin()
    run(world)
    assert world.fleet.status.report is not None
    assert world.fleet.status.counts.skipped == 1
    world.change("c3", hibernates=False)
    world.step()
    assert not world.under_way()

    world.annotate(retry="now")
    world.begin()
    assert world.under_way() == ["c3"]
    assert world.fleet.status.report is None
    run(world)
    assert world.fleet.status.summary == "5/5"


def test_cluster_of_another_wave_still_under_way_counts_for_all() -> None:
    """One of an earlier wave is tried again while others are under way: together no more than may be."""
    world = five_clusters(
        {"name": "one", "names": ["c0", "c1"], "maxParallel": 2},
        {"name": "rest", "maxParallel": 2},
        stopAfterFailures=2,
    )
    world.begin()
    world.block("c0")
    world.finish("c1")
    world.step()
    assert world.under_way() == ["c2", "c3"]
    world.annotate(retry="1")
    world.later(minutes=5)
    world.begin()
    assert world.under_way() == ["c2", "c3"]
    world.change("c2", runs=NEW, upgrade=None)
    world.step()
    assert sorted(world.under_way()) == ["c0", "c3"]
    assert replace(world.rows["team-a/c0"], since=None).state == "Upgrading"
