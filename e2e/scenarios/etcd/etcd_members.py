"""Members of an etcd cluster are killed, one and all, with and without the operator; nothing is lost.

A writer keeps writing. Under each fault the longest time without a confirmed write is measured, and
at the end every confirmed write is read back.
"""

from __future__ import annotations

from e2e.faults import disruption
from e2e.fixtures import etcd
from e2e.framework.environment import Environment, environment
from e2e.framework.report import Report
from e2e.framework.rights import enough_rights
from e2e.writer import Writer, gap, read_back, writing

NAMESPACE = "e2e-etcd-members"


async def run(report: Report) -> None:
    """The scenario; it leaves the lab as it was."""
    async with (
        environment(report, meta=1, workers=0) as w,
        etcd.fresh_namespaces(w, NAMESPACE),
        enough_rights(w),
    ):
        with report.step("three members from nothing", "create_s"):
            await etcd.create(w, NAMESPACE)
        async with writing(w, NAMESPACE, etcd.NAME) as writer:
            await follower_killed(w, writer)
            await leader_killed(w, writer)
            await all_killed(w, writer)
            await killed_without_operator(w, writer)
            await operator_killed(w, writer)
            await read_back(w, writer)


async def follower_killed(w: Environment, writer: Writer) -> None:
    """SIGKILL for a follower's process."""
    _, others = await etcd.leading(w, NAMESPACE)
    await writer.lap()
    with w.report.step("a follower's process is killed"):
        async with etcd.recovered(w, NAMESPACE, others[0]) as took:
            await disruption.kill_process(w, NAMESPACE, etcd.pod(others[0]))
    await _figures(w, writer, "follower", took)


async def leader_killed(w: Environment, writer: Writer) -> None:
    """The leader's pod is deleted without grace."""
    leader, _ = await etcd.leading(w, NAMESPACE)
    await writer.lap()
    with w.report.step("the leader's pod is killed"):
        async with etcd.recovered(w, NAMESPACE, leader) as took:
            await disruption.kill_pods(w, NAMESPACE, etcd.pod(leader))
    await _figures(w, writer, "leader", took)


async def all_killed(w: Environment, writer: Writer) -> None:
    """All pods are deleted at the same moment."""
    leader, others = await etcd.leading(w, NAMESPACE)
    members = (leader, *others)
    await writer.lap()
    with w.report.step("all members' pods are killed"):
        async with etcd.recovered(w, NAMESPACE, *members) as took:
            await disruption.kill_pods(w, NAMESPACE, *(etcd.pod(m) for m in members))
    await _figures(w, writer, "all", took)


async def killed_without_operator(w: Environment, writer: Writer) -> None:
    """Without the operator a killed member comes back all the same."""
    leader, _ = await etcd.leading(w, NAMESPACE)
    await writer.lap()
    with w.report.step("the leader is killed while no operator runs"):
        async with disruption.operator_away(w), etcd.recovered(w, NAMESPACE, leader) as took:
            await disruption.kill_pods(w, NAMESPACE, etcd.pod(leader))
    await _figures(w, writer, "without_operator", took)


async def operator_killed(w: Environment, writer: Writer) -> None:
    """The operator is killed: etcd does not notice."""
    await writer.lap()
    with w.report.step("the operator is killed"):
        await disruption.kill_operator(w)
        await writer.goes_on(100)
        await etcd.ready(w, NAMESPACE)
    await gap(w, writer, "operator")


async def _figures(w: Environment, writer: Writer, name: str, took: dict[str, float]) -> None:
    w.report.figures[f"{name}_recovery_s"] = took["pods"]
    await gap(w, writer, name)
