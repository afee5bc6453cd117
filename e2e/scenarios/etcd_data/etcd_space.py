"""An etcd cluster runs full, its quota and its disk; it is freed or said, and nothing is lost.

History fills the quota: what is there is compacted, defragmented and written to again by itself.
One member's disk fills: the others go on, and with room the member comes back by itself.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from e2e.faults import disruption
from e2e.fixtures import etcd
from e2e.framework.environment import Environment, environment
from e2e.framework.report import Report
from e2e.framework.rights import nothing_was_refused
from e2e.writer import Writer, kept, writing
from kok.api.meta import Manifest

NAMESPACE = "e2e-etcd-space"
QUOTA = "5%"
"""Of 1Gi: some 50 MB, which are full within a minute."""
HISTORY = 120_000_000
"""Bytes written in turn to a few keys: far more than the quota, next to nothing to keep."""
NODES = ("meta-1",)


async def run(report: Report) -> None:
    """The scenario; it leaves the lab as it was."""
    async with environment(report, meta=1, workers=0) as w:
        begin = datetime.now(UTC)
        async with etcd.fresh_namespaces(w, NAMESPACE):
            await quota_full(w)
        async with (
            disruption.small_volumes(w, list(NODES), 3) as volumes,
            etcd.fresh_namespaces(w, NAMESPACE),
        ):
            await disk_full(w, volumes)
        await nothing_was_refused(w, begin)


async def quota_full(w: Environment) -> None:
    """History reaches the quota and is freed, more than once if need be."""
    await etcd.create(
        w,
        NAMESPACE,
        storage={"size": "1Gi", "quota": QUOTA},
        maintenance={"onFull": "Automatic"},
    )
    async with writing(w, NAMESPACE, etcd.NAME, rate=10) as writer:
        with w.report.step("history fills the quota", "quota_full_s"):
            filling = asyncio.create_task(writer.fill(HISTORY, prefix="again/", keys=10))
            await w.until(etcd.KIND, NAMESPACE, etcd.NAME, freed, etcd.LONG)
            await filling
        with w.report.step("writes go on and no alarm is left", "freed_s"):
            await writer.goes_on(25, etcd.LONG)
            await w.until(etcd.KIND, NAMESPACE, etcd.NAME, calm, etcd.LONG)
        w.report.figures["quota_gap_s"] = round((await writer.lap()).longest_gap, 1)
        with w.report.step("every confirmed write is read back"):
            await _read_back(w, writer)


def freed(obj: Manifest) -> bool:
    """Whether a full database was compacted and defragmented."""
    return bool((obj.get("status") or {}).get("freedAt"))


def calm(obj: Manifest) -> bool:
    """Whether all is well and no alarm is raised."""
    return etcd.settled(obj) and not (obj.get("status") or {}).get("alarms")


async def disk_full(w: Environment, volumes: dict[str, disruption.SmallVolume]) -> None:
    """One member's disk takes not a block more."""
    await etcd.create(w, NAMESPACE, storage={"size": "1Gi", "className": disruption.SMALL})
    async with writing(w, NAMESPACE, etcd.NAME, size=8_000) as writer:
        _, others = await etcd.leading(w, NAMESPACE)
        volume = volumes[await disruption.volume_of(w, NAMESPACE, others[0])]
        await writer.lap()
        with w.report.step("a follower's disk is full"):
            await volume.fill(w)
            said = etcd.says("MembersHealthy", "False")
            found = await w.until(etcd.KIND, NAMESPACE, etcd.NAME, said, etcd.LONG)
            await writer.goes_on()
        sentence = etcd.sentence(found, "MembersHealthy")
        if others[0] not in sentence:
            raise AssertionError(f"the sentence does not name {others[0]}: {sentence}")
        with w.report.step("with room it comes back", "disk_freed_s"):
            await volume.grow(w)
            await etcd.ready(w, NAMESPACE)
        w.report.figures["disk_gap_s"] = round((await writer.lap()).longest_gap, 2)
        with w.report.step("every confirmed write is read back"):
            await _read_back(w, writer)


async def _read_back(w: Environment, writer: Writer) -> None:
    verdict, figures = await writer.finish(), w.report.figures
    for name, count in (("acknowledged", verdict.acknowledged), ("lost", verdict.lost)):
        figures[name] = int(figures.get(name, 0)) + count
    kept(verdict)
