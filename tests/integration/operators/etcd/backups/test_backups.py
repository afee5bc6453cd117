"""EtcdBackups: taken by Jobs, kept by schedule, removed with their objects."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from tests.integration.apiserver import ApiServer
from tests.integration.operators.etcd.conftest import (
    ETCD,
    LIMIT,
    World,
    condition,
    running,
    status,
)
from tests.integration.operators.etcd.kv import put
from tests.integration.operators.etcd.standin import StandIn

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.operators.etcd import naming
from kok.operators.etcd.naming import ANNOTATION_VERIFY, pod_endpoint
from kok.runtime.process.main import Process

BACKUP = EtcdBackup.info.kind
STORE = {"volume": {"claim": "backups", "path": "site-a"}}


async def volume(world: World, name: str = "backups") -> None:
    """A volume for backups."""
    await world.kube.create(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": world.namespace},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        }
    )


async def ask(world: World, name: str = "one", **spec: Any) -> Manifest:
    """A backup that a person asks for."""
    return await world.kube.create(
        {
            "apiVersion": BACKUP.api_version,
            "kind": BACKUP.kind,
            "metadata": {"name": name, "namespace": world.namespace},
            "spec": {"etcdCluster": "e", **spec},
        }
    )


async def until_phase(world: World, phase: str, name: str = "one") -> Manifest:
    return await world.until(lambda m: status(m).get("phase") == phase, name, BACKUP)


async def until_reason(world: World, reason: str, name: str = "one") -> Manifest:
    return await world.until(lambda m: condition(m).get("reason") == reason, name, BACKUP)


async def filled(world: World, standin: StandIn, keys: int = 5, **spec: Any) -> None:
    """A cluster of one member with so many keys."""
    await world.make(**spec)
    await world.until_ready()
    credentials = await world.credentials()
    for number in range(keys):
        await put(credentials, pod_endpoint(standin.address("e-0")), f"k{number}", "v" * 100)


async def stored(world: World, standin: StandIn, name: str = "backups") -> list[str]:
    """The files in the volume."""
    root = await standin.volume(name)
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


async def test_a_backup_is_stored_and_told(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await volume(world)
    await filled(world, standin, backup={"store": STORE})
    made = await ask(world)

    done = status(await until_phase(world, "Complete"))

    unique = made["metadata"]["uid"][:8]
    key = done["key"]
    assert re.fullmatch(rf"{world.namespace}/e/\d{{8}}T\d{{6}}Z-one-{unique}\.snapshot", key)
    assert await stored(world, standin) == [f"site-a/{key}", f"site-a/{key}.json"]
    assert done["size"] > 10_000
    assert done["keys"] == 5
    assert done["revision"] >= 6
    assert done["etcdVersion"] == "3.6.10"
    assert done["attempts"] == 1
    assert done["store"]["volume"] == STORE["volume"]
    await world.until_gone("one-backup-1", kinds.JOB)
    told = await world.until(lambda m: status(m).get("lastBackup"))
    assert told["status"]["lastBackup"]["name"] == "one"
    assert told["status"]["lastBackup"]["size"] == done["size"]


async def test_deleting_it_removes_what_is_stored(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await volume(world)
    await filled(world, standin, backup={"store": STORE})
    await ask(world)
    await until_phase(world, "Complete")

    await world.kube.delete(BACKUP, "one", world.namespace)

    await world.until_gone("one", BACKUP)
    assert await stored(world, standin) == []


async def test_retained_it_stays_also_after_its_cluster(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await volume(world)
    await filled(world, standin, backup={"store": STORE})
    await ask(world, deletionPolicy="Retain")
    await until_phase(world, "Complete")
    await world.kube.delete(ETCD, "e", world.namespace)
    await world.until_gone()
    assert (await world.there(BACKUP, "one"))["status"]["phase"] == "Complete"

    await world.kube.delete(BACKUP, "one", world.namespace)

    await world.until_gone("one", BACKUP)
    assert len(await stored(world, standin)) == 2


async def test_jobs_of_a_backup_that_outlives_its_cluster_have_a_policy(
    api_server: ApiServer, standin: StandIn, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOK_WORKER_IMAGE", "kok:test")
    monkeypatch.setenv("KOK_NETWORK_POLICIES", "true")
    async with running(api_server, world.namespace):
        await volume(world)
        await filled(world, standin, backup={"store": STORE})
        made = await ask(world)
        await until_phase(world, "Complete")
        await world.kube.delete(ETCD, "e", world.namespace)
        await world.until_gone()
        await world.until_gone(naming.workers_policy("e"), kinds.NETWORKPOLICY)
        standin.jobs.held.add("verify")
        standin.jobs.held.add("remove")

        await world.annotate(ANNOTATION_VERIFY, "now", "one", BACKUP)

        name = naming.own_policy("one", made["metadata"]["uid"])
        proof = await pod_of(world, "verify")
        assert selects(await world.there(kinds.NETWORKPOLICY, name), proof)
        standin.jobs.held.remove("verify")
        await world.until(lambda m: verified(m) == "Passed", "one", BACKUP)
        await world.kube.delete(kinds.NETWORKPOLICY, name, world.namespace)

        await world.kube.delete(BACKUP, "one", world.namespace)

        removal = await pod_of(world, "remove")
        policy = await world.there(kinds.NETWORKPOLICY, name)
        assert selects(policy, removal)
        (owner,) = policy["metadata"]["ownerReferences"]
        assert owner["uid"] == made["metadata"]["uid"], "it goes with the EtcdBackup"
        standin.jobs.held.remove("remove")
        await world.until_gone("one", BACKUP)


async def pod_of(world: World, purpose: str) -> Manifest:
    """The pod of a Job, as soon as there is one."""
    labels = {naming.LABEL_WORKER: purpose}
    async with asyncio.timeout(LIMIT):
        async for event in world.kube.watch(kinds.POD, world.namespace, labels=labels):
            if event.type in {"ADDED", "MODIFIED"}:
                return event.object
    raise AssertionError("a watch never ends")


def selects(policy: Manifest, pod: Manifest) -> bool:
    wanted = policy["spec"]["podSelector"]["matchLabels"]
    return bool(wanted.items() <= pod["metadata"]["labels"].items())


async def test_a_backup_is_proven_by_restoring_it(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await volume(world)
    await filled(world, standin, keys=20, backup={"store": STORE})
    await ask(world)
    await until_phase(world, "Complete")

    await world.annotate(ANNOTATION_VERIFY, "now", "one", BACKUP)

    proven = await world.until(lambda m: verified(m) == "Passed", "one", BACKUP)
    assert condition(proven, "Verified")["status"] == "True"
    assert "20 keys and hash are as recorded" in proven["status"]["verification"]["message"]
    assert proven["status"]["verification"]["attempts"] == 1
    told = await world.until(lambda m: status(m).get("lastVerified"))
    assert told["status"]["lastVerified"]["name"] == "one"


async def test_a_backup_that_was_altered_is_no_backup(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await volume(world)
    await filled(world, standin, backup={"store": STORE, "schedule": "0 0 1 1 *"})
    await ask(world)
    done = await until_phase(world, "Complete")
    await world.until(lambda m: status(m).get("lastBackup"))
    await flip_a_bit(standin, done["status"]["key"])

    await world.annotate(ANNOTATION_VERIFY, "now", "one", BACKUP)

    bad = await world.until(lambda m: verified(m) == "Failed", "one", BACKUP)
    assert condition(bad)["reason"] == "VerificationFailed"
    assert "BackupAltered" in condition(bad)["message"]
    told = await world.until(
        lambda m: condition(m, "BackupsHealthy").get("reason") == "VerificationFailed"
    )
    assert "lastBackup" not in told["status"], "it cannot be restored"
    assert condition(told)["status"] == "True", "the cluster itself is well"


def verified(manifest: Manifest | None) -> str | None:
    return (status(manifest).get("verification") or {}).get("result")


async def flip_a_bit(standin: StandIn, key: str) -> None:
    """In the middle of what is stored."""
    path = await standin.volume("backups") / "site-a" / key
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        (byte,) = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte ^ 1]))


async def test_what_is_missing_is_named_and_waited_for(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await filled(world, standin)
    s3 = {"bucket": "etcd-backups", "endpoint": "https://192.0.2.1", "secret": "backup-store"}
    await ask(world, store={"s3": s3})

    waiting = await until_reason(world, "SecretMissing")

    assert "backup-store of store.s3.secret does not exist" in condition(waiting)["message"]
    assert status(waiting).get("attempts", 0) == 0
    assert await world.kube.list(kinds.JOB, world.namespace) == []
    await world.kube.delete(BACKUP, "one", world.namespace)
    await world.until_gone("one", BACKUP)


async def test_a_store_that_is_gone_keeps_no_backup_for_ever(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await volume(world)
    await filled(world, standin, backup={"store": STORE})
    await ask(world)
    await until_phase(world, "Complete")
    await world.kube.delete(kinds.PVC, "backups", world.namespace)
    await world.until_gone("backups", kinds.PVC)

    await world.kube.delete(BACKUP, "one", world.namespace)

    stuck = await world.until(
        lambda m: "PersistentVolumeClaim" in condition(m).get("message", ""), "one", BACKUP
    )
    assert "set its spec.deletionPolicy to Retain" in condition(stuck)["message"]
    retain = {"spec": {"deletionPolicy": "Retain"}}
    await world.kube.patch(BACKUP, "one", world.namespace, retain)
    await world.until_gone("one", BACKUP)


async def test_a_namespace_that_goes_is_not_held_up(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await volume(world)
    await filled(world, standin, backup={"store": STORE})
    await ask(world)
    await until_phase(world, "Complete")
    await world.kube.delete(kinds.NAMESPACE, world.namespace)
    # In what order things go there nobody knows.
    await world.kube.delete(kinds.PVC, "backups", world.namespace)
    await world.until_gone("backups", kinds.PVC)

    await world.kube.delete(BACKUP, "one", world.namespace)

    await world.until_gone("one", BACKUP)
    # Nothing stays for operators of later tests: whatever they made for it would be refused.
    await world.kube.delete(ETCD, "e", world.namespace)
    await world.until_gone()


async def test_a_sidecar_that_never_ends_holds_up_neither_backup_nor_proof_nor_removal(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    standin.jobs.sidecar = True
    await volume(world)
    await filled(world, standin, backup={"store": STORE})

    await ask(world)

    await until_phase(world, "Complete")
    await world.until_gone("one-backup-1", kinds.JOB)
    await world.annotate(ANNOTATION_VERIFY, "now", "one", BACKUP)
    await world.until(lambda m: verified(m) == "Passed", "one", BACKUP)
    await world.kube.delete(BACKUP, "one", world.namespace)
    await world.until_gone("one", BACKUP)
    assert await stored(world, standin) == []
    assert await world.kube.list(kinds.JOB, world.namespace) == []


async def test_a_refused_pod_is_quoted_and_mended_by_its_resources(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await volume(world)
    await filled(world, standin, backup={"store": STORE})
    await at_least(world, "200m")

    await ask(world)

    refused = condition(await until_reason(world, "PodRefused"))
    assert "minimum cpu usage per Container is 200m" in refused["message"]
    assert "spec.worker of the EtcdBackup or spec.backup.worker" in refused["message"]
    enough = {"resources": {"requests": {"cpu": "200m"}}}
    await world.kube.patch(BACKUP, "one", world.namespace, {"spec": {"worker": enough}})
    await until_phase(world, "Complete")


async def test_a_backup_that_never_came_to_be_is_deleted_at_once(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await volume(world)
    await filled(world, standin, backup={"store": STORE})
    await at_least(world, "200m")
    await ask(world)
    await until_reason(world, "PodRefused")

    await world.kube.delete(BACKUP, "one", world.namespace)

    # A Job that removes what is stored would be refused as well.
    await world.until_gone("one", BACKUP)
    assert await world.kube.list(kinds.JOB, world.namespace) == []


async def test_the_refusal_of_a_removal_is_quoted(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await volume(world)
    await filled(world, standin, backup={"store": STORE})
    await ask(world)
    await until_phase(world, "Complete")
    await at_least(world, "200m")

    await world.kube.delete(BACKUP, "one", world.namespace)

    def told(m: Manifest | None) -> bool:
        return "minimum cpu usage per Container" in condition(m).get("message", "")

    await world.until(told, "one", BACKUP)
    enough = {"resources": {"requests": {"cpu": "200m"}}}
    await world.kube.patch(BACKUP, "one", world.namespace, {"spec": {"worker": enough}})
    await world.until_gone("one", BACKUP)
    assert await stored(world, standin) == []


async def test_the_refusal_of_a_member_is_quoted(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await at_least(world, "200m")
    await world.make()

    refused = await world.until(lambda m: condition(m).get("reason") == "PodRefused")

    assert "e-0: its pod is refused: minimum cpu usage" in condition(refused)["message"]
    assert "set spec.resources" in condition(refused)["message"]
    enough = {"requests": {"cpu": "200m", "memory": "128Mi"}}
    await world.kube.patch(ETCD, "e", world.namespace, {"spec": {"resources": enough}})
    await world.until_ready()


async def at_least(world: World, cpu: str) -> None:
    """A LimitRange above what our containers ask for."""
    limits = [{"type": "Container", "min": {"cpu": cpu}}]
    await world.kube.create(
        {
            "apiVersion": "v1",
            "kind": "LimitRange",
            "metadata": {"name": "least", "namespace": world.namespace},
            "spec": {"limits": limits},
        }
    )


async def test_no_more_jobs_run_at_the_same_time_than_may(
    api_server: ApiServer, standin: StandIn, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOK_WORKER_IMAGE", "kok:test")
    monkeypatch.setenv("KOK_WORKER_JOBS", "1")
    async with running(api_server, world.namespace):
        await volume(world)
        await filled(world, standin, backup={"store": STORE})
        standin.jobs.held.add("backup")
        await ask(world, "a")
        await until_phase(world, "Running", "a")
        await ask(world, "b")
        await until_reason(world, "Queued", "b")

        standin.jobs.held.clear()

        await until_phase(world, "Complete", "a")
        await until_phase(world, "Complete", "b")
