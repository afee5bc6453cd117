"""Etcd loses its quorum: what returns by itself loses nothing, and what is gone needs consent.

Two of three members are cut off and come back, without consent and with consent that came to
nothing in time. Then two of three lose their data, later three of five while another one lags:
nothing is done until somebody consents, then the member that holds the most goes on alone with a
copy of its data beside it, and new members join it. A writer keeps writing all the time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from e2e import disturb, etcd
from e2e.follow import has
from e2e.report import Report
from e2e.rights import nothing_was_refused
from e2e.world import World, world
from e2e.writer import Verdict, Writer, kept, writing
from kok.api.meta import Manifest
from kok.kube import kinds

NAMESPACE = "e2e-etcd-quorum"
PATIENCE = 60.0
"""Seconds for which the operator waits for a quorum to return, whatever it was allowed."""
MANUAL = {"policy": "Manual", "allowDataLoss": ""}


async def run(report: Report) -> None:
    """The scenario; it leaves the lab as it was."""
    async with world(report, meta=1, workers=0) as w:
        begin = datetime.now(UTC)
        async with etcd.place(w, NAMESPACE):
            with report.step("three members from nothing", "create_s"):
                await etcd.made(w, NAMESPACE)
            async with writing(w, NAMESPACE, etcd.NAME) as writer:
                await away_without_consent(w, writer)
                await back_in_time(w, writer)
                await two_of_three_gone(w, writer)
                with report.step("every confirmed write is read back"):
                    verdict = await writer.finish()
                    report.figures["acknowledged"] = verdict.acknowledged
                    report.figures["lost"] = verdict.lost
                    kept(verdict)
        async with etcd.place(w, NAMESPACE):
            await etcd.made(w, NAMESPACE, members=5)
            async with writing(w, NAMESPACE, etcd.NAME) as writer:
                await three_of_five_gone(w, writer)
        await nothing_was_refused(w, begin)


async def away_without_consent(w: World, writer: Writer) -> None:
    """Both followers are cut off, longer than the operator is patient; nothing is done."""
    before = await etcd.get(w, NAMESPACE)
    leader, others = etcd.roles(before)
    # Consent to the loss of another cluster's data is none.
    await consent(w, "0123456789abcdef")
    await writer.lap()
    with w.report.step("two of three members are cut off, without consent"):
        async with AsyncExitStack() as stack:
            for member in others:
                await stack.enter_async_context(disturb.pod_cut_off(w, NAMESPACE, etcd.pod(member)))
            found = await lost(w)
            await nothing_happens(w, before, PATIENCE + 15)
        names_all(found, leader, *others)
    with w.report.step("they are connected again", "returned_s"):
        await etcd.ready(w, NAMESPACE)
        await writer.goes_on()
    await unchanged(w, before)
    await _gap(w, writer, "returned")


async def back_in_time(w: World, writer: Writer) -> None:
    """A quorum that is away for less than the operator's patience is waited for."""
    before = await etcd.get(w, NAMESPACE)
    _, others = etcd.roles(before)
    await consent(w, str(before["status"]["clusterID"]))
    await writer.lap()
    with w.report.step("two of three are cut off for a moment, with consent"):
        async with AsyncExitStack() as stack:
            for member in others:
                await stack.enter_async_context(disturb.pod_cut_off(w, NAMESPACE, etcd.pod(member)))
            await lost(w)
            await nothing_happens(w, before, PATIENCE / 3)
        await etcd.ready(w, NAMESPACE)
        await writer.goes_on()
    # Beyond the time at which a recovery would have begun.
    await nothing_happens(w, before, PATIENCE)
    await unchanged(w, before)
    await etcd.change(w, NAMESPACE, recovery=MANUAL)
    await _gap(w, writer, "back_in_time")


async def two_of_three_gone(w: World, writer: Writer) -> None:
    """Only the leader's data is left, which is all that was ever confirmed."""
    before = await etcd.get(w, NAMESPACE)
    leader, others = etcd.roles(before)
    await writer.lap()
    with w.report.step("two of three members lose their data"):
        await destroy(w, others)
        names_all(await lost(w), leader, *others)
        await nothing_happens(w, before, 20.0)
    await recovered(w, writer, before, leader, "survivor")
    await writer.goes_on()
    await _gap(w, writer, "survivor")


async def three_of_five_gone(w: World, writer: Writer) -> None:
    """Two followers are left, one of which holds less: the other one goes on."""
    before = await etcd.get(w, NAMESPACE)
    leader, others = etcd.roles(before)
    laggard, survivor, *rest = others
    await writer.lap()
    with w.report.step("one of five lags, and three others lose their data"):
        async with disturb.pod_cut_off(w, NAMESPACE, etcd.pod(laggard)):
            await writer.goes_on(200)
            await destroy(w, (leader, *rest))
            await lost(w)
        held = await etcd.revision(w, NAMESPACE, survivor)
        behind = held - await etcd.revision(w, NAMESPACE, laggard)
        if behind < 200:
            raise AssertionError(f"{laggard} lags by {behind} revisions only")
        w.report.line(f"{survivor} holds revision {held}, {laggard} {behind} less")
    await recovered(w, writer, before, survivor, "survivor_of_five")
    await writer.goes_on()
    await _gap(w, writer, "survivor_of_five")
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


async def recovered(w: World, writer: Writer, before: Manifest, survivor: str, name: str) -> None:
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


async def copied_first(w: World, member: str) -> None:
    """Raises unless what the survivor held lies beside its data as it was."""
    found = await disturb.on_disk(w, NAMESPACE, member, "ls -d before-recovery-*/member/snap/db")
    if len(found.split()) != 1:
        raise AssertionError(f"one copy of the data of {member} was to be there: {found!r}")


async def consent(w: World, cluster_id: str) -> None:
    """What the manual says for a majority that is gone for good."""
    recovery = {"policy": "FromSurvivor", "allowDataLoss": cluster_id}
    await etcd.change(w, NAMESPACE, recovery=recovery)


async def destroy(w: World, members: Sequence[str]) -> None:
    """Their data is removed, and all of them end at the same moment; one loses its claim, too."""
    await asyncio.gather(*(disturb.on_disk(w, NAMESPACE, m, "rm -rf data") for m in members))
    await asyncio.gather(
        *(disturb.kill_process(w, NAMESPACE, etcd.pod(member)) for member in members)
    )
    await w.kube.delete(kinds.PVC, members[0], NAMESPACE)
    await disturb.kill_pods(w, NAMESPACE, etcd.pod(members[0]))


async def lost(w: World) -> Manifest:
    """Waits until it is said that the quorum is lost."""
    said = etcd.says("Available", "False", "QuorumLost")
    found = await w.until(etcd.KIND, NAMESPACE, etcd.NAME, said, etcd.SOON)
    w.report.line(etcd.sentence(found, "Available"))
    return found


def names_all(found: Manifest, leader: str, *others: str) -> None:
    """Raises unless the sentence says what each member lacks, or up to where it holds the log."""
    sentence = etcd.sentence(found, "Available")
    missing = [name for name in others if f"{name}: " not in sentence]
    if missing or f"{leader} up to index " not in sentence:
        raise AssertionError(f"it says nothing of {missing or leader}: {sentence}")


async def nothing_happens(w: World, before: Manifest, seconds: float) -> None:
    """Looks for so long whether the operator begins anything about members."""
    async with asyncio.timeout(seconds + etcd.SOON):
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while loop.time() < until:
            await unchanged(w, before)
            await asyncio.sleep(1.0)


async def unchanged(w: World, before: Manifest) -> None:
    """Raises if members, their volumes, or what starts them are others than before."""
    found = await etcd.get(w, NAMESPACE)
    status = found["status"]
    if status.get("operation"):
        raise AssertionError(f"an operation was begun: {json.dumps(status['operation'])}")
    now, then = (
        [(m["name"], m.get("id")) for m in o["status"]["members"]] for o in (found, before)
    )
    if now != then or status["clusterID"] != before["status"]["clusterID"]:
        raise AssertionError(f"members were {then} and are {now}")
    sets = await w.kube.list(kinds.STATEFULSET, NAMESPACE)
    missing = {name for name, _ in then} - {s["metadata"]["name"] for s in sets}
    if missing:
        raise AssertionError(f"without consent the StatefulSets of {missing} were removed")


async def _gap(w: World, writer: Writer, name: str) -> None:
    gap = (await writer.lap()).longest_gap
    w.report.figures[f"{name}_gap_s"] = round(gap, 2)
    w.report.line(f"longest time without a confirmed write: {gap:.2f} s")
