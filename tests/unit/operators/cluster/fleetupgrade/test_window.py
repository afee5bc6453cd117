"""When Clusters may be raised: windows that open, close, are missed and are caught up with."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from tests.unit.operators.cluster.fleetupgrade.fleets import (
    World,
    a_fleet,
    a_member,
    five_clusters,
    ready,
    run,
)

from kok.api.cluster.fleetstatus import FleetWindowStatus
from kok.api.cluster.fleetupgrade import FleetWindow
from kok.operators.cluster.fleetupgrade.window import window_now

NIGHTS = FleetWindow(cron="0 22 * * *", duration="6h")


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC)


BORN = at(1, 12)
LAST = FleetWindowStatus(due=at(1, 22), opened=at(1, 22), cron=NIGHTS.cron)
BY_NIGHT = {"cron": NIGHTS.cron, "duration": NIGHTS.duration}
"""From ten in the evening until four."""


@pytest.mark.parametrize(
    ("recorded", "now", "is_open", "changes"),
    [
        (None, at(1, 13), False, at(1, 22)),
        (None, at(1, 22), True, at(2, 4)),
        (LAST, at(2, 3, 59), True, at(2, 4)),
        (LAST, at(2, 4), False, at(2, 22)),
        (LAST, at(2, 22, 1), True, at(3, 4)),
        # Late, but still within it.
        (LAST, at(3, 3), True, at(3, 4)),
        # Nobody could look all night.
        (LAST, at(3, 9), True, at(3, 15)),
        (LAST, at(9, 9), True, at(9, 15)),
    ],
    ids=["before", "opens", "open", "closes", "next", "late", "missed", "missed for a week"],
)
def test_it_opens_and_closes(
    recorded: FleetWindowStatus | None, now: datetime, is_open: bool, changes: datetime
) -> None:
    found = window_now(NIGHTS, recorded, BORN, now)

    assert (found.is_open, found.changes) == (is_open, changes)


def test_one_that_is_caught_up_with_closes_after_as_long_a_time() -> None:
    missed = window_now(NIGHTS, LAST, BORN, at(3, 9)).recorded

    assert missed == FleetWindowStatus(due=at(2, 22), opened=at(3, 9), cron=NIGHTS.cron)
    assert window_now(NIGHTS, missed, BORN, at(3, 14, 59)).is_open
    assert not window_now(NIGHTS, missed, BORN, at(3, 15)).is_open
    assert window_now(NIGHTS, missed, BORN, at(3, 22)).is_open


def of_before(due: datetime, opened: datetime) -> FleetWindowStatus:
    """As it was recorded when schedules were not."""
    return FleetWindowStatus.model_validate({"due": due, "opened": opened})


@pytest.mark.parametrize(
    ("recorded", "now", "is_open", "changes"),
    [
        (of_before(at(1, 22), at(1, 22, 3)), at(2, 3, 59), True, at(2, 4)),
        (of_before(at(1, 22), at(1, 22, 3)), at(2, 4), False, at(2, 22)),
        # It was caught up with, and is at that.
        (of_before(at(1, 22), at(2, 9)), at(2, 14, 59), True, at(2, 15)),
        (of_before(at(1, 22), at(2, 9)), at(2, 15), False, at(2, 22)),
        # Nobody could look all night, as the operator was being upgraded.
        (of_before(at(1, 22), at(1, 22)), at(3, 9), True, at(3, 15)),
        # By another schedule.
        (of_before(at(1, 21, 30), at(1, 21, 30)), at(2, 9), False, at(2, 22)),
        (of_before(at(1, 21, 30), at(2, 9)), at(2, 10), False, at(2, 22)),
    ],
    ids=["open", "closes", "caught up", "caught up, closes", "missed", "changed", "changed since"],
)
def test_one_that_was_recorded_without_its_schedule_goes_on_as_it_was(
    recorded: FleetWindowStatus, now: datetime, is_open: bool, changes: datetime
) -> None:
    found = window_now(NIGHTS, recorded, None, now)

    assert (found.is_open, found.changes) == (is_open, changes)
    assert found.recorded is not None
    assert found.recorded.cron == NIGHTS.cron


def test_one_that_was_seen_is_not_caught_up_with() -> None:
    seen = window_now(NIGHTS, LAST, BORN, at(2, 22, 5)).recorded

    assert not window_now(NIGHTS, seen, BORN, at(3, 9)).is_open


def test_it_is_open_for_what_is_created_within_it() -> None:
    assert window_now(NIGHTS, None, at(1, 23), at(1, 23, 1)).is_open


def test_without_one_it_is_always_open() -> None:
    assert window_now(None, None, BORN, BORN).is_open


def test_what_is_no_schedule_never_opens_and_is_told() -> None:
    found = window_now(FleetWindow(cron="0 25 * * *", duration="1h"), None, BORN, BORN)

    assert not found.is_open
    assert found.problem


def test_a_shorter_one_does_not_stay_open_for_longer() -> None:
    late = window_now(NIGHTS, LAST, BORN, at(3, 3)).recorded
    shorter = FleetWindow(cron=NIGHTS.cron, duration="4h")

    assert not window_now(shorter, late, BORN, at(3, 3, 1)).is_open


def test_a_retry_by_day_waits_for_the_night() -> None:
    world = five_clusters({"name": "all"}, window=BY_NIGHT, stopAfterFailures="100%")
    world.change("c3", hibernates=True)
    world.step()
    world.now = at(22, 22)
    world.step()
    run(world)
    assert ready(world)[0] == "Completed"

    world.change("c3", hibernates=False)
    world.now = at(26, 10)
    world.annotate(retry="1")
    world.step()
    world.step()
    assert not world.under_way()
    assert "until the window opens at 2026-11-26 22:00 UTC" in ready(world)[2]
    world.now = at(26, 23)
    world.step()
    assert world.under_way() == ["c3"]


def test_a_retry_at_night_goes_on_until_its_end() -> None:
    world = five_clusters({"name": "all"}, window=BY_NIGHT)
    world.change("c3", hibernates=True)
    world.step()
    world.now = at(22, 22)
    world.step()
    run(world)
    world.change("c3", hibernates=False)
    world.now = at(26, 23)
    world.annotate(retry="1")
    world.step()
    world.step()
    assert world.under_way() == ["c3"]


@pytest.mark.parametrize("kind", ["paused", "no such canary"])
def test_one_that_could_not_begin_for_days_does_not_begin_by_day(kind: str) -> None:
    world = World.of(
        a_fleet(
            window=BY_NIGHT,
            waves=[{"name": "one", "names": ["shop"]}],
            **({"paused": True} if kind == "paused" else {}),
        )
    )
    shop = a_member("shop")
    if kind == "paused":
        world.clusters[shop.key] = shop
    for day in (22, 23, 24):
        world.now = at(day, 12)
        world.step()
        assert world.fleet.status.started_at is None
        world.now = at(day, 23)
        world.step()
    world.now = at(25, 10)
    world.clusters[shop.key] = shop
    world.set(paused=False)
    world.begin()
    assert ready(world)[0] == "WaitingForWindow"
    assert not world.under_way()
    world.now = at(25, 22)
    world.step()
    assert world.under_way() == ["shop"]


def test_one_that_nobody_looked_at_since_it_was_created_catches_up() -> None:
    world = five_clusters({"name": "all"}, window=BY_NIGHT)
    world.now = at(23, 9)
    world.begin()
    assert len(world.under_way()) == 5


def patched_in(world: World) -> None:
    """A window is written where there was none."""
    world.set(window=NIGHTS)


def changed(world: World) -> None:
    """Another schedule that was due last night as well."""
    world.set(window=FleetWindow(cron="30 21 * * *", duration="6h"))


def mended(world: World) -> None:
    """For some days there was one that is none."""
    world.set(window=FleetWindow(cron="0 25 * * *", duration="6h"))
    world.step()
    world.later(days=2)
    world.step()
    world.set(window=NIGHTS)


@pytest.mark.parametrize("how", [patched_in, changed, mended])
def test_who_writes_a_window_by_day_holds_the_others_until_the_night(
    how: Callable[[World], None],
) -> None:
    given = {} if how is patched_in else {"window": BY_NIGHT}
    world = five_clusters({"name": "all", "maxParallel": 1}, **given)
    world.now = at(22, 22, 30)
    world.begin()
    assert world.under_way() == ["c0"]
    world.now = at(25, 10)
    how(world)
    world.finish("c0")
    world.step()
    assert ready(world)[0] == "WaitingForWindow"
    assert not world.under_way()
    world.later(hours=12)
    world.step()
    assert world.under_way() == ["c1"]


def test_a_window_that_is_open_is_so_for_who_writes_it() -> None:
    world = five_clusters({"name": "all", "maxParallel": 1})
    world.begin()
    world.now = at(23, 2)
    world.set(window=NIGHTS)
    world.finish("c0")
    world.step()
    assert world.under_way() == ["c1"]


@pytest.mark.parametrize("held", ["paused", "approval", "stopped"])
def test_a_night_that_nobody_saw_is_not_caught_up_with_by_what_was_held(held: str) -> None:
    waves = [{"name": "all", "maxParallel": 1, "approval": held == "approval"}]
    world = five_clusters(*waves, window=BY_NIGHT)
    world.now = at(22, 22)
    world.begin()
    if held == "stopped":
        world.block("c0")
    if held == "paused":
        world.finish("c0")
    world.set(paused=held == "paused")
    world.step()
    # Nobody looks for a night and a half.
    world.now = at(24, 9)
    world.step()
    assert not world.under_way()
    world.later(hours=1)
    world.set(paused=False, stop_after_failures=3)
    world.annotate(approve="all")
    world.step()
    assert not world.under_way()
    assert ready(world)[0] == "WaitingForWindow"
