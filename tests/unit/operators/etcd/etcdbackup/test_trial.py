"""What a trial restore says of a backup, and what it does not."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.etcd.builders import NOW, formed
from tests.unit.operators.etcd.etcdbackup.builders import a_backup, a_job, a_pass, failed, said

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.backup.reasons import Reason
from kok.kube.client import Kube
from kok.kube.objects.ownership import owner_labels
from kok.operators.etcd.backups import stored
from kok.operators.etcd.etcdbackup.reconcile import EtcdBackups
from kok.operators.etcd.etcdbackup.trial import ATTEMPTS, _job_name
from kok.operators.etcd.etcdcluster.backups import scheduled
from kok.operators.etcd.jobs.outcome import JOB_OF_POD
from kok.operators.etcd.jobs.slots import Slots
from kok.operators.etcd.naming import ANNOTATION_VERIFY
from kok.operators.etcd.settings import EtcdSettings

STEPS = ("fetch", "restore", "check")
OWN = EtcdSettings()
KNOWN = {
    "phase": "Complete",
    "store": {"volume": {"claim": "backups"}},
    "key": "team-a/shop-etcd/one.snapshot",
    "revision": 5,
    "etcdVersion": "3.6.10",
}


def under_way(**more: Any) -> EtcdBackup:
    """A backup whose last attempt at a trial restore has been made."""
    trial = {"request": "now", "result": "Running", "at": NOW.isoformat(), "attempts": ATTEMPTS}
    made = a_backup(**{**KNOWN, **more, "verification": trial})
    made.metadata.annotations[ANNOTATION_VERIFY] = "now"
    return made


async def tried(api: FakeApi, kube: Kube, backup: EtcdBackup, container: dict[str, Any]) -> None:
    """A pass after one of the Job's containers ended so; its status is the backup's then."""
    p = a_pass(backup, kube)
    trial = backup.status.verification
    assert trial is not None
    name = _job_name(backup, trial)
    job = a_job(name, end="Failed", containers=STEPS)
    job["metadata"] |= {"uid": "job", "namespace": "team-a"}
    api.put(f"/apis/batch/v1/namespaces/team-a/jobs/{name}", job)
    labels = {**owner_labels(backup), JOB_OF_POD: name}
    owners = [{"uid": "job", "controller": True}]
    pod = {
        "metadata": {"labels": labels, "ownerReferences": owners},
        "status": {"phase": "Failed", "initContainerStatuses": [container]},
    }
    api.put("/api/v1/namespaces/team-a/pods/p", pod)
    await EtcdBackups(OWN, Slots(4)).reconcile(p)
    backup.status = p.status


EVICTED = said("", 137, "restore", "Error")
WITHOUT_KEY = said(failed(Reason.KEY_MISSING), 1, "fetch")


@pytest.mark.parametrize("container", [EVICTED, WITHOUT_KEY], ids=["evicted", "another key"])
async def test_what_is_in_the_way_of_a_trial_says_nothing_of_the_backup(
    api: FakeApi, kube: Kube, container: dict[str, Any]
) -> None:
    backup = under_way(provenAt=NOW.isoformat())

    await tried(api, kube, backup, container)

    trial = backup.status.verification
    assert trial is not None
    assert trial.result == "Unknown"
    assert "could not be tried" in str(trial.message)
    assert stored.is_good(backup)
    assert stored.is_proven(backup)


async def test_a_key_that_is_gone_is_told_at_the_etcdcluster(api: FakeApi, kube: Kube) -> None:
    """At once: without it none of the backups can be used."""
    backup = under_way()
    await tried(api, kube, backup, WITHOUT_KEY)
    store = {"volume": {"claim": "backups"}}
    found = scheduled.judge(formed(backup={"verify": "0 3 * * *", "store": store}), [backup], NOW)
    assert found is not None
    assert (found.holds, found.reason) == (False, "EncryptionKeyMissing")


async def test_what_is_altered_is_no_backup_until_a_trial_shows_otherwise(
    api: FakeApi, kube: Kube
) -> None:
    backup = under_way(provenAt=NOW.isoformat())
    await tried(api, kube, backup, said(failed(Reason.OBJECT_ALTERED), 1, "fetch"))
    assert not stored.is_good(backup)
    assert not stored.is_proven(backup)

    again = under_way(**backup.status.manifest())
    await tried(api, kube, again, EVICTED)
    assert not stored.is_good(again), "nothing was shown"


async def test_a_new_trial_takes_an_earlier_proof_away_only_by_refuting_it(
    api: FakeApi, kube: Kube
) -> None:
    """One of an earlier release, too, which recorded nothing but the latest trial."""
    passed = {"request": "before", "result": "Passed", "at": NOW.isoformat(), "attempts": 1}
    backup = a_backup(**KNOWN, verification=passed)
    backup.metadata.annotations[ANNOTATION_VERIFY] = "now"
    p = a_pass(backup, kube)

    await EtcdBackups(OWN, Slots(4)).reconcile(p)

    assert p.status.verification.result == "Running"
    assert p.status.proven_at == NOW


async def test_the_version_that_another_release_can_restore_is_no_fault_of_the_backup(
    api: FakeApi, kube: Kube
) -> None:
    backup = a_backup(**{**KNOWN, "etcdVersion": "9.9.9"})
    backup.metadata.annotations[ANNOTATION_VERIFY] = "now"
    p = a_pass(backup, kube)

    await EtcdBackups(OWN, Slots(4)).reconcile(p)

    assert p.status.verification.result == "Unknown"
    assert "9.9.9" in p.status.verification.message
