"""What is done to databases, when, and when not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.unit.operators.etcd.builders import NOW, a_world, action, decided, doing, formed, says

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.etcdclient.model import Alarm, Hash
from kok.operators.etcd import reasons
from kok.operators.etcd.etcdcluster.conditions import space
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.observed.model import Answer, Observed
from kok.operators.etcd.etcdcluster.operations.action import MoveLeader, Remove
from kok.operators.etcd.etcdcluster.operations.corrupt import Compare, is_wrong
from kok.operators.etcd.etcdcluster.operations.space import (
    CAP,
    Compact,
    Defragment,
    Disarm,
    NoRoom,
    is_open,
)
from kok.operators.etcd.settings import Tuning

GB = 10**9
QUOTA = 6_871_947_673
ALL = ("shop-etcd-0", "shop-etcd-1", "shop-etcd-2")


def answers(**more: Any) -> dict[int, Answer]:
    return {n: says(n, **more) for n in range(3)}


def at(obj: EtcdCluster, world: Observed, **later: float) -> Assessment:
    return Assessment.of(obj, world, NOW + timedelta(**later))


# --- defragmentation


def test_a_file_that_is_half_empty_is_defragmented_the_leader_last() -> None:
    obj = formed()
    half = a_world(obj, answers(db_size=2 * GB, in_use=GB // 2))

    assert action(obj, half).call == Defragment("https://10.0.0.2:2379", ALL[1])
    only_leader = {0: says(0, db_size=2 * GB, in_use=GB // 2), 1: says(1), 2: says(2)}
    assert isinstance(action(obj, a_world(obj, only_leader)).call, MoveLeader)


@pytest.mark.parametrize(("size", "used"), [(2 * GB, GB + 1), (50_000_000, 1_000)])
def test_what_does_not_pay_is_left_alone(size: int, used: int) -> None:
    obj = formed()

    assert decided(obj, a_world(obj, answers(db_size=size, in_use=used))) is None


def test_a_member_is_not_defragmented_again_and_again() -> None:
    obj = formed()
    for member in obj.status.members:
        member.defragmented_at = NOW
    half = a_world(obj, answers(db_size=2 * GB, in_use=GB // 2))

    assert decided(obj, half) is None
    assert decided(obj, half, seconds=Tuning().defragment_again_after.total_seconds()) is not None


def test_the_only_member_is_defragmented_in_a_window_only() -> None:
    half = {0: says(0, db_size=2 * GB, in_use=GB // 2)}
    alone = formed(1)
    with_window = formed(1, maintenance={"window": "11:00-13:00"})
    one = {0: Answer(half[0].status, (half[0].members or ())[:1])}

    assert decided(alone, a_world(alone, one)) is None
    assert action(with_window, a_world(with_window, one)).call == Defragment(
        "https://10.0.0.1:2379", ALL[0]
    )


@pytest.mark.parametrize(
    ("window", "hour", "opened"),
    [("", 3, True), ("02:00-04:00", 3, True), ("02:00-04:00", 4, False)]
    + [("22:00-04:00", hour, hour in {22, 23, 0, 3}) for hour in (22, 23, 0, 3, 4, 21)],
)
def test_windows(window: str, hour: int, opened: bool) -> None:
    assert is_open(window, datetime(2026, 11, 1, hour, 0, tzinfo=UTC)) is opened


# --- a full database


def full(**more: Any) -> dict[int, Answer]:
    raised = (Alarm("id-0", "NOSPACE"),)
    return answers(**{"db_size": QUOTA, "in_use": GB, "alarms": raised, "revision": 77, **more})


def test_a_full_database_is_compacted_defragmented_and_disarmed() -> None:
    obj = formed()

    first = action(obj, a_world(obj, full()))

    assert first.call == Compact("https://10.0.0.1:2379", 77)
    assert first.operation is not None
    assert first.operation.step == "Compact"
    doing(obj, "FreeSpace", step="Defragment")
    assert action(obj, a_world(obj, full())).call == Defragment("https://10.0.0.2:2379", ALL[1])
    for member in obj.status.members:
        member.defragmented_at = NOW
    assert action(obj, a_world(obj, full(db_size=GB))).call == Disarm(
        "https://10.0.0.1:2379", (Alarm("id-0", "NOSPACE"),)
    )
    assert action(obj, a_world(obj, answers())).operation is None


def test_where_the_data_itself_fills_it_people_are_told() -> None:
    obj = doing(formed(), "FreeSpace", step="Defragment")
    for member in obj.status.members:
        member.defragmented_at = NOW

    found = action(obj, a_world(obj, full(in_use=QUOTA)))

    assert (found.operation, found.call) == (None, NoRoom())
    assert "delete keys with etcdctl, or let spec.storage.size or" in found.message


def test_a_database_that_fills_again_at_once_is_freed_again_at_once() -> None:
    obj, filled = formed(), full(in_use=QUOTA)
    obj.status.freed_at = [NOW - timedelta(seconds=20)]

    assert isinstance(action(obj, a_world(obj, filled)).call, Compact)
    obj.status.no_room_at = NOW - timedelta(seconds=10)
    assert decided(obj, a_world(obj, filled)) is None
    assert decided(obj, a_world(obj, filled), minutes=10) is not None


def test_it_is_done_only_so_often_and_never_against_the_users_will() -> None:
    obj = formed()
    obj.status.freed_at = [NOW - timedelta(hours=n + 1) for n in range(CAP)]
    manual = formed(maintenance={"onFull": "Manual"})

    assert decided(obj, a_world(obj, full(in_use=QUOTA))) is None
    assert decided(obj, a_world(obj, full(in_use=QUOTA)), hours=22) is not None
    assert decided(manual, a_world(manual, full(in_use=QUOTA))) is None


def test_a_quota_that_was_raised_ends_the_alarm_whoever_filled_it() -> None:
    obj = formed(maintenance={"onFull": "Manual"})

    assert isinstance(action(obj, a_world(obj, full(db_size=GB))).call, Disarm)


def test_people_are_warned_in_time() -> None:
    obj = formed()

    near = space.space_left(at(obj, a_world(obj, answers(db_size=int(0.86 * QUOTA)))))

    assert (near.holds, near.reason) == (False, reasons.NEAR_QUOTA)
    assert "fill 85 % of their quota" in near.message
    assert space.space_left(at(obj, a_world(obj))).holds is True
    assert space.space_left(at(obj, a_world(obj, {}))).holds is None


# --- members that disagree


def corrupt(number: int = 1) -> dict[int, Answer]:
    return answers(alarms=(Alarm(f"id-{number}", "CORRUPT"),), revision=9)


def test_a_suspect_is_compared_before_it_is_removed() -> None:
    obj = formed()

    found = action(obj, a_world(obj, corrupt()))

    assert isinstance(found.call, Compare)
    assert (found.call.suspect, found.call.revision, found.states) == (ALL[1], 9, {})
    obj.status.members[1].corrupt = True
    proven = action(obj, a_world(obj, corrupt()))
    assert proven.call == Remove("https://10.0.0.1:2379", ALL[1], "id-1")
    assert proven.states == {ALL[1]: "Leaving"}


def test_a_leader_that_is_wrong_gives_the_lead_away_first() -> None:
    obj = formed()
    obj.status.members[0].corrupt = True

    assert isinstance(action(obj, a_world(obj, corrupt(0))).call, MoveLeader)


def test_an_alarm_without_a_culprit_is_left_to_people() -> None:
    obj = formed()
    nobody = answers(alarms=(Alarm("0", "CORRUPT"),))
    two = answers(alarms=(Alarm("id-0", "CORRUPT"), Alarm("id-1", "CORRUPT")))

    assert decided(obj, a_world(obj, nobody)) is None
    assert decided(obj, a_world(obj, two)) is None


A, B = Hash(1, 5, 9), Hash(2, 5, 9)


@pytest.mark.parametrize(
    ("hashes", "wrong"),
    [
        ({"x": B, "y": A, "z": A}, True),
        ({"y": A, "z": A}, True),
        ({"x": A, "y": A, "z": A}, False),
        ({"x": B, "y": A, "z": Hash(3, 5, 9)}, False),
        ({"x": Hash(2, 6, 9), "y": A, "z": A}, False),
        ({"x": B, "y": A}, False),
    ],
)
def test_only_a_majority_that_agrees_proves_a_member_wrong(
    hashes: dict[str, Hash], wrong: bool
) -> None:
    assert is_wrong("x", hashes, 3) is wrong
