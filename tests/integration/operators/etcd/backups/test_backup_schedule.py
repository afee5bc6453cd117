"""Backups that are due: made once for each slot, whatever happens to the operator in between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.integration.operators.etcd.backups.builders import BACKUP, STORE, ask, volume
from tests.integration.operators.etcd.conftest import ETCD, World
from tests.integration.operators.etcd.killing import FINALIZER, Killed

from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.events import Recorder
from kok.operators.etcd.handlers import EtcdBackups, EtcdClusters
from kok.operators.etcd.jobs.slots import Slots
from kok.operators.etcd.naming import ANNOTATION_SLEEP_WITHOUT_BACKUP
from kok.operators.etcd.settings import EtcdSettings
from kok.runtime.clock import FakeClock
from kok.runtime.controller.passes import Passes, Tools
from kok.runtime.settings import Settings

HOUR = timedelta(hours=1)


class At:
    """Passes over the EtcdCluster `e` at times of the test's choosing."""

    def __init__(self, world: World) -> None:
        self.world = world

    async def run(self, now: datetime, *, die_after_create: bool = False) -> None:
        """One pass; it may be killed right after an EtcdBackup was made."""
        kube, clock = self.world.kube, FakeClock(now)
        if die_after_create:
            kube = _dying(kube)
        recorder = Recorder(kube, "test", clock.now)
        tools = Tools("etcd", FINALIZER, kube, recorder, clock, Settings())
        await Passes(EtcdClusters(), tools).reconcile((self.world.namespace, "e"), 0)

    async def names(self) -> list[str]:
        """The EtcdBackups that there are."""
        found = await self.world.kube.list(BACKUP, self.world.namespace)
        return sorted(m["metadata"]["name"] for m in found)

    async def complete(self, name: str, at: datetime) -> None:
        """What the worker would report."""
        status: dict[str, Any] = {
            "phase": "Complete",
            "startedAt": at.isoformat(),
            "completedAt": at.isoformat(),
            "size": 1,
        }
        await self.world.kube.patch(
            BACKUP, name, self.world.namespace, {"status": status}, subresource="status"
        )


def _dying(kube: Kube) -> Kube:
    made: list[str] = []

    def count(method: str, path: str) -> None:
        if made:
            raise Killed
        if method == "POST" and path.endswith("/etcdbackups"):
            made.append(path)

    return kube.guarded(count)


async def formed(world: World, **backup: Any) -> tuple[At, datetime]:
    """An EtcdCluster with a schedule, and the hour after the one that it was made in."""
    made = await world.make(backup={"schedule": "0 * * * *", "store": STORE, **backup})
    patch = {"metadata": {"finalizers": [FINALIZER]}}
    await world.kube.patch(ETCD, "e", world.namespace, patch)
    status = {"status": {"clusterID": "abc", "seed": "e-0"}}
    await world.kube.patch(ETCD, "e", world.namespace, status, subresource="status")
    begun = datetime.fromisoformat(made["metadata"]["creationTimestamp"])
    hour = begun.replace(minute=0, second=0, microsecond=0)
    return At(world), hour + HOUR


def named(slot: datetime) -> str:
    return f"e-{slot:%Y%m%d-%H%M}"


async def test_a_slot_has_one_backup_also_if_the_operator_dies(
    kube: Kube, world: World, etcd_crd: None
) -> None:
    passes, hour = await formed(world)
    await passes.run(hour - timedelta(seconds=1))
    assert await passes.names() == []

    with pytest.raises(Killed):
        await passes.run(hour, die_after_create=True)
    assert await passes.names() == [named(hour)]

    for second in (1, 2):
        await passes.run(hour + timedelta(seconds=second))
    assert await passes.names() == [named(hour)]


async def test_after_an_outage_only_the_latest_slot_is_made_up_for(
    kube: Kube, world: World, etcd_crd: None
) -> None:
    passes, hour = await formed(world)
    await passes.run(hour + HOUR * 5 + timedelta(minutes=7))
    assert await passes.names() == [named(hour + HOUR * 5)]


async def test_a_backup_that_a_person_deleted_is_not_made_again(
    kube: Kube, world: World, etcd_crd: None
) -> None:
    passes, hour = await formed(world)
    await passes.run(hour)
    await world.kube.delete(BACKUP, named(hour), world.namespace)
    await passes.run(hour + timedelta(minutes=1))
    assert await passes.names() == []


async def test_old_ones_go_and_the_newest_is_proven(
    kube: Kube, world: World, etcd_crd: None
) -> None:
    passes, hour = await formed(world, keep={"last": 2}, verify="30 * * * *")
    for number in range(4):
        slot = hour + HOUR * number
        await passes.run(slot)
        await passes.complete(named(slot), slot)
    last = hour + HOUR * 3

    await passes.run(last + timedelta(minutes=30))

    assert await passes.names() == [named(hour + HOUR * 2), named(last)]
    newest = await world.there(BACKUP, named(last))
    assert newest["metadata"]["annotations"]["kok.dev/verify"]
    other = await world.there(BACKUP, named(hour + HOUR * 2))
    asked = other["metadata"]["annotations"].get("kok.dev/verify")
    assert asked != newest["metadata"]["annotations"]["kok.dev/verify"]


async def test_a_proof_that_could_not_be_tried_is_tried_again(
    kube: Kube, world: World, etcd_crd: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOK_WORKER_IMAGE", "kok:test")
    begun = datetime.now(UTC).replace(microsecond=0)
    await volume(world)
    await ask(world)
    meta = {"finalizers": [FINALIZER], "annotations": {"kok.dev/verify": "now"}}
    await kube.patch(BACKUP, "one", world.namespace, {"metadata": meta})
    known = {"key": "a/e/one.snapshot", "revision": 1, "etcdVersion": "3.6.10"}
    stored = {"phase": "Complete", "store": STORE, "sha256": "0" * 64, "size": 1, **known}
    await kube.patch(BACKUP, "one", world.namespace, {"status": stored}, subresource="status")

    async def run(now: datetime) -> list[str]:
        """One pass; the Jobs that there are afterwards."""
        clock = FakeClock(now)
        recorder = Recorder(kube, "test", clock.now)
        tools = Tools("etcd", FINALIZER, kube, recorder, clock, Settings())
        reconciler = EtcdBackups(EtcdSettings(), Slots(4))
        await Passes(reconciler, tools).reconcile((world.namespace, "one"), 0)
        return sorted(
            m["metadata"]["name"][-2:] for m in await kube.list(kinds.JOB, world.namespace)
        )

    assert await run(begun) == ["-1"]
    (job,) = await kube.list(kinds.JOB, world.namespace)
    why = {"reason": "BackoffLimitExceeded", "lastTransitionTime": begun.isoformat()}
    ended = {
        "startTime": begun.isoformat(),
        "failed": 1,
        "conditions": [
            {"type": type_, "status": "True", **why} for type_ in ("FailureTarget", "Failed")
        ],
    }
    name = job["metadata"]["name"]
    await kube.patch(kinds.JOB, name, world.namespace, {"status": ended}, subresource="status")

    assert await run(begun + timedelta(seconds=1)) == ["-1"]
    assert await run(begun + timedelta(seconds=30)) == ["-1"], "it waits"
    assert await run(begun + timedelta(minutes=2)) == ["-1", "-2"]


async def test_what_was_due_while_it_slept_is_not_made_up_for(world: World, etcd_crd: None) -> None:
    at, due = await formed(world)
    await world.annotate(ANNOTATION_SLEEP_WITHOUT_BACKUP, "true")
    await world.kube.patch(ETCD, "e", world.namespace, {"spec": {"hibernate": True}})
    for second in range(3):
        await at.run(due - timedelta(seconds=9 - second))
    asleep = await world.there(ETCD, "e")
    assert asleep["status"]["hibernation"]["step"] == "Asleep"
    await at.run(due + timedelta(minutes=10))

    await world.kube.patch(ETCD, "e", world.namespace, {"spec": {"hibernate": False}})
    for minute in range(20, 30):
        await at.run(due + timedelta(minutes=minute))

    awake = await world.there(ETCD, "e")
    assert "hibernation" not in awake["status"]
    assert await at.names() == []
    await at.run(due + HOUR)
    assert await at.names() == [f"e-{due + HOUR:%Y%m%d-%H%M}"]
