"""What an EtcdCluster says of its backups."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.operators.etcd.builders import NOW, an_etcd
from tests.unit.operators.etcd.etcdbackup.builders import a_backup

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.operators.etcd.etcdbackup import attempts
from kok.operators.etcd.etcdcluster.backups import scheduled
from kok.operators.etcd.jobs.outcome import Failed

HOUR = timedelta(hours=1)
STORE = {"volume": {"claim": "backups"}}
NOON = NOW.replace(minute=0)


def etcd(schedule: str = "0 */6 * * *", **status: Any) -> EtcdCluster:
    obj = an_etcd(backup={"schedule": schedule, "store": STORE}, status=status)
    obj.metadata.creation_timestamp = NOW - timedelta(days=9)
    return obj


def reason(obj: EtcdCluster, *backups: EtcdBackup) -> tuple[bool | None, str]:
    found = scheduled.judge(obj, backups, NOW)
    assert found is not None
    return found.holds, found.reason


def test_without_a_schedule_nothing_is_said() -> None:
    assert scheduled.judge(an_etcd(), [], NOW) is None
    assert scheduled.judge(etcd(schedule=""), [], NOW) is None


def test_a_backup_of_the_last_slot_is_all_that_is_wanted() -> None:
    assert reason(etcd(), a_backup(age=HOUR, phase="Complete")) == (True, "BackedUp")


def test_before_the_first_slot_nothing_is_known() -> None:
    obj = etcd(lastBackupSlot=NOON.isoformat())
    assert reason(obj, a_backup(slot=NOON, phase="Pending")) == (None, "NoBackupYet")


def test_a_store_that_refuses_shows_at_the_first_attempt() -> None:
    good = a_backup("a", age=HOUR * 7, phase="Complete")
    bad = a_backup("b", slot=NOON, phase="Pending", attempts=1, reason="StoreDenied")
    assert reason(etcd(), good, bad) == (False, "StoreDenied")


def test_a_second_attempt_under_way_is_still_trouble() -> None:
    again = a_backup("b", slot=NOON, phase="Running", attempts=2, reason="BackupRunning")
    assert reason(etcd(), again) == (False, "BackupRunning")


def test_a_first_attempt_under_way_is_none() -> None:
    first = a_backup("b", slot=NOON, phase="Running", attempts=1, reason="BackupRunning")
    good = a_backup("a", age=HOUR * 6, phase="Complete")
    assert reason(etcd(), good, first) == (True, "BackedUp")


def test_slots_that_passed_without_a_backup_are_told() -> None:
    obj = etcd(lastBackupSlot=(NOW - HOUR * 12).isoformat())
    assert reason(obj, a_backup(age=HOUR * 11, phase="Complete")) == (False, "BackupOverdue")


def test_a_backup_that_a_person_made_counts_for_age_but_its_failure_is_no_alarm() -> None:
    failed = a_backup("z", phase="Failed", attempts=1, reason="StoreDenied")
    assert reason(etcd(), a_backup(age=HOUR, phase="Complete"), failed) == (True, "BackedUp")


def test_the_newest_good_one_is_in_the_status() -> None:
    obj = etcd()
    scheduled.note(obj, [a_backup("a", age=HOUR, phase="Complete"), a_backup("b")], NOW)
    assert obj.status.last_backup is not None
    assert obj.status.last_backup.name == "a"


# --- attempts


@pytest.mark.parametrize(
    ("scheduled", "transient", "count", "seconds"),
    [
        (False, True, 1, 20),
        (False, True, 3, 80),
        (False, True, 5, None),
        (False, False, 1, None),
        (True, False, 1, 20),
        (True, True, 30, 1800),
    ],
)
def test_when_it_is_tried_again(
    scheduled: bool, transient: bool, count: int, seconds: int | None
) -> None:
    obj = a_backup(slot=NOON if scheduled else None, attempts=count)
    found = attempts.retry_at(obj, Failed("StoreBusy", "busy", transient), NOW)
    assert found == (NOW + timedelta(seconds=seconds) if seconds else None)


def test_a_later_slot_ends_the_attempts_of_an_earlier_one() -> None:
    mine = a_backup(slot=NOON)
    assert not attempts.superseded(mine, etcd(lastBackupSlot=NOON.isoformat()), NOW)
    assert attempts.superseded(mine, etcd(lastBackupSlot=(NOON + HOUR).isoformat()), NOW)
    assert attempts.superseded(mine, None, NOW), "nothing is left to back up"
    assert not attempts.superseded(a_backup(), None, NOW), (
        "a person is told by the EtcdBackup itself"
    )


def test_a_follower_is_asked_rather_than_the_leader() -> None:
    members = [
        {"name": "e-0", "role": "Leader", "ready": True},
        {"name": "e-1", "role": "Follower", "ready": False},
        {"name": "e-2", "role": "Follower", "ready": True},
    ]
    assert attempts.member_to_ask(an_etcd(status={"members": members})) == "e-2"
    assert attempts.member_to_ask(an_etcd(status={"members": members[:2]})) == "e-0"
    assert attempts.member_to_ask(an_etcd(status={"members": members[1:2]})) is None


def test_an_etcdbackup_overrides_where_its_cluster_is_backed_up_to() -> None:
    own = a_backup(spec={"store": {"volume": {"claim": "mine"}}})
    found = attempts.place(own, etcd())
    assert found is not None
    assert found.store.volume is not None
    assert found.store.volume.claim == "mine"
    assert attempts.place(a_backup(), an_etcd()) is None


def test_a_schedule_that_was_just_set_owes_nothing_for_the_time_before() -> None:
    obj = etcd()

    scheduled.note(obj, [], NOW)

    assert reason(obj) == (None, "NoBackupYet")
    found = scheduled.judge(obj, [], NOW + 9 * HOUR)
    assert found is not None
    assert found.reason == "BackupOverdue"


def test_another_schedule_counts_from_when_it_was_set() -> None:
    obj, good = etcd("0 0 * * *"), a_backup(age=11 * HOUR, phase="Complete")
    scheduled.note(obj, [good], NOW - 10 * HOUR)
    hourly = etcd("0 * * * *", **obj.status.manifest())

    scheduled.note(hourly, [good], NOW)

    assert reason(hourly, good) == (True, "BackedUp")


def test_a_schedule_of_before_an_upgrade_of_the_operator_still_counts_from_its_last_slot() -> None:
    obj = etcd(lastBackupSlot=(NOW - 24 * HOUR).isoformat())
    obj.status.set_condition("BackupsHealthy", False, "BackupOverdue", "why", now=NOW, generation=1)

    scheduled.note(obj, [], NOW)

    assert reason(obj) == (False, "BackupOverdue")
