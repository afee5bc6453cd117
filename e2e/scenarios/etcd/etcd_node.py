"""Nodes under an etcd cluster hang, lose their network, slow down, are drained; nothing is lost.

A writer keeps writing. Members sit on three nodes; KOK and the cluster's DNS on the first one,
which nothing befalls.
"""

from __future__ import annotations

import asyncio

from e2e.faults import disruption
from e2e.fixtures import etcd
from e2e.framework.environment import Environment, environment
from e2e.framework.report import Report
from e2e.framework.rights import enough_rights
from e2e.lab.errors import LabError
from e2e.writer import Writer, gap, read_back, writing
from kok.api.meta import Manifest

NAMESPACE = "e2e-etcd-node"
NODES = ("meta-1", "meta-2", "meta-3")
HANGS = 30.0


async def run(report: Report) -> None:
    """The scenario; it leaves the lab as it was, but for its three nodes."""
    async with (
        environment(report, meta=len(NODES), workers=0) as w,
        etcd.fresh_namespaces(w, NAMESPACE),
        enough_rights(w),
    ):
        with report.step("KOK and DNS on the first node"):
            await disruption.system_away_from(w, NODES[1:])
        with report.step("three members on three nodes", "create_s"):
            await etcd.create(w, NAMESPACE)
        async with writing(w, NAMESPACE, etcd.NAME) as writer:
            await pod_cut_off(w, writer)
            await pod_slow(w, writer)
            await node_hangs(w, writer)
            await node_cut_off(w, writer)
            await node_drained(w, writer)
            await read_back(w, writer)


async def on(w: Environment, node: str) -> str:
    """The member on a node."""
    for member in (await etcd.get(w, NAMESPACE))["status"]["members"]:
        if member.get("node") == node:
            return str(member["name"])
    raise AssertionError(f"no member runs on {node}")


def sick(member: str) -> etcd.Check:
    """Whether the status says that this member is not healthy."""

    def check(obj: Manifest) -> bool:
        members = (obj.get("status") or {}).get("members") or ()
        return any(m["name"] == member and not m.get("ready") for m in members)

    return check


async def pod_cut_off(w: Environment, writer: Writer) -> None:
    """The leader reaches nobody."""
    leader, _ = await etcd.leading(w, NAMESPACE)
    await writer.lap()
    with w.report.step("the leader is cut off from the network"):
        async with disruption.pod_cut_off(w, NAMESPACE, etcd.pod(leader)):
            await w.until(etcd.KIND, NAMESPACE, etcd.NAME, sick(leader), etcd.SOON)
            await writer.goes_on()
    with w.report.step("it is connected again", "leader_cut_recovery_s"):
        await etcd.ready(w, NAMESPACE)
    await gap(w, writer, "leader_cut")


async def pod_slow(w: Environment, writer: Writer) -> None:
    """The leader answers late: slow writes, but writes."""
    leader, _ = await etcd.leading(w, NAMESPACE)
    await writer.lap()
    with w.report.step("the leader sits behind a narrow link"):
        async with disruption.pod_slow(w, NAMESPACE, etcd.pod(leader), kilobits=200):
            await asyncio.sleep(20.0)
            await writer.goes_on()
        await etcd.ready(w, NAMESPACE)
    await gap(w, writer, "leader_slow")


async def node_hangs(w: Environment, writer: Writer) -> None:
    """A node that is frozen for a while keeps its member."""
    member = await on(w, NODES[1])
    await writer.lap()
    with w.report.step(f"a node hangs for {HANGS:.0f} s"):
        async with disruption.paused(w, NODES[1]):
            await asyncio.sleep(HANGS)
            await writer.goes_on()
    with w.report.step("it goes on", "node_hangs_recovery_s"):
        await etcd.ready(w, NAMESPACE)
    await gap(w, writer, "node_hangs")
    if await on(w, NODES[1]) != member:
        raise AssertionError(f"{member} was given up after {HANGS:.0f} s")


async def node_cut_off(w: Environment, writer: Writer) -> None:
    """A node without network keeps its member."""
    member = await on(w, NODES[2])
    await writer.lap()
    with w.report.step("a node is cut off from the network"):
        async with disruption.cut_off(w, NODES[2]):
            await w.until(etcd.KIND, NAMESPACE, etcd.NAME, sick(member), etcd.SOON)
            await writer.goes_on()
    with w.report.step("it is connected again", "node_cut_recovery_s"):
        await etcd.ready(w, NAMESPACE)
    await gap(w, writer, "node_cut")


async def node_drained(w: Environment, writer: Writer) -> None:
    """One node can be drained, two at once cannot."""
    await writer.lap()
    with w.report.step("a node is drained, and a second one is not let go"):
        async with disruption.drained(w, NODES[1]):
            await writer.goes_on()
            try:
                async with disruption.drained(w, NODES[2], within=20.0):
                    raise AssertionError("two of three members could be drained")
            except LabError as error:
                if "disruption budget" not in str(error):
                    raise
                await writer.goes_on()
    with w.report.step("the node takes pods again", "drain_recovery_s"):
        await etcd.ready(w, NAMESPACE)
    await gap(w, writer, "drain")
