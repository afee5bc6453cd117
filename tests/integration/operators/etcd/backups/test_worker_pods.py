"""Pods that move backups: how many, who may reach them, and what is said where they are refused."""

from __future__ import annotations

import asyncio

import pytest
from tests.integration.apiserver import ApiServer
from tests.integration.operators.etcd.backups.builders import (
    BACKUP,
    STORE,
    ask,
    at_least,
    filled,
    stored,
    until_phase,
    until_reason,
    verified,
    volume,
)
from tests.integration.operators.etcd.conftest import (
    ETCD,
    LIMIT,
    World,
    condition,
    running,
)
from tests.integration.operators.etcd.standin import StandIn

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.operators.etcd import naming
from kok.operators.etcd.naming import ANNOTATION_VERIFY
from kok.runtime.process.main import Process


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
