"""Members lose their volume, their data, their place in the list; each is replaced, nothing is lost.

A writer keeps writing. No member that started once ever starts empty.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from e2e.faults import disruption
from e2e.fixtures import etcd
from e2e.framework.environment import Environment, environment
from e2e.framework.report import Report
from e2e.framework.rights import enough_rights
from e2e.lab.errors import LabError
from e2e.polling import eventually
from e2e.writer import Writer, gap, read_back, writing
from kok.api.meta import Manifest
from kok.kube import kinds

NAMESPACE = "e2e-etcd-lost"
Loss = Callable[[Environment, Writer], Awaitable[None]]


async def run(report: Report) -> None:
    """The scenario; it leaves the lab as it was."""
    # In two clusters, since no more than three members of one are replaced within an hour.
    parts = ((volume_deleted, data_corrupt, data_gone), (removed_behind_our_back,))
    async with environment(report, meta=1, workers=0) as w, enough_rights(w):
        for losses in parts:
            await _lose(w, losses)


async def _lose(w: Environment, losses: Sequence[Loss]) -> None:
    async with etcd.fresh_namespaces(w, NAMESPACE):
        with w.report.step("three members from nothing", "create_s"):
            await etcd.create(w, NAMESPACE)
        async with writing(w, NAMESPACE, etcd.NAME) as writer:
            for loss in losses:
                await loss(w, writer)
            await read_back(w, writer)


def without(*members: str) -> etcd.Check:
    """Whether the cluster is healthy and these members are no part of it any more."""

    def check(obj: Manifest) -> bool:
        names = {m["name"] for m in (obj.get("status") or {}).get("members") or ()}
        return etcd.settled(obj) and not names & set(members)

    return check


async def replaced(w: Environment, writer: Writer, name: str, *members: str) -> None:
    """Waits until others have the places of these members, and nothing is left of them."""
    await w.until(etcd.KIND, NAMESPACE, etcd.NAME, without(*members), etcd.LONG)
    for member in members:
        await w.gone(kinds.STATEFULSET, NAMESPACE, member, etcd.SOON)
        await w.gone(kinds.PVC, NAMESPACE, member, etcd.SOON)
    await gap(w, writer, name)


async def volume_deleted(w: Environment, writer: Writer) -> None:
    """The leader's claim is deleted under it, and its pod killed."""
    leader, _ = await etcd.leading(w, NAMESPACE)
    await writer.lap()
    with w.report.step("the leader's volume is deleted", "volume_deleted_s"):
        await w.kube.delete(kinds.PVC, leader, NAMESPACE)
        await disruption.kill_pods(w, NAMESPACE, etcd.pod(leader))
        await replaced(w, writer, "volume_deleted", leader)


async def data_corrupt(w: Environment, writer: Writer) -> None:
    """A follower's database file holds rubbish, and its process is killed."""
    _, others = await etcd.leading(w, NAMESPACE)
    await writer.lap()
    with w.report.step("a follower's database is overwritten", "data_corrupt_s"):
        await disruption.on_disk(
            w, NAMESPACE, others[0], "head -c 1000000 /dev/urandom > data/member/snap/db"
        )
        await disruption.kill_process(w, NAMESPACE, etcd.pod(others[0]))
        await replaced(w, writer, "data_corrupt", others[0])


async def data_gone(w: Environment, writer: Writer) -> None:
    """A follower's volume is there, and empty."""
    _, others = await etcd.leading(w, NAMESPACE)
    await writer.lap()
    with w.report.step("a follower's data is removed from its volume", "data_gone_s"):
        await disruption.on_disk(w, NAMESPACE, others[0], "rm -rf data")
        await disruption.kill_process(w, NAMESPACE, etcd.pod(others[0]))
        await replaced(w, writer, "data_gone", others[0])


async def removed_behind_our_back(w: Environment, writer: Writer) -> None:
    """Somebody removes a follower with etcdctl."""
    found = await etcd.get(w, NAMESPACE)
    leader, others = etcd.roles(found)
    number = next(m["id"] for m in found["status"]["members"] if m["name"] == others[0])
    await writer.lap()
    with w.report.step("a follower is removed with etcdctl", "removed_s"):
        await _remove(w, leader, number)
        await replaced(w, writer, "removed", others[0])


async def _remove(w: Environment, leader: str, number: str) -> None:
    """etcd refuses it until all members have been connected with each other for five seconds."""

    async def removed() -> bool:
        try:
            await etcd.etcdctl(w, NAMESPACE, leader, "member", "remove", number)
        except LabError as error:
            if "unhealthy cluster" not in str(error):
                raise
            return False
        return True

    try:
        await eventually(removed, 30.0, every=1.0)
    except TimeoutError:
        raise AssertionError(
            "etcd refused for 30 s to remove a member of a healthy cluster"
        ) from None
