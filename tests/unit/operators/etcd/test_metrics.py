"""What Prometheus sees."""

from __future__ import annotations

from dataclasses import replace

import pytest
from prometheus_client import REGISTRY
from tests.unit.operators.etcd.builders import NOW, a_world, an_etcd, fails, formed, report, says
from tests.unit.operators.etcd.etcdbackup.builders import a_backup

from kok.api.etcd.etcdcluster import EtcdCluster, EtcdOperation
from kok.api.etcd.etcdrestore import EtcdRestore
from kok.api.etcd.status import (
    EtcdBackupSummary,
    EtcdCARotation,
    EtcdProofSummary,
    EtcdRestoreProgress,
)
from kok.etcdclient.model import Alarm, EtcdError, Trouble
from kok.operators.etcd import metrics, reasons
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.metrics import show
from kok.operators.etcd.etcdcluster.observed.model import Observed


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(
        f"kok_etcd_{name}", {"namespace": "team-a", "name": "shop-etcd", **labels}
    )


def test_members_are_shown_as_they_are_and_forgotten_with_their_cluster() -> None:
    obj = formed()
    full = (Alarm("id-1", "NOSPACE"),)
    quick = replace(says(0, db_size=5_000_001, raft_index=100), seconds=0.003)
    answers = {0: quick, 2: says(2, alarms=full)}
    world = a_world(obj, answers, p1=None)
    report(Assessment.of(obj, world, NOW), None, None, None)

    show(obj, world)

    assert value("ready") == 0
    assert (value("members"), value("members_healthy"), value("quorum")) == (3, 2, 1)
    assert value("member_quota_bytes", member="shop-etcd-1") == 6_871_947_673
    assert value("member_healthy", member="shop-etcd-1") == 0
    assert value("member_leader", member="shop-etcd-0") == 1
    assert value("member_db_size_bytes", member="shop-etcd-0") == 5_000_001
    assert value("member_db_size_bytes", member="shop-etcd-1") is None, "it was not asked"
    assert value("member_raft_lag", member="shop-etcd-2") == 90
    assert value("member_answer_seconds", member="shop-etcd-0") == 0.003
    assert value("member_answer_seconds", member="shop-etcd-2") is None, "it found no quorum"
    assert value("member_alarm", member="shop-etcd-1", alarm="NOSPACE") == 1
    expiry = value("certificate_expiry_timestamp_seconds", secret="shop-etcd-server")
    assert expiry is not None
    assert expiry > NOW.timestamp()

    metrics.forget("team-a", "shop-etcd")

    left = [s for m in REGISTRY.collect() if m.name.startswith("kok_etcd") for s in m.samples]
    assert left == []


def test_an_operation_is_shown_while_it_is_under_way() -> None:
    obj, world = formed(), a_world(formed())
    obj.status.operation = EtcdOperation(type="Grow", since=NOW)

    show(obj, world)

    began = value("operation_start_timestamp_seconds", type="Grow")
    assert began == NOW.timestamp()
    obj.status.operation = None
    show(obj, world)
    assert value("operation_start_timestamp_seconds", type="Grow") is None
    metrics.forget("team-a", "shop-etcd")


def test_backups_and_proofs_are_shown_once_there_are_any() -> None:
    obj, world = formed(), a_world(formed())
    show(obj, world)
    assert value("backups_healthy") is None

    status = obj.status
    status.last_backup = EtcdBackupSummary(name="b", at=NOW, size=7_000_000)
    status.last_verified = EtcdProofSummary(name="b", at=NOW)
    status.last_verify_slot = NOW
    text = "EtcdBackup b: other keys than were stored"
    status.set_condition(
        reasons.BACKUPS_HEALTHY, False, reasons.VERIFICATION_FAILED, text, now=NOW, generation=1
    )
    show(obj, world)

    assert (value("backups_healthy"), value("backup_verification_failed")) == (0, 1)
    assert value("backup_last_size_bytes") == 7_000_000
    for name in ("last_success", "last_verified", "verification_due"):
        assert value(f"backup_{name}_timestamp_seconds") == NOW.timestamp()
    metrics.forget("team-a", "shop-etcd")


def test_members_that_are_stopped_for_a_restore_are_no_lost_quorum() -> None:
    obj = formed()
    world = a_world(obj, {}, **NO_PODS)
    report(Assessment.of(obj, world, NOW), None, None, None)
    source = {"store": {"volume": {"claim": "c"}}, "key": "a.snapshot", "sha256": "", "size": 1}
    obj.status.restore = EtcdRestoreProgress.model_validate(
        {
            "name": "r",
            "uid": "u",
            "step": "Seeding",
            "since": NOW,
            "source": {**source, "revision": 1, "etcdVersion": "3.6.10"},
            "bump": 1,
        }
    )

    show(obj, world)

    assert value("quorum") is None
    assert value("restore_start_timestamp_seconds") == NOW.timestamp()
    metrics.forget("team-a", "shop-etcd")


def test_a_rotation_of_the_ca_is_shown_with_its_phase_until_its_end() -> None:
    obj = formed()
    world = a_world(obj)
    for phase, shown in (("Trust", NOW.timestamp()), ("Done", None)):
        obj.status.ca_rotation = EtcdCARotation.model_validate(
            {"request": "once", "phase": phase, "since": NOW}
        )
        show(obj, world)
        assert value("ca_rotation_phase_start_timestamp_seconds", phase="Trust") == shown
    metrics.forget("team-a", "shop-etcd")


def test_a_failed_restore_is_shown_until_it_is_deleted() -> None:
    meta = {"name": "noon", "namespace": "team-a", "uid": "u"}
    spec = {"etcdCluster": "shop-etcd", "backup": "b"}
    obj = EtcdRestore.parse({"metadata": meta, "spec": spec})

    for phase in ("Restoring", "Failed"):
        metrics.show_restore(obj, phase)
        assert value("restore_failed", restore="noon") == (phase == "Failed")

    metrics.forget_restore("team-a", "noon")
    assert value("restore_failed", restore="noon") is None


def test_a_failed_backup_is_shown_until_it_is_deleted_unless_a_schedule_had_it_made() -> None:
    for phase in ("Running", "Failed"):
        metrics.show_backup(a_backup("noon"), phase)
        metrics.show_backup(a_backup("due", slot=NOW), phase)
        assert value("backup_failed", backup="noon") == (phase == "Failed")
        assert value("backup_failed", backup="due") is None

    metrics.forget_backup("team-a", "noon")
    assert value("backup_failed", backup="noon") is None


SILENT = fails(EtcdError(Trouble.SILENT, "does not answer in time"))
NO_PODS = dict.fromkeys(("p0", "p1", "p2"))


@pytest.mark.parametrize(
    ("obj", "world", "quorum"),
    [
        (formed(), a_world(formed()), 1),
        (formed(), a_world(formed(), {}, **NO_PODS), 0),
        (formed(), a_world(formed(), dict.fromkeys(range(3), SILENT)), None),
        (an_etcd(), a_world(an_etcd(), {}, **NO_PODS), None),
    ],
    ids=["there", "lost", "nobody can be asked", "not formed yet"],
)
def test_quorum_is_shown_where_it_is_known(
    obj: EtcdCluster, world: Observed, quorum: int | None
) -> None:
    report(Assessment.of(obj, world, NOW), None, None, None)

    show(obj, world)

    assert value("quorum") == quorum
    metrics.forget("team-a", "shop-etcd")
