"""EtcdBackups: taken by Jobs, kept by schedule, removed with their objects."""

from __future__ import annotations

import re

from tests.integration.operators.etcd.backups.builders import (
    BACKUP,
    STORE,
    ask,
    at_least,
    filled,
    flip_a_bit,
    stored,
    until_phase,
    until_reason,
    verified,
    volume,
)
from tests.integration.operators.etcd.conftest import (
    ETCD,
    World,
    condition,
    status,
)
from tests.integration.operators.etcd.standin import StandIn

from kok.kube import kinds
from kok.operators.etcd.naming import ANNOTATION_VERIFY
from kok.runtime.process.main import Process


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
