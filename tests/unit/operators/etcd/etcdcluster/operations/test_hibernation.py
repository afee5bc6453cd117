"""What comes next on the way to sleep and back, and what is said of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.operators.etcd.builders import NOW, a_world, formed, report, without

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.etcdcluster import EtcdCluster, EtcdOperation
from kok.api.etcd.status import EtcdHibernation, EtcdRestoreProgress, HibernationStep
from kok.kube import kinds
from kok.operators.etcd import metrics
from kok.operators.etcd.etcdcluster.members import roles
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.metrics import show
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.operators.etcd.etcdcluster.operations import hibernation
from kok.operators.etcd.naming import ANNOTATION_SLEEP_WITHOUT_BACKUP
from kok.operators.etcd.settings import Tuning

BACKUP = {"schedule": "0 * * * *", "store": {"volume": {"claim": "backups", "path": ""}}}


def sleeper(
    step: HibernationStep | None = None, *, hibernate: bool = True, **more: Any
) -> EtcdCluster:
    obj = formed(hibernate=hibernate, **more)
    if step is not None:
        obj.status.hibernation = EtcdHibernation(step=step, since=NOW)
    return obj


def sleep_of(obj: EtcdCluster) -> EtcdHibernation:
    assert obj.status.hibernation is not None
    return obj.status.hibernation


def stopped(obj: EtcdCluster) -> Observed:
    """Nobody runs; volumes and Secrets are there."""
    world = a_world(obj, {})
    running = {kinds.STATEFULSET.kind, kinds.POD.kind}
    return without(world, *(key for key in world.children if key[0] in running))


def a_backup(at: timedelta, phase: str = "Complete") -> EtcdBackup:
    begun = (NOW + at).isoformat()
    return EtcdBackup.parse(
        {
            "metadata": {"name": "b", "namespace": "team-a", "creationTimestamp": begun},
            "spec": {"etcdCluster": "shop-etcd"},
            "status": {"phase": phase, "startedAt": begun},
        }
    )


def following(
    obj: EtcdCluster, world: Observed | None = None, *backups: EtcdBackup, late: int = 0
) -> Any:
    now = NOW + timedelta(seconds=late)
    return hibernation.following(obj, world or a_world(obj), backups, now)


def test_the_way_to_sleep_and_back() -> None:
    assert following(formed()) is None
    assert following(sleeper()) == "Stopping"
    asleep = sleeper("Stopping")
    assert following(asleep) == "Stopping"
    assert following(asleep, stopped(asleep)) == "Asleep"
    assert following(sleeper("Asleep"), stopped(asleep)) == "Asleep"
    waking = sleeper("Asleep", hibernate=False)
    assert following(waking, stopped(waking)) == "Waking"
    waking = sleeper("Waking", hibernate=False)
    assert following(waking, stopped(waking)) == "Waking"
    for member in waking.status.members:
        member.ready = True
    assert following(waking) is None


def test_the_mind_may_be_changed_at_any_moment() -> None:
    assert following(sleeper("BackingUp", hibernate=False, backup=BACKUP)) is None
    assert following(sleeper("Stopping", hibernate=False)) == "Waking"
    assert following(sleeper("Waking")) == "Stopping"


def test_members_that_never_come_back_are_judged_as_ever_after_a_while() -> None:
    waking = sleeper("Waking", hibernate=False)
    late = int(Tuning().waking_for.total_seconds())
    assert following(waking, stopped(waking), late=late - 1) == "Waking"
    assert following(waking, stopped(waking), late=late) is None


def test_a_fresh_backup_comes_first() -> None:
    assert following(sleeper(backup=BACKUP)) == "BackingUp"
    waiting = sleeper("BackingUp", backup=BACKUP)
    assert following(waiting) == "BackingUp"
    for early in (timedelta(seconds=-1), timedelta(milliseconds=900)):
        assert following(waiting, None, a_backup(early)) == "BackingUp"
    assert following(waiting, None, a_backup(timedelta(seconds=5), "Failed")) == "BackingUp"
    assert following(waiting, None, a_backup(timedelta(seconds=5))) == "Stopping"
    mine = a_backup(timedelta(0))
    mine.metadata.name = hibernation.backup_name(waiting, sleep_of(waiting))
    assert following(waiting, None, a_backup(timedelta(0))) == "BackingUp"
    assert following(waiting, None, mine) == "Stopping"
    waived = {ANNOTATION_SLEEP_WITHOUT_BACKUP: "true"}
    assert following(sleeper("BackingUp", backup=BACKUP, annotations=waived)) == "Stopping"
    assert following(sleeper(backup=BACKUP, annotations=waived)) == "Stopping"


def test_what_must_not_be_left_half_done_comes_to_its_end_first() -> None:
    obj = sleeper()
    obj.status.operation = EtcdOperation(type="Recover", since=NOW)
    assert following(obj) is None
    assert "recovered" in hibernation.told(obj, a_world(obj))["Ready"].message
    obj.status.operation = EtcdOperation(type="Grow", since=NOW)
    assert following(obj) == "Stopping"
    obj.status.restore = EtcdRestoreProgress.model_construct(name="back", step="Seeding")
    assert following(obj) is None


@pytest.mark.parametrize(
    ("step", "reason"),
    [("Stopping", "Hibernating"), ("Asleep", "Hibernated"), ("Waking", "Waking")],
)
def test_conditions_say_so_and_metrics_keep_silent(step: HibernationStep, reason: str) -> None:
    obj = sleeper(step, hibernate=step != "Waking")
    world = stopped(obj)
    report(Assessment.of(obj, world, NOW), None, None, None)
    for type_ in ("Ready", "Available", "MembersHealthy"):
        found = obj.status.condition(type_)
        assert found is not None
        assert (found.status, found.reason) == ("False", reason)
    assert obj.status.phase == reason
    assert obj.status.condition("UpToDate").status == "Unknown"  # type: ignore[union-attr]
    metrics.forget("team-a", "shop-etcd")
    show(obj, world)
    shown = {
        gauge
        for gauge in metrics._ALL
        for s in next(iter(gauge.collect())).samples
        if s.labels["name"] == "shop-etcd"
    }
    assert shown == {metrics.RENEWAL}
    metrics.forget("team-a", "shop-etcd")


@pytest.mark.parametrize(
    ("step", "runs"),
    [("BackingUp", True), ("Stopping", False), ("Asleep", False), ("Waking", True)],
)
def test_members_run_only_while_they_may(step: HibernationStep, runs: bool) -> None:
    obj = sleeper(step)
    assert roles.may_run(obj, a_world(obj), "shop-etcd-0") is runs
