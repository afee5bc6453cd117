"""How a FleetUpgrade goes on, pass by pass."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.operators.cluster.fleetupgrade.fleets import (
    FIVE,
    NEW,
    NOW,
    World,
    a_fleet,
    a_member,
    five_clusters,
    ready,
    run,
)

from kok.api.cluster.contract import Said, UnderWay
from kok.operators.cluster import reasons
from kok.operators.cluster.fleetupgrade import decide
from kok.operators.cluster.fleetupgrade.decision import FleetView
from kok.runtime.controller.errors import Invalid


def test_a_plan_is_recorded_before_anything_is_raised() -> None:
    world = five_clusters()
    world.step()

    assert not world.raised
    assert world.fleet.status.started_at == NOW
    assert set(world.states().values()) == {"Waiting"}
    assert world.fleet.status.plan[0].clusters == ["team-a/c0"]


def test_the_canary_goes_first_and_the_others_follow_once_it_is_through() -> None:
    world = five_clusters()
    world.begin()
    assert world.under_way() == ["c0"]
    world.later(minutes=1)
    world.step()
    assert world.under_way() == ["c0"], "nothing was heard of it yet"

    world.finish("c0")
    world.step()
    assert world.under_way() == ["c1", "c2", "c3", "c4"]

    run(world)
    status = world.fleet.status
    assert ready(world)[:2] == ("Completed", reasons.FLEET_COMPLETED)
    assert status.is_true("Ready")
    assert status.report is not None
    assert status.report.summary == "5 done, 0 failed, 0 skipped in 90 s"
    assert status.summary == "5/5"
    assert status.took is not None
    assert (status.took.count, status.took.longest) == (5, 60.0)
    assert len(world.raised) == 5, "each was raised once"


def test_no_more_are_under_way_than_may_be() -> None:
    world = five_clusters({"name": "all", "maxParallel": 2})
    world.begin()
    assert world.under_way() == ["c0", "c1"]
    world.finish("c1")
    world.step()
    assert world.under_way() == ["c0", "c2"]


def test_a_share_of_the_wave_may_be_under_way_but_one_at_least() -> None:
    world = five_clusters({"name": "one", "names": ["c0"], "maxParallel": "1%"}, {"name": "rest"})
    world.begin()
    assert world.under_way() == ["c0"]


def test_a_wave_has_time_to_prove_itself() -> None:
    world = five_clusters({"name": "one", "names": ["c0"], "soak": "10m"}, {"name": "rest"})
    world.begin()
    world.finish("c0")
    world.step()
    assert ready(world)[0] == "Soaking"
    assert world.decision is not None
    assert world.decision.look == 601.0
    world.later(minutes=9)
    world.step()
    assert not world.under_way()
    world.later(minutes=2)
    world.step()
    assert world.under_way() == FIVE[1:]


def test_who_is_not_ready_at_the_end_of_that_time_has_failed() -> None:
    world = five_clusters({"name": "one", "names": ["c0"], "soak": "10m"}, {"name": "rest"})
    world.begin()
    world.finish("c0")
    world.step()
    world.later(minutes=11)
    world.change("c0", ready=Said(False, "EtcdNotReady", "no quorum", world.now))
    for _ in range(3):
        world.step()
        world.later(minutes=5)

        assert world.states()["c0"] == "Failed"
        assert not world.under_way()
        assert ready(world)[:2] == ("Stopped", reasons.FLEET_STOPPED)
        assert world.fleet.status.is_true("Stopped")


@pytest.mark.parametrize("before", [True, False], ids=["was ready", "was not ready"])
@pytest.mark.parametrize("after", [True, False], ids=["is ready", "is not ready"])
def test_what_was_said_of_a_spec_before_counts_for_nothing_at_the_end_of_that_time(
    before: bool, after: bool
) -> None:
    world = five_clusters({"name": "one", "names": ["c0"], "soak": "10m"}, {"name": "rest"})
    world.begin()
    world.finish("c0")
    world.step()
    world.later(minutes=11)
    world.change("c0", ready=Said(before, "Known", "", world.now, current=False))
    world.step()
    assert world.states()["c0"] == "Done"
    assert not world.under_way()
    phase, _, message = ready(world)
    assert phase == "Soaking"
    assert "until it is told how team-a/c0 is since its last change" in message
    world.change("c0", ready=Said(after, "Known", "", world.now))
    world.step()
    assert world.states()["c0"] == ("Done" if after else "Failed")
    assert world.under_way() == (FIVE[1:] if after else [])


def test_one_that_failed_is_not_done_by_what_was_said_of_a_spec_before() -> None:
    world = five_clusters({"name": "one", "names": ["c0"], "soak": "10m"}, {"name": "rest"})
    a_canary_that_is_lost(world)
    world.change("c0", ready=Said(True, "Available", "", world.now, current=False))
    world.step()
    assert world.states()["c0"] == "Failed"


def a_canary_that_is_lost(world: World) -> None:
    """It is through, and not Ready at the end of its time."""
    world.begin()
    world.finish("c0")
    world.step()
    world.later(minutes=11)
    world.change("c0", ready=Said(False, "EtcdNotReady", "no quorum", world.now))
    world.step()
    assert world.rows["team-a/c0"].reason == reasons.NOT_READY_AFTER


def test_a_canary_that_is_ready_again_proves_itself_once_more() -> None:
    world = five_clusters({"name": "one", "names": ["c0"], "soak": "10m"}, {"name": "rest"})
    a_canary_that_is_lost(world)
    world.later(hours=1)
    world.change("c0", ready=Said(True, "Available", "", world.now))
    world.step()
    assert world.states()["c0"] == "Done"
    assert ready(world)[0] == "Soaking"
    world.later(minutes=11)
    world.step()
    assert world.under_way() == FIVE[1:]


def test_a_retry_does_not_take_a_canary_that_is_not_ready_for_one_that_is_done() -> None:
    world = five_clusters({"name": "one", "names": ["c0"], "soak": "10m"}, {"name": "rest"})
    a_canary_that_is_lost(world)
    world.annotate(retry="1")
    for _ in range(3):
        world.step()
        world.later(minutes=5)
    assert world.states()["c0"] == "Failed"
    assert not world.under_way()

    world.change("c0", forbids=True)
    world.annotate(retry="without it")
    world.step()
    world.step()
    assert world.rows["team-a/c0"].reason == reasons.OPTED_OUT
    assert world.under_way() == FIVE[1:]


def test_a_canary_that_gets_through_late_has_its_time_too() -> None:
    world = five_clusters({"name": "one", "names": ["c0"], "soak": "10m"}, {"name": "rest"})
    world.begin()
    world.block("c0")
    world.step()
    world.later(hours=2)
    world.finish("c0")
    world.step()
    assert world.states()["c0"] == "Done"
    assert ready(world)[0] == "Soaking"
    assert not world.under_way()


def test_one_that_gets_through_late_does_not_hold_a_later_wave_that_is_under_way() -> None:
    world = five_clusters(
        {"name": "two", "names": ["c0", "c1"], "maxParallel": 2, "soak": "10m"},
        {"name": "rest", "maxParallel": 1},
        stopAfterFailures=2,
    )
    world.begin()
    world.block("c0")
    world.finish("c1")
    world.step()
    world.later(minutes=11)
    world.step()
    assert world.under_way() == ["c2"]
    world.finish("c0", "c2")
    world.step()
    assert world.states()["c0"] == "Done"
    assert world.under_way() == ["c3"]


def test_what_its_upgrade_broke_before_it_was_through_counts() -> None:
    world = five_clusters({"name": "one", "names": ["c0"], "soak": "10m"}, {"name": "rest"})
    world.begin()
    world.later(minutes=1)
    world.change("c0", ready=Said(False, "AddonsNotReady", "no DNS", world.now))
    world.later(minutes=1)
    world.finish("c0")
    world.step()
    world.later(minutes=11)
    world.step()
    assert world.rows["team-a/c0"].reason == reasons.NOT_READY_AFTER
    assert not world.under_way()


def test_a_wave_waits_for_approval_and_stays_approved() -> None:
    world = five_clusters({"name": "one", "names": ["c0"]}, {"name": "rest", "approval": True})
    world.begin()
    world.annotate(approve="rest, nobody")
    world.step()
    world.annotate(approve="")
    world.finish("c0")
    world.step()
    assert world.under_way() == FIVE[1:]


def test_who_is_to_approve_is_told_how() -> None:
    world = five_clusters({"name": "all", "approval": True})
    world.begin()
    phase, reason, message = ready(world)
    assert (phase, reason) == ("WaitingForApproval", reasons.WAITING_FOR_APPROVAL)
    assert (
        "kubectl annotate fleetupgrade patch -n team-a --overwrite kok.dev/approve=all" in message
    )
    assert not world.raised


def test_a_pause_lets_those_under_way_finish() -> None:
    world = five_clusters({"name": "all", "maxParallel": 2})
    world.begin()
    world.set(paused=True)
    world.finish("c0")
    world.step()
    assert world.states()["c0"] == "Done"
    assert world.under_way() == ["c1"]
    assert ready(world)[0] == "Paused"
    world.set(paused=False)
    world.step()
    assert world.under_way() == ["c1", "c2"]


def test_nothing_is_planned_while_it_is_paused() -> None:
    world = five_clusters(paused=True)
    world.step()
    assert world.fleet.status.started_at is None


def test_an_abort_ends_it_once_those_under_way_are_through() -> None:
    world = five_clusters({"name": "all", "maxParallel": 2, "soak": "10m"})
    world.begin()
    world.set(abort=True)
    world.step()
    assert world.under_way() == ["c0", "c1"]
    assert world.rows["team-a/c4"].reason == reasons.ABORTED
    world.finish("c0", "c1")
    world.step()
    assert ready(world)[:2] == ("Aborted", reasons.ABORTED)
    assert world.fleet.status.summary == "2/2"
    world.annotate(retry="1")
    world.step()
    assert not world.under_way(), "an aborted one is not taken up again"


def test_one_may_be_aborted_before_it_begins() -> None:
    world = five_clusters(abort=True)
    world.step()
    assert world.fleet.status.ended_at == NOW
    assert ready(world)[0] == "Aborted"


def test_nobody_is_raised_outside_of_the_window() -> None:
    world = five_clusters(
        {"name": "all", "maxParallel": 1}, window={"cron": "0 22 * * *", "duration": "6h"}
    )
    world.begin()
    assert ready(world)[0] == "WaitingForWindow"
    assert "2026-11-22 22:00 UTC" in ready(world)[2]
    assert world.decision is not None
    assert world.decision.look == 10 * 3600 + 1.0
    world.later(hours=10)
    world.step()
    assert world.under_way() == ["c0"]
    world.later(hours=6)
    world.finish("c0")
    world.step()
    assert not world.under_way()


def test_a_night_in_a_pause_is_not_caught_up_with_by_day() -> None:
    world = five_clusters({"name": "all"}, window={"cron": "0 22 * * *", "duration": "6h"})
    world.begin()
    world.set(paused=True)
    world.later(hours=11)
    world.step()
    world.set(paused=False)
    world.later(hours=12)
    world.step()
    assert not world.under_way()


def test_who_falls_asleep_before_his_turn_is_skipped_and_takes_no_place() -> None:
    world = five_clusters({"name": "all", "maxParallel": 2})
    world.change("c1", hibernates=True)
    world.step()
    world.change("c0", paused=True)
    world.step()
    assert world.under_way() == ["c2", "c3"]
    assert world.rows["team-a/c0"].reason == reasons.CLUSTER_PAUSED


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"forbids": True}, reasons.OPTED_OUT),
        ({"version": NEW}, reasons.ALREADY_THERE),
        ({"created": NOW + timedelta(minutes=5)}, reasons.CLUSTER_GONE),
    ],
    ids=["opted out", "its spec goes there", "another one of its name"],
)
def test_what_changed_since_the_plan_counts(change: Any, reason: str) -> None:
    world = five_clusters({"name": "all", "maxParallel": 1})
    world.step()
    world.change("c0", **change)
    world.step()
    assert world.rows["team-a/c0"].reason == reason
    assert world.under_way() == ["c1"]


def test_a_cluster_that_is_deleted_under_way_is_told_of() -> None:
    world = five_clusters({"name": "all", "maxParallel": 1})
    world.begin()
    del world.clusters["team-a/c0"]
    world.step()
    assert world.rows["team-a/c0"].reason == reasons.CLUSTER_GONE
    assert world.under_way() == ["c1"]


def test_nothing_is_said_of_what_has_changed_and_was_not_read() -> None:
    world = five_clusters({"name": "all", "maxParallel": 2})
    world.begin()
    world.finish("c0", "c1")
    stale = frozenset(world.clusters)
    found = decide.decide(world.fleet, FleetView(world.clusters, stale), world.releases, world.now)
    assert found.rows == world.rows
    assert not found.raises


def test_what_was_recorded_and_not_raised_is_raised_by_who_comes_next() -> None:
    world = five_clusters({"name": "all", "maxParallel": 3})
    world.step()
    world.step(die_before=1)
    assert world.raised == ["team-a/c0"]
    assert len(world.under_way()) == 3
    world.later(minutes=5)
    world.step()
    assert world.raised == ["team-a/c0", "team-a/c1", "team-a/c2"]
    assert {world.clusters[key].raised_at for key in world.raised} == {NOW}


def test_an_abort_takes_back_what_was_only_recorded() -> None:
    world = five_clusters({"name": "all", "maxParallel": 3})
    world.step()
    world.step(die_before=1)
    world.set(abort=True)
    world.step()
    assert world.under_way() == ["c0"]


def test_a_higher_raise_is_left_alone() -> None:
    world = five_clusters({"name": "all", "maxParallel": 1})
    world.step()
    world.step(die_before=0)
    world.change("c0", raised="1.37.2", raised_by="team-b/other")
    world.step()
    assert world.raised == []
    world.change("c0", runs="1.37.2")
    world.step()
    assert world.states()["c0"] == "Done"


def test_clusters_that_come_later_are_told_of_and_left_alone() -> None:
    world = five_clusters()
    world.begin()
    for n in range(7):
        late = a_member(f"late{n}", created=NOW + timedelta(minutes=1))
        world.clusters[late.key] = late
    world.step()
    told = world.fleet.status.condition("LateClusters")
    assert told is not None
    assert "team-a/late0" in told.message
    assert "and 2 more" in told.message
    assert world.fleet.status.late == 7
    assert "late0" not in world.states()


def test_what_selects_nobody_ends_at_once_and_says_so() -> None:
    world = World.of(a_fleet())
    world.begin()
    assert ready(world)[:2] == ("Completed", reasons.NOTHING_SELECTED)
    assert "no Cluster is selected" in ready(world)[2]
    assert not world.fleet.status.is_true("Ready"), "who waits for it is not told that all is well"


def test_at_the_end_nothing_is_done_or_written() -> None:
    world = five_clusters()
    world.begin()
    run(world)
    before = world.fleet.status.manifest()
    world.change("c0", upgrade=UnderWay("1.38.0", "Etcd", NOW, ""))
    world.later(days=30)
    found = world.step()
    assert found.rows is None
    assert world.fleet.status.manifest() == before


@pytest.mark.parametrize(
    ("spec", "reason", "told"),
    [
        ({"target": {"fixes": "CVE-2026-9999"}}, reasons.CVE_UNKNOWN, "CVE-2026-9999 is not known"),
        ({"waves": [{"name": "a", "names": ["c9"]}]}, reasons.CLUSTER_MISSING, "names c9"),
    ],
    ids=["CVE", "canary"],
)
def test_what_names_the_unknown_waits_and_says_so(spec: Any, reason: str, told: str) -> None:
    world = five_clusters(**spec)
    world.step()
    assert ready(world)[:2] == ("Refused", reason)
    assert told in ready(world)[2]
    assert world.fleet.status.started_at is None


def test_one_that_may_not_select_elsewhere_does_nothing() -> None:
    world = five_clusters()
    refused = Invalid(reasons.NAMESPACES_FORBIDDEN, "leave it out")
    found = decide.decide(world.fleet, FleetView(refused=refused), world.releases, NOW)
    assert found.stop is refused
    assert found.rows is None


def test_a_schedule_that_is_none_is_told() -> None:
    world = five_clusters(window={"cron": "0 25 * * *", "duration": "6h"})
    world.begin()
    assert ready(world)[1] == reasons.WINDOW_INVALID
