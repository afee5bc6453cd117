"""A quorum that is lost for long, and a backup that may be restored without asking."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.unit.operators.etcd.builders import CLUSTER_ID, NOW, a_world, an_etcd, formed, says
from tests.unit.operators.etcd.etcdbackup.builders import a_backup
from tests.unit.operators.etcd.etcdcluster.restores.builders import a_restore, restoring

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.etcdcluster import EtcdCluster, EtcdOperation
from kok.api.etcd.etcdrestore import EtcdRestore
from kok.operators.etcd import naming, reasons
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.observed.model import Answer
from kok.operators.etcd.etcdcluster.restores import rescue
from kok.runtime.conditions import Verdict

AFTER = timedelta(minutes=15)
PROVEN = {"request": "now", "result": "Passed", "at": NOW.isoformat()}
NAME = "shop-etcd-recovery-20261101-120000"


def lost(policy: str = "FromBackup", since: datetime | None = NOW) -> EtcdCluster:
    """A cluster that has had no quorum since then."""
    obj = formed(recovery={"policy": policy})
    obj.status.quorum_lost_at = since
    return obj


def said(obj: EtcdCluster) -> Verdict:
    """What is said of `Available` by what is recorded of the quorum."""
    if obj.status.quorum_lost_at is None:
        return Verdict(True, reasons.QUORUM, "why")
    return Verdict(False, reasons.QUORUM_LOST, "why")


def worded(obj: EtcdCluster, found: rescue.Rescue | None) -> dict[str, Verdict]:
    """What the conditions say with what is found about the loss."""
    before = said(obj)
    ready = Verdict(False, before.reason, before.message)
    return rescue.said(found, {reasons.AVAILABLE: before, reasons.READY: ready})


def called_off(
    obj: EtcdCluster, restores: list[EtcdRestore], available: Verdict | None = None
) -> list[EtcdRestore]:
    return rescue.to_be_called_off(obj, available or said(obj), restores)


def proven(name: str = "one", **more: Any) -> EtcdBackup:
    found = {"phase": "Complete", "clusterID": CLUSTER_ID, "verification": PROVEN}
    return a_backup(name, **{**found, **more})


def made(phase: str = "Verifying", name: str = NAME) -> EtcdRestore:
    """The EtcdRestore that was made of a loss."""
    restore = a_restore(name, phase=phase)
    restore.metadata.annotations[naming.ANNOTATION_RESCUE] = NOW.isoformat()
    return restore


def eligible(
    obj: EtcdCluster,
    restores: list[EtcdRestore],
    answers: dict[int, Answer] | None = None,
    **seen: Any,
) -> list[EtcdRestore]:
    """The restores that may have their turn, while no member answers or these do."""
    return rescue.eligible(situation(obj, NOW + AFTER, answers, **seen), restores)


def judge(
    obj: EtcdCluster,
    backups: list[EtcdBackup],
    restores: list[EtcdRestore],
    now: datetime,
    **seen: Any,
) -> rescue.Rescue | None:
    """What the policy means while no member answers."""
    return rescue.judge(situation(obj, now, **seen), backups, restores)


def situation(
    obj: EtcdCluster, now: datetime, answers: dict[int, Answer] | None = None, **seen: Any
) -> Assessment:
    return Assessment.of(obj, replace(a_world(obj, answers or {}), **seen), now)


def test_the_newest_proven_backup_is_restored_when_the_time_has_come() -> None:
    backups = [
        proven("old", age=timedelta(days=2)),
        proven("new", age=timedelta(days=1)),
        proven("unproven", verification=None),
        proven("bad", verification={**PROVEN, "result": "Failed"}),
        proven("of-another-cluster", clusterID="abc"),
    ]

    early = judge(lost(), backups, [], NOW + AFTER - timedelta(seconds=1))
    due = judge(lost(), backups, [], NOW + AFTER)

    assert early is not None
    assert early.backup is None
    assert "EtcdBackup new is restored at 2026-11-01 12:15:00 UTC" in early.message
    assert due is not None
    assert due.backup == "new"


HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def hourly(count: int = 72) -> list[EtcdBackup]:
    """Proven ones, `h0` the newest."""
    return [proven(f"h{n}", age=n * HOUR, revision=1000 - n) for n in range(count)]


@pytest.mark.parametrize("off", [-2 * DAY, 2 * DAY], ids=["behind", "ahead"])
def test_the_newest_is_restored_although_the_operators_clock_is_wrong(off: timedelta) -> None:
    now, seen = NOW + off, {"watched_since": NOW + off - DAY}
    found = judge(lost(since=now), hourly(), [], now + AFTER, **seen)
    assert found is not None
    assert found.backup == "h0"


def test_a_backup_of_a_clock_that_was_ahead_is_not_restored_in_its_place() -> None:
    ahead = proven("ahead", age=-400 * DAY, revision=3)
    found = judge(lost(), [ahead, *hourly()], [], NOW + AFTER)
    assert found is not None
    assert found.backup == "h0"


def test_where_clocks_and_revisions_differ_nothing_is_restored_and_both_are_named() -> None:
    """As after days in which all clocks were behind."""
    obj, under = lost(), proven("under", age=400 * DAY, revision=2000)

    found = judge(obj, [*hourly(), under], [], NOW + AFTER)
    ready = worded(obj, found)[reasons.READY]

    assert found is not None
    assert found.backup is None
    assert ready.reason == reasons.RECOVERY_BLOCKED
    assert "EtcdBackup h0 (of 2026-11-01 12:00:00 UTC, revision 1000)" in ready.message
    assert "EtcdBackup under (of 2025-09-27 12:00:00 UTC, revision 2000)" in ready.message
    assert "create an EtcdRestore of the one that you want" in ready.message


@pytest.mark.parametrize(
    "obj",
    [lost("Manual"), lost("FromSurvivor"), lost(since=None), restoring("Stopping")],
    ids=["manual", "from-survivor", "quorum", "restoring"],
)
def test_nothing_is_restored_that_was_not_allowed_or_needed(obj: EtcdCluster) -> None:
    assert judge(obj, [proven()], [], NOW + 2 * AFTER) is None


def test_without_a_proven_backup_it_says_so_and_what_to_do() -> None:
    obj = lost()

    found = judge(obj, [proven(verification=None)], [], NOW + AFTER)
    words = worded(obj, found)
    ready, available = words[reasons.READY], words[reasons.AVAILABLE]

    assert ready.reason == reasons.RECOVERY_BLOCKED
    assert f"no EtcdBackup of etcd cluster {CLUSTER_ID} was proven" in ready.message
    assert available.reason == reasons.QUORUM_LOST


@pytest.mark.parametrize("phase", ["Pending", "Verifying", "Verified", "Failed", "Complete"])
def test_there_is_one_restore_for_each_loss(phase: str) -> None:
    found = judge(lost(), [proven()], [made(phase)], NOW + AFTER)

    assert found is not None
    assert found.backup is None
    assert found.is_blocked is (phase == "Failed")


def test_a_restore_that_a_person_asked_for_goes_first() -> None:
    found = judge(lost(), [proven()], [a_restore("mine")], NOW + AFTER)
    over = judge(lost(), [proven()], [a_restore("mine", phase="Failed")], NOW + AFTER)

    assert found is not None
    assert found.backup is None
    assert "EtcdRestore mine" in found.message
    assert over is not None
    assert over.backup == "one"


def test_members_that_do_not_start_with_what_was_changed_have_all_their_data() -> None:
    obj = lost()
    obj.status.operation = EtcdOperation(type="Roll", member="shop-etcd-0", since=NOW)

    found = judge(obj, [proven()], [], NOW + 2 * AFTER)

    assert found is not None
    assert found.backup is None
    assert "set back what was changed" in found.message


def test_it_does_not_begin_while_members_are_about_to_agree() -> None:
    two = {number: says(number, leader=None, quorum=False) for number in (0, 1)}

    assert eligible(lost(), [made("Verified")], {0: two[0]}) == [made("Verified")]
    assert eligible(lost(), [made("Verified")], two) == []


def test_it_is_called_off_when_a_quorum_returns() -> None:
    mine, theirs = made("Verified"), a_restore("mine")

    again = lost(since=None)

    assert eligible(lost(), [mine, theirs]) == [mine, theirs]
    assert called_off(lost(), [mine, theirs]) == []
    assert eligible(again, [mine, theirs]) == [theirs]
    assert called_off(again, [mine, theirs]) == [mine]
    assert called_off(lost("Manual"), [mine, theirs]) == [mine]


def test_that_of_an_earlier_loss_is_called_off_too() -> None:
    old = made(name="shop-etcd-recovery-20261031-120000")

    assert eligible(lost(), [old]) == []
    assert called_off(lost(), [old]) == [old]


def test_while_nobody_knows_whether_there_is_a_quorum_nothing_moves() -> None:
    obj = lost(since=None)
    unknown = Verdict(None, reasons.UNREACHABLE, "why")

    assert eligible(obj, [made("Verified")]) == []
    assert called_off(obj, [made("Verified")], unknown) == []


@pytest.mark.parametrize("step", ["Seeding", "Starting", "Growing"])
def test_once_the_members_have_stopped_it_is_not_called_off(step: str) -> None:
    obj, restore = restoring(step), made("Verified")
    restore.metadata.uid = "uid-back"

    assert eligible(obj, [restore]) == [restore]
    assert called_off(obj, [restore]) == []


def test_while_the_members_are_being_stopped_it_is_called_off_if_a_quorum_returns() -> None:
    restore = made("Restoring")
    restore.metadata.uid = "uid-back"
    still, again = lost(), lost(since=None)
    for obj in (still, again):
        obj.status.restore = restoring("Stopping").status.restore

    assert called_off(still, [restore]) == []
    assert called_off(again, [restore]) == [restore]
    # It is taken back by the members' own pass, which misses it.
    assert eligible(again, [restore]) == [restore]


def test_since_when_it_is_lost_is_noted_once_and_forgotten() -> None:
    obj = lost()
    gone = said(obj)
    obj.status.quorum_lost_at = None

    rescue.note(obj, gone, NOW)
    rescue.note(obj, gone, NOW + AFTER)

    assert obj.status.quorum_lost_at == NOW
    rescue.note(obj, Verdict(True, reasons.QUORUM), NOW + AFTER)
    assert obj.status.quorum_lost_at is None


def test_after_a_gap_members_get_all_of_their_time_once_more() -> None:
    """A power cut takes the operator along: on its first look no member has started yet."""
    back = NOW + timedelta(hours=2)

    first = judge(lost(), [proven()], [], back, watched_since=back)
    due = judge(lost(), [proven()], [], back + AFTER, watched_since=back)

    assert first is not None
    assert first.backup is None
    assert "EtcdBackup one is restored at 2026-11-01 14:15:00 UTC" in first.message
    assert due is not None
    assert due.backup == "one"


@pytest.mark.parametrize("phase", ["Pending", "Verifying", "Verified"])
def test_after_a_gap_a_restore_that_was_made_before_does_not_begin_at_once(phase: str) -> None:
    mine, back = made(phase), NOW + timedelta(minutes=5)

    assert eligible(lost(), [mine], watched_since=back) == []
    assert eligible(lost(), [mine], watched_since=NOW) == [mine]
    told = judge(lost(), [proven()], [mine], NOW + AFTER, watched_since=back)

    assert told is not None
    assert "does not begin before 2026-11-01 12:20:00 UTC" in told.message
    assert called_off(lost(), [mine]) == [], "its name is that of the loss"


def test_data_that_is_lost_again_before_all_members_have_it_is_restored_as_well() -> None:
    obj = lost()
    obj.status.restore = restoring("Growing").status.restore

    found = judge(obj, [proven()], [a_restore(phase="Restoring")], NOW + AFTER)

    assert found is not None
    assert found.backup == "one"


def test_a_restore_that_is_void_is_not_waited_for() -> None:
    obj = lost()
    obj.spec.restore_from = an_etcd(restoreFrom={"backup": "one"}).spec.restore_from

    found = judge(obj, [proven()], [a_restore("shop-etcd-restore-from")], NOW + AFTER)

    assert found is not None
    assert found.backup == "one"
