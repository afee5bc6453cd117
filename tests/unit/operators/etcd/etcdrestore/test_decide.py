"""What a pass over an EtcdRestore goes on with, and what it says of what the EtcdCluster does."""

from __future__ import annotations

import pytest
from tests.unit.operators.etcd.builders import NOW, formed
from tests.unit.operators.etcd.etcdcluster.restores.builders import a_restore, restoring

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.operators.etcd import reasons
from kok.operators.etcd.etcdrestore.conditions import followed
from kok.operators.etcd.etcdrestore.decide import Decision, decide


@pytest.mark.parametrize("phase", ["Complete", "Failed"])
def test_at_its_end_it_is_left_alone(phase: str) -> None:
    assert decide(a_restore(phase=phase), None) == Decision("Rest", phase)


def test_an_etcdcluster_that_was_never_seen_is_waited_for_and_one_that_is_gone_is_not() -> None:
    new = a_restore(phase=None)
    new.status.cluster_uid = None

    assert decide(new, None) == Decision("Await", "Pending")
    assert decide(a_restore(phase="Verified"), None) == Decision("GiveUp", "Verified")


@pytest.mark.parametrize(
    ("phase", "step"),
    [(None, "Verify"), ("Verifying", "Verify"), ("Verified", "Follow"), ("Restoring", "Follow")],
)
def test_the_backup_is_proven_once(phase: str | None, step: str) -> None:
    assert decide(a_restore(phase=phase), formed()).step == step


def uid_of(obj: EtcdCluster) -> str:
    assert obj.status.restore is not None
    return obj.status.restore.uid


def test_it_says_how_far_the_etcdcluster_is() -> None:
    obj = restoring("Stopping")
    obj.status.set_condition(reasons.READY, False, reasons.RESTORING, "the members stop", now=NOW)

    phase, said = followed(uid_of(obj), obj)

    assert (phase, said.holds, said.reason) == ("Restoring", False, reasons.RESTORING)
    assert said.message.endswith("Stopping: the members stop")


def test_one_whose_turn_has_not_come_says_for_which_it_waits() -> None:
    obj = restoring("Growing")

    phase, said = followed("another", obj)

    assert (phase, said.reason) == (None, reasons.RESTORE_VERIFIED)
    assert "the backup is good; waits until EtcdRestore" in said.message
