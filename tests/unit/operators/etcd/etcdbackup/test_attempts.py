"""Attempts that follow each other: one is through before the same is made again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.etcd.builders import NOW
from tests.unit.operators.etcd.etcdbackup.builders import a_backup, a_pass

from kok.kube.client import Kube
from kok.kube.objects.ownership import owner_labels
from kok.operators.etcd.etcdbackup import attempts
from kok.operators.etcd.etcdbackup.reconcile import EtcdBackups
from kok.operators.etcd.jobs.outcome import JOB_OF_POD
from kok.operators.etcd.jobs.slots import Slots
from kok.operators.etcd.settings import EtcdSettings
from kok.runtime.controller.errors import Wait

HOUR = timedelta(hours=1)
BEGUN = NOW.strftime("team-a/shop-etcd/%Y%m%dT%H%M%SZ-one-abcdef01.snapshot")


async def waits_for(api: FakeApi, kube: Kube, meta: dict[str, Any]) -> str:
    """What an EtcdBackup waits for whose Job is gone, and whose pod runs."""
    backup = a_backup(phase="Running", attempts=1, key=BEGUN)
    labels = {**owner_labels(backup), JOB_OF_POD: "one-backup-1"}
    owners = [{"uid": "job", "controller": True}]
    pod = {"metadata": {"labels": labels, "ownerReferences": owners, **meta}}
    api.put(
        "/api/v1/namespaces/team-a/pods/one-backup-1-x", {**pod, "status": {"phase": "Running"}}
    )
    with pytest.raises(Wait) as raised:
        await EtcdBackups(EtcdSettings(), Slots(4)).reconcile(a_pass(backup, kube))
    return raised.value.message


@pytest.mark.parametrize("ends", [None, NOW + timedelta(seconds=30)], ids=["runs", "ends"])
async def test_a_pod_of_a_job_that_was_deleted_is_waited_for(
    api: FakeApi, kube: Kube, ends: datetime | None
) -> None:
    meta = {} if ends is None else {"deletionTimestamp": ends.isoformat()}
    assert "waits for Pod one-backup-1-x" in await waits_for(api, kube, meta)


async def test_but_not_for_ever_if_its_node_does_not_answer(api: FakeApi, kube: Kube) -> None:
    meta = {"deletionTimestamp": (NOW - HOUR).isoformat()}
    assert "EtcdCluster team-a/shop-etcd does not exist" in await waits_for(api, kube, meta)


@pytest.mark.parametrize(
    ("told", "recorded"),
    [
        (timedelta(minutes=5), timedelta(minutes=5)),
        (2 * HOUR, timedelta()),
        (timedelta(days=365 * 5000), timedelta()),
        (-2 * HOUR, timedelta()),
    ],
    ids=["as it can be", "after its end", "in some thousand years", "before it was asked for"],
)
def test_a_backup_was_begun_when_it_can_have_been(told: timedelta, recorded: timedelta) -> None:
    found = attempts.begun_at(a_backup(key=BEGUN), NOW + told, NOW + HOUR)
    assert found == NOW + recorded
