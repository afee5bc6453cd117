"""An etcd cluster is restored in place, and new ones begin with its backup; refusals change nothing.

What was written after the backup is lost, by consent, and counted. All else is there, and no
revision is ever used twice.
"""

from __future__ import annotations

import asyncio

from e2e.faults import disruption
from e2e.fixtures import backups, etcd
from e2e.fixtures.backups import RESTORE
from e2e.framework.environment import Environment, environment
from e2e.framework.report import Report
from e2e.framework.rights import enough_rights
from e2e.lab import S3
from e2e.writer import gap, lost_after, writing
from kok.api.meta import Manifest

NAMESPACE = "e2e-etcd-restore"
BUCKET = NAMESPACE


async def run(report: Report) -> None:
    """The scenario; it leaves the lab as it was."""
    async with (
        environment(report, meta=1, workers=0) as w,
        etcd.bucket(w, BUCKET) as s3,
        etcd.fresh_namespaces(w, NAMESPACE),
        enough_rights(w),
    ):
        store = await etcd.store(w, NAMESPACE, s3, BUCKET)
        await etcd.create(w, NAMESPACE, backup={"store": store})
        await in_place(w)
        await a_new_cluster(w, store)
        await refused(w, s3)
        await two_at_once(w)
        await deleted_on_the_way(w)


async def backed_up(w: Environment, name: str) -> Manifest:
    """A complete backup."""
    await backups.back_up(w, NAMESPACE, name)
    return await backups.stored(w, NAMESPACE, name)


async def in_place(w: Environment) -> None:
    """Three members go back to a backup, while the operator is killed again and again."""
    async with writing(w, NAMESPACE, etcd.NAME) as writer:
        with w.report.step("a backup under a writer", "backup_s"):
            backup = await backed_up(w, "one")
        revision = backup["status"]["revision"]
        await writer.goes_on(100)
        await writer.lap()
        with w.report.step("restored in place, the operator killed on the way", "in_place_s"):
            await backups.restore(w, NAMESPACE, "back", backup="one")
            for _ in range(4):
                await asyncio.sleep(3.0)
                await disruption.kill_operator(w)
            await backups.restored(w, NAMESPACE, "back")
        await gap(w, writer, "in_place")
        verdict = await writer.finish()
        w.report.figures["lost_by_consent"] = verdict.lost
        lost_after(verdict, revision)


async def a_new_cluster(w: Environment, store: dict[str, object]) -> None:
    """One that begins with the backup, and one that knows nothing but the bucket."""
    async with writing(w, NAMESPACE, etcd.NAME, prefix="other/") as writer:
        there = await writer.read("writer/")
    await backed_up(w, "two")
    sources = {
        "by-name": {"backup": "two"},
        "by-bucket": {"store": store, "newestOf": f"{NAMESPACE}/{etcd.NAME}"},
    }
    for name, source in sources.items():
        with w.report.step(f"a new cluster from a backup, {name}", f"{name}_s"):
            await etcd.create(w, NAMESPACE, name, members=3, restoreFrom=source)
        async with writing(w, NAMESPACE, name, prefix="new/") as writer:
            found = await writer.read("writer/")
            if found["keys"] != there["keys"] or found["revision"] <= there["revision"]:
                raise AssertionError(f"{name} has {found}, and the backup had {there}")
        await w.kube.delete(etcd.KIND, name, NAMESPACE)
        await w.gone(etcd.KIND, NAMESPACE, name, etcd.LONG)


async def refused(w: Environment, s3: S3) -> None:
    """A backup that is damaged or missing is not restored, and the cluster does not notice."""
    async with writing(w, NAMESPACE, etcd.NAME, prefix="refused/") as writer:
        await backed_up(w, "damaged")
        key = backups.snapshot(s3, BUCKET, "damaged")
        said = etcd.says("Ready", "False", "RestoreRefused")
        with w.report.step("a backup with one flipped bit is refused"):
            s3.flip_bit(BUCKET, key)
            await backups.restore(w, NAMESPACE, "flipped", backup="damaged")
            await w.until(RESTORE, NAMESPACE, "flipped", said, etcd.LONG)
        with w.report.step("a truncated backup is refused"):
            s3.cut_short(BUCKET, key, 5_000)
            await backups.restore(w, NAMESPACE, "cut", backup="damaged")
            await w.until(RESTORE, NAMESPACE, "cut", said, etcd.LONG)
        with w.report.step("a backup that is gone is refused"):
            (s3.root / BUCKET / key).unlink()
            await backups.restore(w, NAMESPACE, "gone", backup="damaged")
            await w.until(RESTORE, NAMESPACE, "gone", said, etcd.LONG)
        if not (verdict := await writer.finish()).kept:
            raise AssertionError(f"a refused restore cost something: {verdict}")


async def two_at_once(w: Environment) -> None:
    """Two restores asked at once are done one after the other."""
    with w.report.step("two restores at once", "two_at_once_s"):
        await backups.restore(w, NAMESPACE, "first", backup="two")
        await backups.restore(w, NAMESPACE, "second", backup="two")
        await asyncio.gather(
            backups.restored(w, NAMESPACE, "first"), backups.restored(w, NAMESPACE, "second")
        )


async def deleted_on_the_way(w: Environment) -> None:
    """The cluster is deleted in the middle of a restore; nothing of it is left."""
    with w.report.step("the cluster is deleted during a restore"):
        await backups.restore(w, NAMESPACE, "late", backup="two")
        busy = etcd.says("Ready", "False", "Restoring")
        await w.until(etcd.KIND, NAMESPACE, etcd.NAME, busy, etcd.LONG)
        await w.kube.delete(etcd.KIND, etcd.NAME, NAMESPACE)
        await w.gone(etcd.KIND, NAMESPACE, etcd.NAME, etcd.LONG)
        await w.kube.delete(RESTORE, "late", NAMESPACE)
        await w.gone(RESTORE, NAMESPACE, "late", etcd.LONG)
