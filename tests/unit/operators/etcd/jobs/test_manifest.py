"""The Jobs: what runs in them, and that nothing secret stands in their spec."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

import pytest
from tests.unit.golden import etcd as golden
from tests.unit.operators.etcd.builders import formed
from tests.unit.operators.etcd.etcdbackup.builders import a_backup

from kok.api.etcd.status import EtcdRestoreProgress
from kok.api.etcd.store import BackupEncryption, BackupStore, BackupWorker, StoredBackup
from kok.api.fields import Resources
from kok.api.meta import Manifest
from kok.backup import spec as worker
from kok.operators.etcd.jobs import manifest as render
from kok.operators.etcd.jobs import proof_pod, seed_pod
from kok.operators.etcd.jobs import store as stores
from kok.versions import etcd

STORES: dict[str, dict[str, Any]] = {
    "s3": {
        "s3": {
            "bucket": "etcd-backups",
            "prefix": "site-a",
            "endpoint": "https://s3.example",
            "ca": {"configMap": "company-ca", "key": "ca.pem"},
            "secret": "backup-store",
        }
    },
    "aws": {"s3": {"bucket": "etcd-backups", "region": "eu-central-1", "secret": "backup-store"}},
    "volume": {"volume": {"claim": "backups", "path": "site-a"}},
}
RELEASE = etcd("3.6.10")
KEYS = BackupEncryption(secret="backup-keys")


def work(purpose: str, worker: BackupWorker | None = None) -> render.Work:
    asked = worker or BackupWorker()
    return render.Work(f"one-{purpose}-1", purpose, "kok:1", 3600.0, ("mirror",), asked)


def stored(store: str, keys: BackupEncryption | None) -> StoredBackup:
    return StoredBackup(
        store=BackupStore.model_validate(STORES[store]),
        encryption=keys,
        key="team-a/shop-etcd/one.snapshot",
        sha256="0" * 64,
        size=10**9,
        revision=100,
        keys=5,
        hash=7,
        compact_revision=1,
        etcd_version="3.6.10",
    )


def jobs(
    store: str, asked: BackupWorker | None = None, keys: BackupEncryption | None = KEYS
) -> list[Manifest]:
    """A Job of every form."""
    backup, owner = stored(store, keys), a_backup()
    removal = worker.RemoveSpec(store=stores.told(backup.store), key=backup.key)
    mounts = stores.mounts(backup.store, None, writes=True)
    restore = EtcdRestoreProgress(
        name="back",
        uid="uid-back",
        step="Seeding",
        since="2026-11-01T00:00:00Z",  # type: ignore[arg-type]
        source=backup,
        bump=10**9,
        member="shop-etcd-3",
    )
    obj = formed(placement={"nodeSelector": {"disk": "nvme"}})
    pods = {
        "remove": render.worker_pod(work("remove", asked), "remove", removal, mounts),
        "verify": proof_pod.proof_pod(work("verify", asked), backup, RELEASE, "mirror.example"),
        "seed": seed_pod.seed_pod(work("seed", asked), obj, restore, "shop-etcd-3", RELEASE),
    }
    return [render.job(owner, work(purpose, asked), pod) for purpose, pod in pods.items()]


@pytest.mark.parametrize("store", STORES)
def test_jobs_are_rendered_as_they_were(store: str) -> None:
    golden.check(f"jobs-{store}", jobs(store))


@pytest.mark.parametrize("store", STORES)
def test_pods_are_restricted_and_cannot_speak_to_the_api(store: str) -> None:
    for job in jobs(store):
        pod = job["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["restartPolicy"] == "Never"
        for container in [*pod.get("initContainers", ()), *pod["containers"]]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("store", STORES)
def test_jobs_are_bounded_and_tried_once(store: str) -> None:
    for job in jobs(store):
        assert job["spec"]["backoffLimit"] == 0
        assert 0 < job["spec"]["activeDeadlineSeconds"] < 2 * 3600
        assert job["spec"]["ttlSecondsAfterFinished"] > 0


def test_secrets_are_files_and_nothing_else() -> None:
    for job in jobs("s3"):
        pod = job["spec"]["template"]["spec"]
        volumes = {v["name"] for v in pod["volumes"] if "secret" in v}
        assert "s3" in volumes
        containers = [*pod.get("initContainers", ()), *pod["containers"]]
        assert all("valueFrom" not in e for c in containers for e in c.get("env", ()))
        assert "secretKeyRef" not in json.dumps(job)


@pytest.mark.parametrize("keys", [KEYS, None])
def test_whoever_fetches_is_told_whether_encryption_is_set(keys: BackupEncryption | None) -> None:
    """By the backup's own record, and not by what is in the Secret."""
    for job in jobs("s3", keys=keys):
        pod = job["spec"]["template"]["spec"]
        for container in pod.get("initContainers", ()):
            if container["name"] == "fetch":
                told = {e["name"]: e["value"] for e in container["env"]}[worker.SPEC_VARIABLE]
                assert worker.FetchSpec.model_validate_json(told).encrypted is (keys is not None)


WORKER = BackupWorker(
    resources=Resources(requests={"cpu": "20m"}, limits={"cpu": "30m", "memory": "32Mi"}),
    etcd_resources=Resources(limits={"cpu": "1", "memory": "1Gi"}),
    labels={"team": "a", "kok.dev/etcd-worker": "other"},
    annotations={"sidecar.istio.io/inject": "false"},
)


def test_every_container_gets_what_a_quota_may_demand() -> None:
    for job in jobs("s3", WORKER):
        pod = job["spec"]["template"]["spec"]
        for container in [*pod.get("initContainers", ()), *pod["containers"]]:
            resources = container["resources"]
            assert set(resources["limits"]) == {"cpu", "memory"}
            of_etcd = container["name"] in {"restore", "etcd"}
            assert resources["limits"]["cpu"] == ("1" if of_etcd else "30m")
            assert resources["requests"]["cpu"] == ("50m" if of_etcd else "20m")
            # No pod may ask for more than it may use.
            assert resources["requests"]["memory"] == ("64Mi" if of_etcd else "32Mi")


def test_a_request_above_our_limit_raises_it() -> None:
    wanted = Resources(requests={"memory": "512Mi"})
    assert render.resources(render.SMALL, wanted) == {
        "requests": {"cpu": "50m", "memory": "512Mi"},
        "limits": {"memory": "512Mi"},
    }


def test_labels_and_annotations_of_the_user_stand_beside_ours() -> None:
    for job in jobs("s3", WORKER):
        meta = job["spec"]["template"]["metadata"]
        assert meta["labels"]["team"] == "a"
        assert (
            meta["labels"]["kok.dev/etcd-worker"]
            == job["metadata"]["labels"]["kok.dev/etcd-worker"]
        )
        assert meta["annotations"]["sidecar.istio.io/inject"] == "false"
        main = job["spec"]["template"]["spec"]["containers"][0]["name"]
        assert meta["annotations"]["kubectl.kubernetes.io/default-container"] == main


def test_what_only_reads_cannot_write_to_the_store() -> None:
    for job in jobs("volume"):
        pod = job["spec"]["template"]["spec"]
        mounts = [
            mount
            for container in [*pod.get("initContainers", ()), *pod["containers"]]
            for mount in container["volumeMounts"]
            if mount["name"] == "store"
        ]
        writes = job["metadata"]["labels"]["kok.dev/etcd-worker"] == "remove"
        assert [mount.get("readOnly", False) for mount in mounts] == [not writes]


def test_a_volume_that_waits_for_its_first_pod_is_made_where_the_member_may_run() -> None:
    (job,) = (j for j in jobs("s3") if j["metadata"]["name"] == "one-seed-1")
    assert job["spec"]["template"]["spec"]["nodeSelector"] == {"disk": "nvme"}


@pytest.mark.parametrize(
    ("live", "words"),
    [
        (None, "Secret team-a/backup-store of store.s3.secret does not exist"),
        ({"data": {"accessKeyID": "eA=="}}, "has no secretAccessKey; add it"),
        ({"data": {"accessKeyID": "eA==", "secretAccessKey": "eA=="}}, None),
    ],
)
def test_what_is_missing_is_named(live: Manifest | None, words: str | None) -> None:
    store = BackupStore.model_validate(STORES["aws"])
    (need,) = stores.needed(store, None)
    found = stores.lacks(need, "team-a", live)
    assert (found is None) if words is None else (found is not None and words in found)


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ({"key": os.urandom(32)}, None),
        ({"key": base64.b64encode(os.urandom(32)) + b"\n"}, None),
        ({"key": b"to come", "2025": os.urandom(32)}, None),
        ({"key": os.urandom(32).hex().encode()}, "none of its entries (key) is one"),
        ({"key": b"hunter2", "note": b"x" * 10**6}, "none of its entries (key, note) is one"),
    ],
)
def test_a_secret_without_a_key_is_named_before_a_job_is_made(
    entries: dict[str, bytes], words: str | None
) -> None:
    *_, need = stores.needed(BackupStore.model_validate(STORES["aws"]), KEYS)
    live = {"data": {name: base64.b64encode(raw).decode() for name, raw in entries.items()}}
    found = stores.lacks(need, "team-a", live)
    if words is None:
        assert found is None
    else:
        assert found is not None
        assert found.startswith("Secret team-a/backup-keys of encryption.secret holds no")
        assert words in found
        assert "32 random bytes" in found


def test_the_address_of_aws_follows_the_region() -> None:
    told = stores.told(BackupStore.model_validate(STORES["aws"]))
    assert isinstance(told, worker.S3Store)
    assert told.endpoint == "https://s3.eu-central-1.amazonaws.com"
