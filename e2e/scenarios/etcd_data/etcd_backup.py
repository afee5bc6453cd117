"""Backups of etcd to S3 and to a volume; what the store does wrong is noticed, said, and mended.

In front of the S3 server stands a proxy that refuses, breaks off, lies and lags on command. No
backup counts as stored that is not there as it was taken.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

from e2e.faults import disruption, s3proxy
from e2e.faults.s3proxy import Cut, ErrorInside, Fault, Flip, Proxy, Refuse, Slow, Truncate
from e2e.fixtures import backups, etcd
from e2e.fixtures.backups import BACKUP
from e2e.framework.environment import Environment, environment
from e2e.framework.report import Report
from e2e.framework.rights import nothing_was_refused
from e2e.lab import S3
from e2e.writer import kept, writing
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.operators.etcd import naming

NAMESPACE = "e2e-etcd-backup"
BUCKET = NAMESPACE
FILLED = 60_000_000
WHOLE = ".snapshot"
"""How the address of a backup ends that is sent in one request."""


@dataclass(frozen=True)
class Case:
    """A fault, which requests it befalls, and what the EtcdBackup may say meanwhile.

    Without `reasons` the backup succeeds in spite of it. `in_parts`: the store takes no backup in
    one request, so that it goes in parts. `final`: it is not tried again, since somebody must look.
    """

    name: str
    fault: Fault
    method: str | None = None
    containing: str = ""
    ending: str = ""
    times: int | None = None
    in_parts: bool = False
    reasons: tuple[str, ...] = ()
    final: bool = False


CASES = (
    Case("denied", Refuse(403), reasons=("StoreDenied",), final=True),
    Case("busy-for-a-moment", Refuse(503), times=2),
    Case("busy", Refuse(503), reasons=("StoreBusy",)),
    Case("error-with-status-200", ErrorInside(), "PUT", ending=WHOLE, times=1),
    Case("error-after-all-parts", ErrorInside(), "POST", "uploadId=", times=1, in_parts=True),
    Case("upload-breaks-off", Cut(), "PUT", ending=WHOLE, times=1),
    Case("slow", Slow(8_000_000)),
    Case("slow-in-parts", Slow(8_000_000), in_parts=True),
    Case(
        "answers-break-off",
        Truncate(),
        "GET",
        reasons=("StoreUnreachable", "BackupTruncated", "BackupAltered"),
    ),
    Case(
        "answers-end-early",
        Truncate(quietly=True),
        "GET",
        reasons=("BackupTruncated", "BackupAltered"),
        final=True,
    ),
    Case("a-bit-differs", Flip(), "GET", reasons=("BackupAltered",), final=True),
)


async def run(report: Report) -> None:
    """The scenario; it leaves the lab as it was."""
    async with environment(report, meta=1, workers=0) as w:
        with report.step("S3 server"):
            s3 = await w.lab.want_s3()
        s3.make_bucket(BUCKET)
        try:
            async with etcd.fresh_namespaces(w, NAMESPACE), s3proxy.faulty(w.lab, s3) as proxy:
                begin = datetime.now(UTC)
                await all_of_it(w, s3, proxy)
                await nothing_was_refused(w, begin)
        finally:
            s3.remove_bucket(BUCKET)


async def all_of_it(w: Environment, s3: S3, proxy: Proxy) -> None:
    """All of it, on one etcd cluster under a writer."""
    store = await etcd.store(w, NAMESPACE, s3, BUCKET, endpoint=proxy.endpoint)
    await etcd.create(w, NAMESPACE, storage={"size": "2Gi"}, backup={"store": store})
    async with writing(w, NAMESPACE, etcd.NAME) as writer:
        await writer.fill(FILLED)
        await stored_and_proved(w, s3)
        for case in CASES:
            await _case(w, s3, proxy, case)
        await worker_killed(w, s3, proxy)
        await operator_killed(w, s3)
        await on_a_volume(w)
        await volume_full(w)
        await users_and_roles(w, s3)
        with w.report.step("every confirmed write is read back"):
            kept(await writer.finish())


async def as_taken(w: Environment, s3: S3, name: str) -> None:
    """What lies in the bucket is what the status says."""
    found = (await backups.stored(w, NAMESPACE, name))["status"]
    sizes = {k: n for k, n in s3.objects(BUCKET).items() if k.endswith(found["key"])}
    if list(sizes.values()) != [found["size"]]:
        raise AssertionError(f"{name} has {found['size']} bytes; the bucket holds {sizes}")
    content = (s3.root / BUCKET / next(iter(sizes))).read_bytes()
    if hashlib.sha256(content).hexdigest() != found["sha256"]:
        raise AssertionError(f"{name} lies in the bucket with another SHA-256 than its status says")


async def stored_and_proved(w: Environment, s3: S3) -> None:
    """A backup, a proof of it, and proofs that fail once it is damaged."""
    with w.report.step("a backup to S3", "backup_s"):
        await backups.back_up(w, NAMESPACE, "one")
        await as_taken(w, s3, "one")
    with w.report.step("it is restored for a trial", "verify_s"):
        await backups.proved(w, NAMESPACE, "one", "first", "Passed")
    key = backups.snapshot(s3, BUCKET, "one")
    with w.report.step("one bit of it is turned over, and the proof fails"):
        s3.flip_bit(BUCKET, key)
        await backups.proved(w, NAMESPACE, "one", "flipped", "Failed")
    with w.report.step("it is cut short, and the proof fails"):
        s3.cut_short(BUCKET, key, 1_000_000)
        await backups.proved(w, NAMESPACE, "one", "cut", "Failed")


async def _case(w: Environment, s3: S3, proxy: Proxy, case: Case) -> None:
    """One fault of the store, from before a backup until it is said or overcome."""
    name = f"s3-{case.name}"
    hits = proxy.hits
    with w.report.step(f"S3: {case.name}"):
        with ExitStack() as faults:
            if case.in_parts:
                faults.enter_context(proxy.fault(Refuse(413), method="PUT", ending=WHOLE))
                hits += 1
            faults.enter_context(
                proxy.fault(
                    case.fault,
                    method=case.method,
                    containing=case.containing,
                    ending=case.ending,
                    times=case.times,
                )
            )
            await backups.back_up(w, NAMESPACE, name)
            if case.reasons:
                said = etcd.says("Ready", "False", *case.reasons)
                await w.until(BACKUP, NAMESPACE, name, said, etcd.LONG)
            else:
                await backups.stored(w, NAMESPACE, name)
        if proxy.hits <= hits:
            raise AssertionError(f"the fault {case.name} befell no request: nothing was proved")
        if not case.final:
            await as_taken(w, s3, name)


async def worker_killed(w: Environment, s3: S3, proxy: Proxy) -> None:
    """A worker dies in the middle of its upload, which ends after the one of the next worker."""
    name = "worker-killed"
    with w.report.step("the worker is killed during its upload"):
        with proxy.fault(Slow(500_000), method="PUT", ending=WHOLE, times=1):
            hits = proxy.hits
            await backups.back_up(w, NAMESPACE, name)
            async with asyncio.timeout(etcd.LONG):
                await proxy.until(lambda: proxy.hits > hits)
            pods = await w.kube.list(kinds.POD, NAMESPACE, labels={naming.LABEL_WORKER: "backup"})
            (running,) = (p for p in pods if p["status"].get("phase") == "Running")
            await disruption.kill_process(w, NAMESPACE, running["metadata"]["name"], "kok")
        await as_taken(w, s3, name)
        proxy.break_off()
        async with asyncio.timeout(etcd.SOON):
            await proxy.until(lambda: not proxy.under_way)
        await as_taken(w, s3, name)


async def operator_killed(w: Environment, s3: S3) -> None:
    """The operator is killed while a Job takes the snapshot."""
    with w.report.step("the operator is killed during a backup"):
        await backups.back_up(w, NAMESPACE, "killed")
        running = etcd.says("Ready", "False", "BackupRunning")
        await w.until(BACKUP, NAMESPACE, "killed", running, etcd.SOON)
        await disruption.kill_operator(w)
        await as_taken(w, s3, "killed")


async def on_a_volume(w: Environment) -> None:
    """The same on a claim of the user's."""
    with w.report.step("a backup to a volume, and a proof of it", "volume_backup_s"):
        await w.apply(_claim("backups"))
        await backups.back_up(w, NAMESPACE, "on-volume", store={"volume": {"claim": "backups"}})
        await backups.stored(w, NAMESPACE, "on-volume")
        await backups.proved(w, NAMESPACE, "on-volume", "first", "Passed")


async def volume_full(w: Environment) -> None:
    """The volume is full in the middle of a backup; with room it succeeds."""
    with w.report.step("the volume of the backups is full"):
        async with disruption.small_volumes(w, ["meta-1"], 1, size="20m"):
            await w.apply(_claim("small", disruption.SMALL))
            await backups.back_up(w, NAMESPACE, "full", store={"volume": {"claim": "small"}})
            said = etcd.says("Ready", "False", "StoreFull")
            await w.until(BACKUP, NAMESPACE, "full", said, etcd.LONG)
            await w.kube.delete(BACKUP, "full", NAMESPACE)
            await w.gone(BACKUP, NAMESPACE, "full", etcd.LONG)
            await w.kube.delete(kinds.PVC, "small", NAMESPACE)
            await w.gone(kinds.PVC, NAMESPACE, "small", etcd.LONG)


async def users_and_roles(w: Environment, s3: S3) -> None:
    """An etcd with users: the operator's certificate is one of them, and the cluster stays well."""
    leader, _ = await etcd.leading(w, NAMESPACE)
    with w.report.step("a backup of an etcd with users and roles, and a proof of it"):
        for words in (
            "user add root --no-password",
            "user grant-role root root",
            "user add etcd-client --no-password",
            "user grant-role etcd-client root",
            "user add etcd-server --no-password",
            "user grant-role etcd-server root",
            "auth enable",
        ):
            await etcd.etcdctl(w, NAMESPACE, leader, *words.split())
        try:
            await backups.back_up(w, NAMESPACE, "users")
            await as_taken(w, s3, "users")
            await backups.proved(w, NAMESPACE, "users", "first", "Passed")
            await etcd.ready(w, NAMESPACE)
        finally:
            await etcd.etcdctl(w, NAMESPACE, leader, "auth", "disable")
        await etcd.ready(w, NAMESPACE)


def _claim(name: str, storage_class: str | None = None) -> Manifest:
    chosen = {"storageClassName": storage_class} if storage_class else {}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            **chosen,
        },
    }
