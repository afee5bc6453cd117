"""When backups are due, and which may go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.unit.operators.etcd.builders import NOW
from tests.unit.operators.etcd.etcdbackup.builders import a_backup

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.store import EtcdBackupRetention
from kok.operators.etcd.backups import schedule

DAY = timedelta(days=1)


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 11, 1, hour, minute, second, tzinfo=UTC)


def test_a_slot_always_makes_the_same_name() -> None:
    assert schedule.backup_name("shop-etcd", at(6)) == "shop-etcd-20261101-0600"


def daily(count: int) -> list[EtcdBackup]:
    """Good ones, `b0` the newest."""
    return [a_backup(f"b{n}", age=DAY * n, phase="Complete") for n in range(count)]


def gone(backups: list[EtcdBackup], **keep: int) -> list[str]:
    found = schedule.expendable(backups, EtcdBackupRetention(**keep), NOW)
    return sorted(b.name for b in found)


def test_the_newest_ones_are_kept() -> None:
    assert gone(daily(5), last=3) == ["b3", "b4"]


def test_the_newest_ones_are_kept_whatever_their_age() -> None:
    old = [a_backup(f"b{n}", age=DAY * (90 + n), phase="Complete") for n in range(3)]
    assert gone(old, last=2, days=1) == ["b2"]
    assert gone(old, last=2, days=30) == [], "days count from the newest one"


def test_days_keep_more_than_the_newest() -> None:
    assert gone(daily(6), last=1, days=4) == ["b4", "b5"]


def test_the_last_good_one_outlives_any_number_of_failures() -> None:
    failures = [a_backup(f"c{n}", phase="Failed") for n in range(9)]
    left = [a_backup("old", age=DAY * 400, phase="Complete"), *failures]
    assert gone(left, last=1) == [f"c{n}" for n in range(6)]


def test_what_is_being_made_is_left_alone() -> None:
    assert gone([*daily(1), a_backup("x", phase="Running"), a_backup("y")], last=1) == []
