"""Restores: in place and into a new cluster, refused, one after the other, cut short."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
from tests.integration.apiserver import ApiServer
from tests.integration.operators.etcd.backups.builders import (
    BACKUP,
    STORE,
    ask,
    filled,
    flip_a_bit,
    until_phase,
    volume,
)
from tests.integration.operators.etcd.conftest import ETCD, World, condition, running, status
from tests.integration.operators.etcd.kv import get, put
from tests.integration.operators.etcd.standin import StandIn

from kok.api.etcd.etcdrestore import EtcdRestore
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.operators.etcd.naming import pod_endpoint
from kok.runtime.process.main import Process

RESTORE = EtcdRestore.info.kind


async def restore(world: World, name: str = "back", **spec: Any) -> Manifest:
    """Asks for a restore, by default from the EtcdBackup `one`."""
    return await world.kube.create(
        {
            "apiVersion": RESTORE.api_version,
            "kind": RESTORE.kind,
            "metadata": {"name": name, "namespace": world.namespace},
            "spec": {"etcdCluster": "e", **(spec or {"backup": "one"})},
        }
    )


async def until_restore(world: World, phase: str, name: str = "back") -> Manifest:
    return await world.until(lambda m: status(m).get("phase") == phase, name, RESTORE)


async def backed_up(world: World, standin: StandIn, **spec: Any) -> None:
    """A cluster with a backup, and a key that was written only afterwards."""
    await volume(world)
    await filled(world, standin, backup={"store": STORE}, **spec)
    await ask(world)
    await until_phase(world, "Complete")
    await put(await world.credentials(), endpoint(standin, "e-0"), "late", "lost")


def endpoint(standin: StandIn, member: str) -> str:
    return pod_endpoint(standin.address(member))


async def revision(world: World, address: str) -> int:
    async with world.client() as client:
        return (await client.status(address)).revision


async def test_a_restore_brings_back_what_was_backed_up(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await backed_up(world, standin)
    before = await revision(world, endpoint(standin, "e-0"))
    first = (await world.there(ETCD, "e"))["status"]["clusterID"]

    made = await restore(world)
    await until_restore(world, "Complete")

    found = await world.until_ready()
    member = found["status"]["members"][0]["name"]
    at, credentials = endpoint(standin, member), await world.credentials()
    assert member != "e-0", "names are never used again"
    assert await get(credentials, at, "k0") == "v" * 100
    assert await get(credentials, at, "late") is None
    assert await revision(world, at) > before, "time never runs backwards"
    assert found["status"]["clusterID"] != first
    assert found["status"]["restored"]["uid"] == made["metadata"]["uid"]
    assert "restore" not in found["status"]
    await world.until_gone("e-0", kinds.PVC)
    await put(credentials, at, "after", "yes")


async def test_a_backup_that_was_altered_is_refused_and_nothing_is_touched(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await backed_up(world, standin)
    done = await until_phase(world, "Complete")
    await flip_a_bit(standin, done["status"]["key"])

    await restore(world)

    refused = await until_restore(world, "Failed")
    assert condition(refused)["reason"] == "RestoreRefused"
    assert "BackupAltered" in condition(refused)["message"]
    found = await world.there(ETCD, "e")
    assert condition(found)["status"] == "True"
    assert await get(await world.credentials(), endpoint(standin, "e-0"), "late") == "lost"


async def test_where_encryption_is_set_no_plain_backup_is_restored(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    """Whatever the Secret of the keys holds."""
    await backed_up(world, standin)
    done = await world.there(BACKUP, "one")
    key = {"metadata": {"name": "backup-keys", "namespace": world.namespace}}
    secret = {"apiVersion": "v1", "kind": "Secret", **key, "stringData": {"key": "ab" * 32}}
    await world.kube.apply(secret)

    encryption = {"secret": "backup-keys"}
    await restore(world, store=STORE, key=done["status"]["key"], encryption=encryption)

    unusable = "none of its entries (key) is one"
    await world.until(lambda m: unusable in str(condition(m).get("message")), "back", RESTORE)
    await world.kube.apply({**secret, "stringData": {"key": "k" * 32}})
    refused = await until_restore(world, "Failed")
    assert "not encrypted, although encryption is set" in condition(refused)["message"]


async def test_of_two_restores_one_waits_for_the_other(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await backed_up(world, standin)
    await restore(world, "a")
    await restore(world, "b")

    await until_restore(world, "Complete", "a")
    await until_restore(world, "Complete", "b")

    found = await world.until_ready()
    assert len(found["status"]["members"]) == 1
    assert found["status"]["restored"]["bump"] > 10**9, "the second comes out above the first"


async def test_a_restore_that_is_deleted_in_time_is_taken_back(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await backed_up(world, standin)
    standin.jobs.held.add("seed")
    await restore(world)
    await world.until(lambda m: (status(m).get("restore") or {}).get("step") == "Seeding")

    await world.kube.delete(RESTORE, "back", world.namespace)

    found = await world.until_ready()
    assert [m["name"] for m in found["status"]["members"]] == ["e-0"]
    assert await get(await world.credentials(), endpoint(standin, "e-0"), "late") == "lost"
    await world.until_gone("e-1", kinds.PVC)


async def test_a_cluster_can_be_deleted_during_a_restore(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await backed_up(world, standin)
    standin.jobs.held.add("seed")
    await restore(world)
    await world.until(lambda m: (status(m).get("restore") or {}).get("step") == "Seeding")

    await world.kube.delete(ETCD, "e", world.namespace)

    await world.until_gone()
    for name in ("e-0", "e-1"):
        await world.until_gone(name, kinds.PVC)
    await until_restore(world, "Failed")


async def test_a_new_cluster_begins_with_the_newest_backup_of_another(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await backed_up(world, standin)
    source = {"store": STORE, "newestOf": f"{world.namespace}/e"}

    await world.make("f", restoreFrom=source)

    found = await world.until_ready("f")
    member = found["status"]["members"][0]["name"]
    at, credentials = endpoint(standin, member), await world.credentials("f")
    assert await get(credentials, at, "k0") == "v" * 100
    assert await get(credentials, at, "late") is None
    assert found["status"]["restored"]["name"] == "f-restore-from"


async def test_the_copy_of_anothers_backup_is_not_its_newest(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await backed_up(world, standin)
    place = await standin.volume("backups") / "site-a" / world.namespace
    shutil.copytree(place / "e", place / "f")

    await restore(world, store=STORE, newestOf=f"{world.namespace}/f")

    refused = condition(await until_restore(world, "Failed"))
    assert refused["reason"] == "RestoreRefused"
    assert f"was made of EtcdCluster {world.namespace}/e" in refused["message"]
    credentials, at = await world.credentials(), endpoint(standin, "e-0")
    assert await get(credentials, at, "late") == "lost", "nothing was touched"


async def test_three_members_are_restored_also_if_the_operator_is_started_anew(
    api_server: ApiServer,
    standin: StandIn,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KOK_WORKER_IMAGE", "kok:test")
    async with running(api_server, world.namespace):
        await backed_up(world, standin, members=3)
        standin.jobs.held.add("seed")
        await restore(world)
        await world.until(lambda m: (status(m).get("restore") or {}).get("step") == "Seeding")
    standin.jobs.held.clear()
    async with running(api_server, world.namespace):
        await world.until(lambda m: (status(m).get("restore") or {}).get("step") == "Growing")
        for name in ("e-0", "e-1", "e-2"):
            await world.there(kinds.PVC, name)

        await until_restore(world, "Complete")

        found = await world.until_ready()
        members = [m["name"] for m in found["status"]["members"]]
        assert members == ["e-3", "e-4", "e-5"]
        for member in members:
            assert await get(await world.credentials(), endpoint(standin, member), "k0")
        for name in ("e-0", "e-1", "e-2"):
            await world.until_gone(name, kinds.PVC)
