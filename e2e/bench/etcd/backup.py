"""What a backup of 2 GiB costs, beside what the store or the disk can take by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp

from e2e.bench.clusters import NAMESPACE
from e2e.bench.figure import Figure, figure
from e2e.bench.usage import machine
from e2e.faults.disruption import volume_of
from e2e.fixtures import etcd
from e2e.framework.environment import Environment
from e2e.framework.follow import has
from e2e.lab import S3
from e2e.writer import writing
from kok.api import EtcdBackup
from kok.api.meta import Manifest
from kok.backup.report import BackupResult, Report
from kok.backup.stores.s3 import sigv4
from kok.kube import kinds
from kok.operators.etcd.pods import DATA

GIB = 2**30
SIZE = 2 * GIB
NAME, CLAIM, BUCKET = "b", "backups", "bench-backups"
LEAST_SHARE = 60
"""Percent of the store's own rate that a backup is to reach."""
MOST_MEMORY = 100
WITHIN = 600.0


async def saved(w: Environment) -> AsyncIterator[Figure]:
    """A backup of 2 GiB to S3 and to a volume, read back and compared."""
    s3 = await w.lab.want_s3()
    s3.make_bucket(BUCKET)
    try:
        store = await etcd.store(w, NAMESPACE, s3, BUCKET)
        await etcd.create(
            w, NAMESPACE, NAME, members=1, storage={"size": "8Gi"}, backup={"store": store}
        )
        async with writing(w, NAMESPACE, NAME, rate=1) as writer:
            await writer.fill(SIZE)
        by_hand = await _by_hand(w)
        yield figure("etcdctl-rate", by_hand / 1e6, "MB/s", note="etcdctl snapshot save in the pod")
        async for found in _to_s3(w, s3, by_hand):
            yield found
        async for found in _to_a_volume(w, by_hand):
            yield found
        await w.kube.delete(etcd.KIND, NAME, NAMESPACE)
        await w.gone(etcd.KIND, NAMESPACE, NAME, etcd.LONG)
    finally:
        s3.remove_bucket(BUCKET)


async def _to_s3(w: Environment, s3: S3, by_hand: float) -> AsyncIterator[Figure]:
    server = await _server_rate(s3)
    taken = await _backup(w, "to-s3")
    yield figure("s3-rate", server / 1e6, "MB/s", note="one PUT of 2 GiB straight to the server")
    both = 1 / (1 / by_hand + 1 / server)
    for found in _figures("s3", taken, server):
        yield found
    yield _beside("s3", taken, both, "etcdctl snapshot save, then one PUT")


async def _to_a_volume(w: Environment, by_hand: float) -> AsyncIterator[Figure]:
    await w.apply(_claim())
    taken = await _backup(w, "to-volume", store={"volume": {"claim": CLAIM}})
    disk = await _disk_rate(w)
    yield figure("disk-rate", disk / 1e6, "MB/s", note="dd of 2 GiB with fdatasync, same volume")
    for found in _figures("volume", taken, disk):
        yield found
    yield _beside("volume", taken, by_hand, "etcdctl snapshot save")
    slower = min(disk, by_hand)
    yield figure(
        "backup-2GiB-volume-to-slower-end",
        slower / taken.result.usage.bytes_per_second,
        "x-store",
        100 / LEAST_SHARE,
        f"at least {LEAST_SHARE} % of what the slower takes or gives: disk, or etcd to etcdctl",
    )
    await w.kube.delete(EtcdBackup.info.kind, "to-volume", NAMESPACE)
    await w.gone(EtcdBackup.info.kind, NAMESPACE, "to-volume", etcd.LONG)
    await w.kube.delete(kinds.PVC, CLAIM, NAMESPACE)


@dataclass(frozen=True, slots=True)
class Taken:
    """A backup: the worker's report, seconds until it was stored, how busy all cores were."""

    result: BackupResult
    seconds: float
    busy: float


def _figures(where: str, taken: Taken, possible: float) -> list[Figure]:
    usage = taken.result.usage
    name = f"backup-2GiB-{where}"
    return [
        figure(
            name, taken.seconds, "s", note="EtcdBackup made until stored, read back and compared"
        ),
        figure(f"{name}-rate", usage.bytes_per_second / 1e6, "MB/s", note="while it was streamed"),
        figure(
            f"{name}-to-store",
            possible / usage.bytes_per_second,
            "x-store",
            100 / LEAST_SHARE,
            f"at least {LEAST_SHARE} % of what the store takes",
        ),
        figure(
            f"{name}-memory",
            usage.peak_memory / 2**20,
            "MiB",
            MOST_MEMORY,
            "the worker, most resident memory",
        ),
        figure(
            f"{name}-busy", taken.busy, "%-cores", note="all cores: etcd, worker, store and lab"
        ),
    ]


def _beside(where: str, taken: Taken, by_hand: float, how: str) -> Figure:
    """How many times as long as by hand it took; etcd itself gives no more than a certain rate."""
    times = by_hand / taken.result.usage.bytes_per_second
    return figure(f"backup-2GiB-{where}-to-by-hand", times, "x-by-hand", note=how)


async def _backup(w: Environment, name: str, **spec: object) -> Taken:
    kind = EtcdBackup.info.kind
    reports: list[Report] = []
    following = asyncio.create_task(_follow(w, reports))
    begin, before = time.monotonic(), machine()
    await w.apply(
        {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"etcdCluster": NAME, **spec},
        }
    )
    await w.until(kind, NAMESPACE, name, has("Ready", reason="Stored"), WITHIN)
    took, busy = time.monotonic() - begin, machine().busy_since(before)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    mine = [r.backup for r in reports if r.backup and f"Z-{name}-" in r.backup.location]
    return Taken(mine[0], took, busy)


async def _follow(w: Environment, reports: list[Report]) -> None:
    """Notes what workers say at their ends; their pods may be gone soon after."""
    async with aclosing(w.kube.watch(kinds.POD, NAMESPACE)) as events:
        async for event in events:
            said = _report(event.object) if event.type != "SYNCED" else None
            if said is not None:
                reports.append(said)


def _report(pod: Manifest) -> Report | None:
    """What a worker said at its end, if the pod is one."""
    for container in (pod.get("status") or {}).get("containerStatuses") or ():
        message = (container["state"].get("terminated") or {}).get("message")
        if message:
            return Report.model_validate_json(message)
    return None


async def _server_rate(s3: S3) -> float:
    """Bytes a second of one plain PUT."""
    piece = memoryview(bytes(2**20))
    path, host = f"/{BUCKET}/probe", s3.endpoint.removeprefix("https://")

    async def body() -> AsyncIterator[memoryview]:
        for _ in range(SIZE // len(piece)):
            yield piece

    headers = sigv4.sign(
        sigv4.Credentials(s3.access_key, s3.secret_key),
        s3.region,
        method="PUT",
        path=path,
        query={},
        headers={"host": host, "content-length": str(SIZE)},
        payload=sigv4.UNSIGNED,
        now=datetime.now(UTC),
    )
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(WITHIN)) as session:
        begin = time.monotonic()
        async with session.put(
            s3.endpoint + path, data=body(), headers=headers, ssl=s3.trust()
        ) as answer:
            answer.raise_for_status()
        took = time.monotonic() - begin
        (s3.root / BUCKET / "probe").unlink()
    return SIZE / took


async def _by_hand(w: Environment) -> float:
    """Bytes a second of a snapshot that is saved by hand, on the member's own volume."""
    member, _ = await etcd.leading(w, NAMESPACE, NAME)
    file = "by-hand.db"
    begin = time.monotonic()
    await etcd.etcdctl(w, NAMESPACE, member, "snapshot", "save", f"{DATA}/{file}")
    took = time.monotonic() - begin
    node, path = await _place(w, member)
    size = int(await w.lab.exec(node, "stat", "--format=%s", f"{path}/{file}"))
    await w.lab.exec(node, "rm", f"{path}/{file}")
    return size / took


async def _place(w: Environment, claim: str) -> tuple[str, str]:
    """Node and folder of a claim's volume."""
    volume = await w.kube.get(kinds.PV, await volume_of(w, NAMESPACE, claim))
    assert volume is not None
    place = volume["spec"].get("hostPath") or volume["spec"]["local"]
    (term,) = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    return term["matchExpressions"][0]["values"][0], place["path"]


async def _disk_rate(w: Environment) -> float:
    """Bytes a second that a plain write takes on the volume of the backups."""
    node, path = await _place(w, CLAIM)
    probe = f"{path}/probe"
    begin = time.monotonic()
    await w.lab.exec(
        node, "dd", "if=/dev/zero", f"of={probe}", "bs=1M", f"count={SIZE >> 20}", "conv=fdatasync"
    )
    took = time.monotonic() - begin
    await w.lab.exec(node, "rm", probe)
    return SIZE / took


def _claim() -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": CLAIM, "namespace": NAMESPACE},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "8Gi"}},
        },
    }
