"""Tries of an EtcdBackup: each has a number, a Job and a key of its own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import web
from tests.unit.fakeapi import FakeApi, refusal
from tests.unit.operators.etcd.builders import formed
from tests.unit.operators.etcd.etcdbackup.builders import a_backup, a_pass

from kok.api.etcd.etcdbackup import EtcdBackup, EtcdBackupStatus
from kok.backup.spec import SPEC_VARIABLE
from kok.kube.client import Kube
from kok.kube.errors import KubeError
from kok.operators.etcd.etcdbackup.reconcile import EtcdBackups
from kok.operators.etcd.settings import EtcdSettings

AT = "/namespaces/team-a"
KEY = "team-a/shop-etcd/20261101T120000Z-one-abcdef01.snapshot"
STORE = {"volume": {"claim": "backups"}}


class Room:
    """As many Jobs as anybody wants."""

    @asynccontextmanager
    async def one(self, *_args: Any) -> AsyncIterator[None]:
        yield


@pytest.fixture
def cluster(api: FakeApi) -> FakeApi:
    """One whose member answers, and a volume for its backups."""
    obj = formed(backup={"store": STORE})
    obj.status.members[0].ready = True
    made = {"apiVersion": "kok.dev/v1alpha1", "kind": "EtcdCluster", **obj.manifest()}
    api.put(f"/apis/kok.dev/v1alpha1{AT}/etcdclusters/shop-etcd", made)
    api.put(f"/api/v1{AT}/persistentvolumeclaims/backups", {"kind": "PersistentVolumeClaim"})
    pod = {"kind": "Pod", "status": {"podIP": "10.0.0.1", "phase": "Running"}}
    api.put(f"/api/v1{AT}/pods/shop-etcd-0-0", pod)
    return api


async def one_pass(kube: Kube, obj: EtcdBackup) -> EtcdBackupStatus:
    """The status after it, also of one that ends in an error."""
    p = a_pass(obj, kube)
    own = EtcdSettings(worker_image="kok:1")
    with suppress(KubeError):
        await EtcdBackups(own, Room()).reconcile(p)  # type: ignore[arg-type]
    return p.status


def told(api: FakeApi, job: str) -> dict[str, Any]:
    """What the worker of a Job is told."""
    made = api.objects[f"/apis/batch/v1{AT}/jobs/{job}"]
    [container] = made["spec"]["template"]["spec"]["containers"]
    [text] = [one["value"] for one in container["env"] if one["name"] == SPEC_VARIABLE]
    return dict(json.loads(text))


async def test_the_first_one_has_the_key_that_it_always_had(cluster: FakeApi, kube: Kube) -> None:
    status = await one_pass(kube, a_backup())
    assert (status.attempts, status.key) == (1, KEY)
    assert told(cluster, "one-backup-1")["key"] == KEY


@pytest.mark.parametrize("phase", ["Pending", "Running"], ids=["failed", "its Job was deleted"])
async def test_the_next_one_stores_where_none_before_does(
    cluster: FakeApi, kube: Kube, phase: str
) -> None:
    before = a_backup(phase=phase, attempts=1, jobSeen=1, key=KEY, store=STORE)

    status = await one_pass(kube, before)

    wanted = KEY.replace(".snapshot", "-2.snapshot")
    assert (status.phase, status.attempts, status.key) == ("Running", 2, wanted)
    said = told(cluster, "one-backup-2")
    assert (said["key"], said["attempt"]) == (wanted, 2)


async def test_one_that_was_cut_off_before_it_had_a_job_goes_on(
    cluster: FakeApi, kube: Kube
) -> None:
    """An operator that is killed there again and again must not begin anew each time."""
    before = a_backup(phase="Running", attempts=2, jobSeen=1, key=KEY, store=STORE)
    status = await one_pass(kube, before)
    assert (status.phase, status.attempts, status.key) == ("Running", 2, KEY)
    assert told(cluster, "one-backup-2")["attempt"] == 2


async def test_what_the_api_server_refuses_is_no_try(cluster: FakeApi, kube: Kube) -> None:
    """As with a quota: nobody may use up the tries, or numbers without end, by it."""

    async def refused(_request: web.Request) -> web.Response:
        return refusal(403, "Forbidden", "exceeded quota")

    cluster.script("POST", r"/jobs$", refused)
    status = await one_pass(kube, a_backup())
    assert (status.phase, status.attempts) == ("Pending", 0)
    again = a_backup(phase="Pending", attempts=3, key=KEY, store=STORE)
    for _ in range(3):
        status = await one_pass(kube, again)
        again.status = status
    assert (status.phase, status.attempts) == ("Pending", 3)
