"""What became of a Cluster that was raised, by what it says of itself."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.unit.operators.cluster.fleetupgrade.fleets import NEW, NOW, OLD, a_member

from kok.api.cluster.contract import ClusterContract, Ended, Said, UnderWay
from kok.api.cluster.fleetstatus import FleetRow
from kok.operators.cluster import reasons
from kok.operators.cluster.fleetupgrade.progress import judge, unready

RAISED = NOW
ROW = FleetRow("rest", OLD, NEW, "Upgrading", RAISED)
PLANNED = NOW - timedelta(hours=1)


def soon(**time: float) -> datetime:
    return NOW + timedelta(**time)


def under_way(step: str = "APIServer", moved: datetime = NOW, **rest: Any) -> UnderWay:
    return UnderWay(rest.pop("to", NEW), step, moved, "kube-apiserver 1/2 updated", **rest)


def raised(**rest: Any) -> ClusterContract:
    return a_member(raised=NEW, raised_by="team-a/patch", raised_at=RAISED, **rest)


def said(reason: str, message: str = "because") -> Said:
    return Said(False, reason, message)


@pytest.mark.parametrize(
    ("cluster", "now", "state", "reason"),
    [
        (raised(), soon(minutes=1), "Upgrading", ""),
        (raised(upgrade=under_way()), soon(minutes=9), "Upgrading", ""),
        (raised(runs=NEW), soon(minutes=1), "Done", ""),
        (raised(runs="1.37.2"), soon(minutes=1), "Done", ""),
        (raised(runs=NEW, upgrade=under_way("Addons")), soon(minutes=1), "Upgrading", ""),
        (a_member(), soon(days=1), "Upgrading", ""),
        (None, soon(minutes=1), "Skipped", reasons.CLUSTER_GONE),
        (raised(deleting=True), soon(minutes=1), "Skipped", reasons.CLUSTER_GONE),
        (raised(created=NOW), soon(minutes=1), "Skipped", reasons.CLUSTER_GONE),
        (raised(paused=True), soon(minutes=1), "Skipped", reasons.CLUSTER_PAUSED),
        (raised(hibernates=True), soon(minutes=1), "Skipped", reasons.CLUSTER_ASLEEP),
        (raised(), soon(minutes=11), "Failed", reasons.UPGRADE_NOT_BEGUN),
        (raised(patience=3600), soon(minutes=11), "Upgrading", ""),
        (raised(upgrade=under_way()), soon(minutes=11), "Failed", reasons.UPGRADE_STUCK),
        (raised(upgrade=under_way(moved=soon(minutes=5))), soon(minutes=11), "Upgrading", ""),
        (raised(upgrade=under_way("BackedOut")), soon(), "Failed", reasons.UPGRADE_BACKED_OUT),
        (
            raised(upgrade=under_way("Preflight", blocked_by=("NodeSkew: w1",))),
            soon(seconds=3),
            "Failed",
            reasons.UPGRADE_BLOCKED,
        ),
        (
            raised(last=Ended(NEW, backed_out=True, ended=soon(minutes=2))),
            soon(minutes=3),
            "Failed",
            reasons.UPGRADE_BACKED_OUT,
        ),
        (
            raised(last=Ended(NEW, backed_out=True, ended=soon(minutes=-2))),
            soon(minutes=3),
            "Upgrading",
            "",
        ),
        # What was so before it was raised once more is not held against it at once.
        (raised(upgrade=under_way("BackedOut", soon(hours=-1))), soon(seconds=9), "Upgrading", ""),
        (
            raised(upgrade=under_way("BackedOut", soon(hours=-1))),
            soon(minutes=2),
            "Failed",
            reasons.UPGRADE_BACKED_OUT,
        ),
        # Others that are upgraded beside it have the room for the moment.
        (
            raised(upgrade=under_way("Preflight", blocked_by=("Room: no", "Room: none"))),
            soon(minutes=9),
            "Upgrading",
            "",
        ),
        (
            raised(upgrade=under_way("Preflight", blocked_by=("Room: no", "Images: none"))),
            soon(seconds=3),
            "Failed",
            reasons.UPGRADE_BLOCKED,
        ),
        (
            raised(upgrade=under_way("Preflight", blocked_by=("Room: no",))),
            soon(minutes=11),
            "Failed",
            reasons.UPGRADE_BLOCKED,
        ),
        # While it wakes its preflight finds that etcd is not there, which is no trouble yet.
        (
            raised(wakes=True, upgrade=under_way("Preflight", blocked_by=("EtcdHealth: no",))),
            soon(minutes=9),
            "Upgrading",
            "",
        ),
        (
            raised(
                wakes=True,
                upgrade=under_way("Preflight", soon(minutes=9), blocked_by=("EtcdHealth: no",)),
            ),
            soon(minutes=11),
            "Failed",
            reasons.UPGRADE_STUCK,
        ),
        # It goes on to where its spec wants it.
        (raised(upgrade=under_way(to="1.37.2")), soon(minutes=9), "Upgrading", ""),
    ],
)
def test_what_became_of_it(
    cluster: ClusterContract | None, now: datetime, state: str, reason: str
) -> None:
    found = judge(ROW, cluster, PLANNED, now)

    assert (found.state, found.reason) == (state, reason)
    assert (found is ROW) == (state == "Upgrading")
    if state in {"Failed", "Skipped"}:
        assert found.why


def test_the_words_are_those_of_the_cluster() -> None:
    stuck = raised(upgrade=under_way(), progressing=said(reasons.UPGRADE_STUCK, "no image"))
    blocked = raised(upgrade=under_way("Preflight", blocked_by=("NodeSkew: w1 is old",)))
    never = raised(ready=Said(False, "ForbiddenByPolicy", "spec.images.registry is not allowed"))
    silent = raised(upgrade=under_way(), progressing=said("RollingOut"))

    assert judge(ROW, stuck, PLANNED, soon(minutes=11)).why == "no image"
    assert judge(ROW, blocked, PLANNED, soon(minutes=1)).why == "NodeSkew: w1 is old"
    assert "registry is not allowed" in judge(ROW, never, PLANNED, soon(minutes=11)).why
    assert "waits for kube-apiserver 1/2" in judge(ROW, silent, PLANNED, soon(minutes=11)).why


def test_one_that_failed_and_gets_there_after_all_is_done() -> None:
    failed = ROW.turned("Failed", NOW, reasons.UPGRADE_STUCK, "no image")

    assert judge(failed, raised(runs=NEW), PLANNED, soon(hours=1)).state == "Done"
    assert judge(failed, raised(), PLANNED, soon(hours=1)) is failed
    assert judge(failed, None, PLANNED, soon(hours=1)) is failed


@pytest.mark.parametrize("reason", [reasons.NOT_READY_AFTER, ""], ids=["told", "no room for it"])
def test_one_that_was_not_ready_after_its_upgrade_is_done_once_it_is(reason: str) -> None:
    failed = ROW.turned("Failed", NOW, reason)
    down = raised(runs=NEW, ready=said("EtcdNotReady"))

    assert judge(failed, down, PLANNED, soon(hours=1)) is failed
    assert judge(failed, raised(runs=NEW, ready=None), PLANNED, soon(hours=1)) is failed
    assert judge(failed, raised(runs=NEW), PLANNED, soon(hours=1)).state == "Done"


def test_one_that_is_told_to_sleep_after_it_was_raised_goes_on_by_itself() -> None:
    found = judge(ROW, raised(hibernates=True), PLANNED, soon(minutes=1))

    assert "goes to 1.37.1 by itself when it wakes" in found.why


@pytest.mark.parametrize(
    ("ready", "rest", "told"),
    [
        (Said(True, "Available", "", soon(minutes=5)), {}, False),
        (Said(False, "EtcdNotReady", "no quorum", soon(minutes=5)), {}, True),
        (Said(False, "EtcdNotReady", "no quorum", soon(minutes=-5)), {}, False),
        (Said(False, "Hibernated", "", soon(minutes=5)), {"hibernates": True}, False),
        (None, {}, False),
    ],
    ids=["ready", "not any more", "was not before, either", "sleeps", "says nothing"],
)
def test_who_is_not_ready_since_its_upgrade_has_not_proved_itself(
    ready: Said | None, rest: Any, told: bool
) -> None:
    done = ROW.turned("Done", NOW)
    why = unready(done, a_member(runs=NEW, ready=ready, **rest))

    assert bool(why) is told
    assert unready(done, None) is None
