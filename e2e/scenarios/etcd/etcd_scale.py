"""An etcd cluster grows and shrinks, 1 to 3 to 5 to 3 to 1, also with second thoughts; nothing is lost.

A writer keeps writing. No name and no member ID is ever used twice, and what a removed member
leaves behind is removed.
"""

from __future__ import annotations

import asyncio

from e2e.faults import disruption
from e2e.fixtures import etcd
from e2e.framework.environment import Environment, environment
from e2e.framework.report import Report
from e2e.framework.rights import enough_rights
from e2e.polling import eventually
from e2e.writer import Writer, gap, read_back, writing
from kok.api.meta import Manifest
from kok.kube import kinds

NAMESPACE = "e2e-etcd-scale"


class Chronicle:
    """Every member that was ever seen: its IDs by name, and the names that were seen to go."""

    def __init__(self) -> None:
        self.ids: dict[str, set[str]] = {}
        self.gone: set[str] = set()
        self.reused: set[str] = set()
        self._now: set[str] = set()

    def see(self, obj: Manifest) -> None:
        """One state of the EtcdCluster."""
        members = (obj.get("status") or {}).get("members") or ()
        now = {m["name"] for m in members}
        self.gone |= self._now - now
        self.reused |= self.gone & now
        self._now = now
        for member in members:
            if member.get("id"):
                self.ids.setdefault(member["name"], set()).add(member["id"])

    def check(self) -> None:
        """Raises `AssertionError` if a name or an ID was used twice."""
        twice = {name: ids for name, ids in self.ids.items() if len(ids) > 1}
        every = [each for ids in self.ids.values() for each in ids]
        if self.reused or twice or len(every) != len(set(every)):
            raise AssertionError(f"used twice: names {self.reused}, IDs {twice or self.ids}")


async def run(report: Report) -> None:
    """The scenario; it leaves the lab as it was."""
    async with (
        environment(report, meta=1, workers=0) as w,
        etcd.fresh_namespaces(w, NAMESPACE),
        enough_rights(w),
    ):
        with report.step("one member from nothing", "create_s"):
            await etcd.create(w, NAMESPACE, members=1)
        seen = Chronicle()
        async with (
            etcd.followed(w, NAMESPACE, seen.see),
            writing(w, NAMESPACE, etcd.NAME) as writer,
        ):
            for size in (3, 5, 3, 1):
                await scaled(w, writer, size)
            await second_thoughts(w, writer)
            await operator_killed_on_the_way(w, writer)
            await read_back(w, writer)
            seen.check()


async def scaled(w: Environment, writer: Writer, size: int) -> None:
    """To a size, and nothing is left of members that went."""
    before = (await etcd.get(w, NAMESPACE))["spec"]["members"]
    name = f"{before}_to_{size}"
    await writer.lap()
    with w.report.step(f"{before} to {size} members", f"{name}_s"):
        await etcd.change(w, NAMESPACE, members=size)
        await etcd.ready(w, NAMESPACE)
    await gap(w, writer, name)
    await tidy(w, size)


async def tidy(w: Environment, size: int) -> None:
    """There are as many volumes and StatefulSets as members."""
    for kind in (kinds.STATEFULSET, kinds.PVC):
        left: list[str] = []

        async def there() -> bool:
            left[:] = sorted(m["metadata"]["name"] for m in await w.kube.list(kind, NAMESPACE))  # noqa: B023 - waited for below
            return len(left) == size  # noqa: B023

        try:
            await eventually(there, 60.0, every=1.0)
        except TimeoutError:
            raise AssertionError(f"{size} members, but these {kind.plural}: {left}") from None


async def second_thoughts(w: Environment, writer: Writer) -> None:
    """The spec says something else again and again, before what it said before is reached."""
    await writer.lap()
    with w.report.step("1 to 3 to 1 to 5 to 3, changed on the way", "flipped_s"):
        for size, reached in ((3, 2), (1, 2), (5, 3), (3, 3)):
            await etcd.change(w, NAMESPACE, members=size)
            await _has_begun(w, reached)
        await etcd.ready(w, NAMESPACE)
    await gap(w, writer, "flipped")
    await tidy(w, 3)


async def _has_begun(w: Environment, count: int) -> None:
    """Waits until so many members are there, on their way in or out."""

    def there(obj: Manifest) -> bool:
        return len((obj.get("status") or {}).get("members") or ()) >= count

    await w.until(etcd.KIND, NAMESPACE, etcd.NAME, there, etcd.LONG)


async def operator_killed_on_the_way(w: Environment, writer: Writer) -> None:
    """The operator is killed every two seconds while the cluster grows and shrinks."""
    await writer.lap()
    with w.report.step("3 to 5 to 3 with the operator killed all the time", "killed_s"):
        for size in (5, 3):
            await etcd.change(w, NAMESPACE, members=size)
            for _ in range(4):
                await asyncio.sleep(2.0)
                await disruption.kill_operator(w)
            await etcd.ready(w, NAMESPACE)
    await gap(w, writer, "killed")
    await tidy(w, 3)
