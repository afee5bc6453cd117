"""etcd is upgraded member by member, the leader last; what must not be is refused with a sentence.

A writer keeps writing. Every gate between versions is tried with the real ones.
"""

from __future__ import annotations

from e2e.faults import disruption
from e2e.fixtures import etcd
from e2e.framework.environment import Environment, environment
from e2e.framework.report import Report
from e2e.framework.rights import enough_rights
from e2e.writer import Writer, gap, read_back, writing
from kok.api.meta import Manifest

NAMESPACE = "e2e-etcd-upgrade"
OLD = "old"
VERSIONS = ("3.5.21", "3.6.8", "3.6.10", "3.6.11", "3.7.3")


class Order:
    """In which order members came to a version, and who led when it began."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.leader = ""
        self.arrived: list[str] = []

    def see(self, obj: Manifest) -> None:
        """One state of the EtcdCluster."""
        status = obj.get("status") or {}
        self.leader = self.leader or str(status.get("leader") or "")
        for member in status.get("members") or ():
            name = member["name"]
            if member.get("version") == self.version and name not in self.arrived:
                self.arrived.append(name)


async def run(report: Report) -> None:
    """The scenario; it leaves the lab as it was."""
    async with environment(report, meta=1, workers=0) as w:
        with report.step("etcd " + ", ".join(VERSIONS)):
            await w.lab.want(etcd=[f"v{version}" for version in VERSIONS])
        async with etcd.fresh_namespaces(w, NAMESPACE), enough_rights(w):
            with report.step("three members at 3.6.8", "create_s"):
                await etcd.create(w, NAMESPACE, version="3.6.8")
            async with writing(w, NAMESPACE, etcd.NAME) as writer:
                await while_a_follower_is_sick(w, writer)
                await no_way_down(w)
                await gate_before_the_next_minor(w)
                await upgraded(w, writer, "3.6.11")
                await upgraded(w, writer, "3.7.3")
                await read_back(w, writer)
            await too_old(w)


def at(version: str) -> etcd.Check:
    """Whether all members are healthy and run a version."""

    def check(obj: Manifest) -> bool:
        members = (obj.get("status") or {}).get("members") or ()
        return etcd.settled(obj) and all(m.get("version") == version for m in members)

    return check


async def while_a_follower_is_sick(w: Environment, writer: Writer) -> None:
    """An upgrade waits until all members are healthy, says so, and goes on by itself."""
    _, others = await etcd.leading(w, NAMESPACE)
    with w.report.step("an upgrade asked for while a follower is cut off waits"):
        async with disruption.pod_cut_off(w, NAMESPACE, etcd.pod(others[0])):
            sick = etcd.says("MembersHealthy", "False")
            await w.until(etcd.KIND, NAMESPACE, etcd.NAME, sick, etcd.SOON)
            await etcd.change(w, NAMESPACE, version="3.6.10")
            blocked = etcd.says("UpToDate", "False", "RollBlocked")
            await w.until(etcd.KIND, NAMESPACE, etcd.NAME, blocked, etcd.SOON)
            await writer.goes_on()
    await upgraded(w, writer, "3.6.10", ask=False)


async def upgraded(w: Environment, writer: Writer, version: str, *, ask: bool = True) -> None:
    """All members, one at a time, who leads as the last one."""
    name = f"to_{version}"
    await writer.lap()
    seen = Order(version)
    async with etcd.followed(w, NAMESPACE, seen.see):
        with w.report.step(f"to {version}", f"{name}_s"):
            if ask:
                await etcd.change(w, NAMESPACE, version=version)
            await w.until(etcd.KIND, NAMESPACE, etcd.NAME, at(version), etcd.LONG)
    await gap(w, writer, name)
    if ask and seen.arrived[-1] != seen.leader:
        raise AssertionError(f"{seen.leader} led, but the order was {seen.arrived}")


async def no_way_down(w: Environment) -> None:
    """etcd knows no way back, so the API server takes none."""
    with w.report.step("a version below what runs is refused"):
        await etcd.refused(w, "goes down", NAMESPACE, version="3.6.8")
        await etcd.refused(w, "goes down", NAMESPACE, version="3.5.21")


async def gate_before_the_next_minor(w: Environment) -> None:
    """3.7 wants 3.6.11 first: said, not done, and taken back."""
    with w.report.step("3.6.10 to 3.7.3 is blocked, with the version that must come first"):
        await etcd.change(w, NAMESPACE, version="3.7.3")
        blocked = etcd.says("UpToDate", "False", "RollBlocked")
        found = await w.until(etcd.KIND, NAMESPACE, etcd.NAME, blocked, etcd.SOON)
        said = etcd.sentence(found, "UpToDate")
        if "3.6.11" not in said:
            raise AssertionError(f"the sentence does not name 3.6.11: {said}")
        await etcd.change(w, NAMESPACE, version="3.6.10")
        await w.until(etcd.KIND, NAMESPACE, etcd.NAME, at("3.6.10"), etcd.SOON)


async def too_old(w: Environment) -> None:
    """Members of 3.5.21 may come up as learners under 3.6: the gate keeps them."""
    with w.report.step("3.5.21 to 3.6.10 is blocked, to 3.7.3 refused"):
        await etcd.create(w, NAMESPACE, OLD, version="3.5.21", members=1)
        await etcd.refused(w, "skips", NAMESPACE, OLD, version="3.7.3")
        await etcd.change(w, NAMESPACE, OLD, version="3.6.10")
        blocked = etcd.says("UpToDate", "False", "RollBlocked")
        found = await w.until(etcd.KIND, NAMESPACE, OLD, blocked, etcd.SOON)
        said = etcd.sentence(found, "UpToDate")
        if "3.5.26" not in said:
            raise AssertionError(f"the sentence does not name 3.5.26: {said}")
