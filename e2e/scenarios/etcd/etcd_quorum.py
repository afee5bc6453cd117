"""Etcd loses its quorum: what returns by itself loses nothing, and what is gone needs consent.

Two of three members are cut off and come back, without consent, with consent that came to nothing
in time, and while the recovery that was consented to is stopping them already. Then two of three lose their data, later three of five while another one lags:
nothing is done until somebody consents, then the member that holds the most goes on alone with a
copy of its data beside it, and new members join it. A writer keeps writing all the time.
"""

from __future__ import annotations

from contextlib import AsyncExitStack

from e2e.faults import disruption, quorum
from e2e.fixtures import etcd
from e2e.framework.environment import Environment, environment
from e2e.framework.follow import has
from e2e.framework.report import Report
from e2e.framework.rights import enough_rights
from e2e.writer import Verdict, Writer, gap, read_back, writing
from kok.api.meta import Manifest
from kok.kube import kinds

NAMESPACE = "e2e-etcd-quorum"
NODE = "meta-1"
PATIENCE = 60.0
"""Seconds for which the operator waits for a quorum to return, whatever it was allowed."""
MANUAL = {"policy": "Manual", "allowDataLoss": ""}


async def run(report: Report) -> None:
    """The scenario; it leaves the lab as it was."""
    async with environment(report, meta=1, workers=0) as w, enough_rights(w):
        async with etcd.fresh_namespaces(w, NAMESPACE):
            with report.step("three members from nothing", "create_s"):
                await etcd.create(w, NAMESPACE)
            async with writing(w, NAMESPACE, etcd.NAME) as writer:
                await away_without_consent(w, writer)
                await back_in_time(w, writer)
                await called_off(w, writer)
                await two_of_three_gone(w, writer)
                await read_back(w, writer)
        async with etcd.fresh_namespaces(w, NAMESPACE):
            await etcd.create(w, NAMESPACE, members=5)
            async with writing(w, NAMESPACE, etcd.NAME) as writer:
                await three_of_five_gone(w, writer)


async def away_without_consent(w: Environment, writer: Writer) -> None:
    """Both followers are cut off, longer than the operator is patient; nothing is done."""
    before = await etcd.get(w, NAMESPACE)
    leader, others = etcd.roles(before)
    # Consent to the loss of another cluster's data is none.
    await consent(w, "0123456789abcdef")
    await writer.lap()
    with w.report.step("two of three members are cut off, without consent"):
        async with quorum.cut_off(w, NAMESPACE, others):
            found = await quorum.lost(w, NAMESPACE)
            await quorum.nothing_happens(w, before, PATIENCE + 15)
        quorum.names_all(found, [leader], others)
    with w.report.step("they are connected again", "returned_s"):
        await etcd.ready(w, NAMESPACE)
        await writer.goes_on()
    await quorum.unchanged(w, before)
    await gap(w, writer, "returned")


async def back_in_time(w: Environment, writer: Writer) -> None:
    """A quorum that is away for less than the operator's patience is waited for."""
    before = await etcd.get(w, NAMESPACE)
    _, others = etcd.roles(before)
    await consent(w, str(before["status"]["clusterID"]))
    await writer.lap()
    with w.report.step("two of three are cut off for a moment, with consent"):
        async with quorum.cut_off(w, NAMESPACE, others):
            await quorum.lost(w, NAMESPACE)
            await quorum.nothing_happens(w, before, PATIENCE / 3)
        await etcd.ready(w, NAMESPACE)
        await writer.goes_on()
    # Beyond the time at which a recovery would have begun.
    await quorum.nothing_happens(w, before, PATIENCE)
    await quorum.unchanged(w, before)
    await etcd.change(w, NAMESPACE, recovery=MANUAL)
    await gap(w, writer, "back_in_time")


async def called_off(w: Environment, writer: Writer) -> None:
    """A recovery has begun, and a quorum returns before those that are to stop have stopped."""
    before, volumes = await etcd.get(w, NAMESPACE), await quorum.volumes(w, NAMESPACE)
    leader, others = etcd.roles(before)
    await consent(w, str(before["status"]["clusterID"]))
    await writer.lap()
    async with AsyncExitStack() as node:
        async with quorum.cut_off(w, NAMESPACE, others):
            with w.report.step("two of three are cut off, with consent, until they are to stop"):
                await quorum.lost(w, NAMESPACE)
                await quorum.nothing_happens(w, before, PATIENCE - 20)
                # Without it nobody stops what runs on the node.
                await node.enter_async_context(disruption.kubelet_away(w, NODE))
                await w.until(etcd.KIND, NAMESPACE, etcd.NAME, stops_the_others(leader), etcd.SOON)
                for member in others:
                    await w.gone(kinds.STATEFULSET, NAMESPACE, member, etcd.SOON)
        with w.report.step("they are connected again before they have stopped", "called_off_s"):
            await w.until(etcd.KIND, NAMESPACE, etcd.NAME, goes_on_by_itself, etcd.SOON)
            await writer.goes_on()
    with w.report.step("those that were to stop start anew", "called_off_all_s"):
        await etcd.ready(w, NAMESPACE)
        await writer.goes_on()
    await quorum.unchanged(w, before)
    if (now := await quorum.volumes(w, NAMESPACE)) != volumes:
        raise AssertionError(f"volumes were {volumes} and are {now}")
    if copies := await disruption.on_disk(w, NAMESPACE, leader, "ls -d before-recovery-* || true"):
        raise AssertionError(f"{leader} was about to go on alone: {copies}")
    await told_once(w)
    await etcd.change(w, NAMESPACE, recovery=MANUAL)
    await gap(w, writer, "called_off")


def stops_the_others(survivor: str) -> etcd.Check:
    """Whether a recovery from this member is at the step that can be taken back."""

    def check(obj: Manifest) -> bool:
        operation = obj["status"].get("operation") or {}
        return (operation.get("step"), operation.get("member")) == ("Fence", survivor)

    return check


def goes_on_by_itself(obj: Manifest) -> bool:
    """Whether a majority answers, and no recovery is under way."""
    return has("Available")(obj) and not obj["status"].get("operation")


async def told_once(w: Environment) -> None:
    """Raises unless an event tells that a recovery was called off, and none that one was done."""
    events = ("get", "events", "-n", NAMESPACE, "-o", "jsonpath={.items[*].reason}")
    told = (await w.lab.kubectl(*events)).split()
    if "RecoveryCalledOff" not in told or "QuorumRecovered" in told:
        raise AssertionError(f"it was to be told that a recovery was called off: {set(told)}")


async def two_of_three_gone(w: Environment, writer: Writer) -> None:
    """Only the leader's data is left, which is all that was ever confirmed."""
    before = await etcd.get(w, NAMESPACE)
    leader, others = etcd.roles(before)
    await writer.lap()
    with w.report.step("two of three members lose their data"):
        await quorum.destroy(w, NAMESPACE, others)
        quorum.names_all(await quorum.lost(w, NAMESPACE), [leader], others)
        await quorum.nothing_happens(w, before, 20.0)
    await recovered(w, writer, before, leader, "survivor")
    await gap(w, writer, "survivor")


async def three_of_five_gone(w: Environment, writer: Writer) -> None:
    """Two followers are left, one of which holds less: the other one goes on."""
    before = await etcd.get(w, NAMESPACE)
    leader, others = etcd.roles(before)
    laggard, survivor, *rest = others
    await writer.lap()
    with w.report.step("one of five lags, and three others lose their data"):
        async with disruption.pod_cut_off(w, NAMESPACE, etcd.pod(laggard)):
            await writer.goes_on(200)
            await quorum.destroy(w, NAMESPACE, (leader, *rest))
            await quorum.lost(w, NAMESPACE)
        held = await etcd.revision(w, NAMESPACE, survivor)
        behind = held - await etcd.revision(w, NAMESPACE, laggard)
        if behind < 200:
            raise AssertionError(f"{laggard} lags by {behind} revisions only")
        w.report.line(f"{survivor} holds revision {held}, {laggard} {behind} less")
    await recovered(w, writer, before, survivor, "survivor_of_five")
    await gap(w, writer, "survivor_of_five")
    with w.report.step("all that the survivor held is read back"):
        verdict = await writer.finish()
        held_by_survivor(verdict, held)
        w.report.figures["acknowledged_of_five"] = verdict.acknowledged
        w.report.figures["lost_by_consent_of_five"] = verdict.lost


def held_by_survivor(verdict: Verdict, held: int) -> None:
    """Raises `AssertionError` if a write is missing that the survivor had at this revision."""
    w_lost = verdict.lost_from
    if verdict.altered or (w_lost is not None and w_lost <= held):
        raise AssertionError(f"the survivor held revision {held}, and yet: {verdict}")


async def recovered(
    w: Environment, writer: Writer, before: Manifest, survivor: str, name: str
) -> None:
    """Consents, waits for all members, and looks at what became of the survivor."""
    cluster_id, count = str(before["status"]["clusterID"]), before["spec"]["members"]
    with w.report.step("somebody consents, and writes go on", f"{name}_writes_s"):
        await consent(w, cluster_id)
        await w.until(etcd.KIND, NAMESPACE, etcd.NAME, has("Available"), etcd.LONG)
        await writer.goes_on(within=etcd.LONG)
    with w.report.step(f"there are {count} members again", f"{name}_all_s"):
        after = await etcd.ready(w, NAMESPACE)
    members = {m["name"]: m["id"] for m in after["status"]["members"]}
    old = {m["name"]: m["id"] for m in before["status"]["members"]}
    if members.get(survivor) != old[survivor] or set(members) & set(old) != {survivor}:
        raise AssertionError(f"{survivor} of {old} was to go on, there are {members}")
    if after["status"]["clusterID"] != cluster_id:
        raise AssertionError(f"the cluster was {cluster_id} and is {after['status']['clusterID']}")
    await copied_first(w, survivor)
    await etcd.change(w, NAMESPACE, recovery=MANUAL)


async def copied_first(w: Environment, member: str) -> None:
    """Raises unless what the survivor held lies beside its data as it was."""
    found = await disruption.on_disk(w, NAMESPACE, member, "ls -d before-recovery-*/member/snap/db")
    if len(found.split()) != 1:
        raise AssertionError(f"one copy of the data of {member} was to be there: {found!r}")


async def consent(w: Environment, cluster_id: str) -> None:
    """What the manual says for a majority that is gone for good."""
    recovery = {"policy": "FromSurvivor", "allowDataLoss": cluster_id}
    await etcd.change(w, NAMESPACE, recovery=recovery)
