"""A majority lost for long, and a policy by which the newest proven backup is restored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.integration.operators.etcd.backups.builders import BACKUP
from tests.integration.operators.etcd.backups.test_restores import RESTORE, backed_up, endpoint
from tests.integration.operators.etcd.conftest import ETCD, Tune, World, at_rest, condition, status
from tests.integration.operators.etcd.kv import get
from tests.integration.operators.etcd.standin import StandIn

from kok.kube import kinds
from kok.operators.etcd.naming import ANNOTATION_VERIFY
from kok.runtime.process.main import Process

POLICY = {"policy": "FromBackup", "restoreAfter": "1s"}


@pytest.fixture(autouse=True)
def hurry(tune: Tune) -> None:
    """Members that are not well are looked at more often."""
    tune(look_troubled=0.5)


async def test_it_waits_for_a_proven_backup_and_restores_it_once(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await backed_up(world, standin, recovery=POLICY)
    await world.kube.delete(kinds.PVC, "e-0", world.namespace)
    await world.kube.delete(kinds.POD, "e-0-0", world.namespace)

    await world.until_ready(reason="RecoveryBlocked", says=["no EtcdBackup of etcd cluster"])

    assert await world.kube.list(RESTORE, world.namespace) == []
    await world.annotate(ANNOTATION_VERIFY, "now", "one", BACKUP)

    await world.until(lambda m: status(m).get("restored") and at_rest(1)(m))
    found = await world.until(lambda m: "restore" not in status(m))

    (made,) = await world.kube.list(RESTORE, world.namespace)
    assert made["metadata"]["name"].startswith("e-recovery-")
    assert made["spec"]["backup"] == "one"
    assert "quorumLostAt" not in found["status"]
    there = endpoint(standin, found["status"]["members"][0]["name"])
    assert await get(await world.credentials(), there, "k0") == "v" * 100
    assert await get(await world.credentials(), there, "late") is None


async def test_time_that_nobody_watched_does_not_count(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    """As after an outage of members and operator alike: what is recorded of it is hours old."""
    await backed_up(world, standin, members=3)
    await world.annotate(ANNOTATION_VERIFY, "now", "one", BACKUP)
    await world.until(lambda m: status(m).get("lastVerified"))
    policy = {"policy": "FromBackup", "restoreAfter": "1h"}
    await world.kube.patch(ETCD, "e", world.namespace, {"spec": {"recovery": policy}})
    standin.pause("e-0")
    standin.pause("e-2")
    await world.until_ready(reason="QuorumLost", says=["EtcdBackup one is restored at"])
    long_ago = "2026-01-01T00:00:00Z"
    patch = {"status": {"quorumLostAt": long_ago}}
    await world.kube.patch(ETCD, "e", world.namespace, patch, subresource="status")
    await world.kube.patch(
        ETCD, "e", world.namespace, {"spec": {"recovery": {"restoreAfter": "2h"}}}
    )

    told = await world.until(
        lambda m: m and m["metadata"]["generation"] == status(m)["observedGeneration"]
    )

    assert told["status"]["quorumLostAt"] == long_ago
    words = condition(told)["message"].partition("is restored at ")[2]
    when = datetime.fromisoformat(words.partition(" UTC")[0]).replace(tzinfo=UTC)
    assert when - datetime.now(UTC) > timedelta(hours=1)
    assert await world.kube.list(RESTORE, world.namespace) == []
    standin.resume("e-0")
    standin.resume("e-2")
    await world.until(at_rest(3))


async def test_it_is_called_off_when_a_quorum_returns(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await backed_up(world, standin, members=3)
    await world.annotate(ANNOTATION_VERIFY, "now", "one", BACKUP)
    await world.until(lambda m: status(m).get("lastVerified"))
    formed = await world.until_ready()
    standin.jobs.held.add("prove")
    await world.kube.patch(ETCD, "e", world.namespace, {"spec": {"recovery": POLICY}})
    standin.pause("e-0")
    standin.pause("e-2")
    told = await world.until(lambda m: "EtcdRestore e-recovery-" in condition(m).get("message", ""))
    assert condition(told)["reason"] == "QuorumLost"
    (made,) = await world.kube.list(RESTORE, world.namespace)

    standin.resume("e-0")
    standin.resume("e-2")

    await world.until_gone(made["metadata"]["name"], RESTORE)
    standin.jobs.held.clear()
    again = await world.until(at_rest(3))
    assert again["status"]["clusterID"] == formed["status"]["clusterID"]
    assert "restored" not in again["status"]
    there = endpoint(standin, "e-0")
    assert await get(await world.credentials(), there, "late") == "lost"


async def test_it_is_called_off_while_the_members_are_being_stopped(
    etcd_operator: Process, standin: StandIn, world: World
) -> None:
    await backed_up(world, standin, members=3)
    await world.annotate(ANNOTATION_VERIFY, "now", "one", BACKUP)
    await world.until(lambda m: status(m).get("lastVerified"))
    formed = await world.until_ready()
    # Their nodes hang: nobody answers there, and no pod that is to go does.
    standin.hold_deletions = True
    standin.stop_answering("e-0")
    standin.stop_answering("e-2")
    await world.kube.patch(ETCD, "e", world.namespace, {"spec": {"recovery": POLICY}})
    begun = await world.until(lambda m: (status(m).get("restore") or {}).get("step") == "Stopping")
    for member in ("e-0", "e-1", "e-2"):
        await world.until_gone(member, kinds.STATEFULSET)

    standin.answer_again("e-0")
    standin.answer_again("e-2")

    await world.until(lambda m: "restore" not in status(m))
    await world.kube.patch(ETCD, "e", world.namespace, {"spec": {"recovery": None}})
    await world.until_gone(begun["status"]["restore"]["name"], RESTORE)
    standin.hold_deletions = False
    again = await world.until(at_rest(3))
    assert again["status"]["clusterID"] == formed["status"]["clusterID"]
    assert "restored" not in again["status"]
    assert await get(await world.credentials(), endpoint(standin, "e-0"), "late") == "lost"
