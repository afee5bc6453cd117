"""All members lose their data and a proven backup is restored by policy; members disagree on who they
are, and fewer than a majority are kept; and etcd sleeps and wakes.

The policy FromBackup restores the newest backup that was proven, not before its time, not without
being told to, and not if a quorum returns. Where somebody has forced a cluster of its own out of a
member, and its data is to be kept, nobody is replaced by its word alone: it is backed up, and that is
restored. A cluster that hibernates is backed up first, is left
alone by its schedule, and wakes with all that was written; a restore that is asked for in its sleep
says that it waits, and happens when it wakes. A writer keeps writing all the time, but for where it
is stopped because members disagree.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from e2e.faults import disruption, quorum
from e2e.fixtures import backups, etcd
from e2e.fixtures.backups import BACKUP, RESTORE
from e2e.framework.environment import Environment, environment
from e2e.framework.follow import condition, has
from e2e.framework.report import Report
from e2e.framework.rights import nothing_was_refused
from e2e.lab import S3
from e2e.writer import Writer, kept, lost_after, writing
from kok.api.meta import Manifest
from kok.kube import kinds

NAMESPACE = "e2e-etcd-rescue"
BUCKET = NAMESPACE
AFTER = 60.0
"""Seconds for which a quorum is to be lost before a backup is restored."""
FROM_BACKUP = {"policy": "FromBackup", "restoreAfter": f"{AFTER:.0f}s"}
MANUAL = {**FROM_BACKUP, "policy": "Manual"}
COLOUR = "colour"
"""A key whose value tells two clusters apart."""
NO_BACKUP_FIRST = "kok.dev/hibernate-without-backup"


async def run(report: Report) -> None:
    """The scenario; it leaves the lab as it was."""
    async with environment(report, meta=1, workers=0) as w:
        with report.step("S3 server"):
            s3 = await w.lab.want_s3()
        s3.make_bucket(BUCKET)
        begin = datetime.now(UTC)
        try:
            async with etcd.fresh_namespaces(w, NAMESPACE):
                store = await etcd.store(w, NAMESPACE, s3, BUCKET)
                await lost_and_restored(w, s3, store)
            async with etcd.fresh_namespaces(w, NAMESPACE):
                store = await etcd.store(w, NAMESPACE, s3, BUCKET)
                await of_two_minds(w, store)
            async with etcd.fresh_namespaces(w, NAMESPACE):
                store = await etcd.store(w, NAMESPACE, s3, BUCKET)
                await asleep_and_awake(w, store)
            await nothing_was_refused(w, begin)
        finally:
            s3.remove_bucket(BUCKET)


# --- a quorum is lost


async def lost_and_restored(w: Environment, s3: S3, store: dict[str, Any]) -> None:
    """Followers that are away return in time; then the data of all members is gone."""
    with w.report.step("three members from nothing", "create_s"):
        await etcd.create(w, NAMESPACE, backup={"store": store}, recovery=MANUAL)
    async with writing(w, NAMESPACE, etcd.NAME) as writer:
        with w.report.step("two backups are proven, and a newer one turns out to be bad"):
            await proven(w, writer, "one")
            revision = await proven(w, writer, "two")
            await bad(w, writer, s3, "three")
        await without_consent(w, writer)
        await back_in_time(w, writer)
        await all_lost(w, writer)
        with w.report.step("all that the backup holds is read back"):
            verdict = await writer.finish()
            w.report.figures["rescue_acknowledged"] = verdict.acknowledged
            w.report.figures["rescue_lost_by_policy"] = verdict.lost
            lost_after(verdict, revision)


async def proven(w: Environment, writer: Writer, name: str) -> int:
    """A backup that was restored for a trial; the revision that it ends with."""
    await writer.goes_on(100)
    await backups.back_up(w, NAMESPACE, name)
    await backups.stored(w, NAMESPACE, name)
    done = await backups.proved(w, NAMESPACE, name, "once", "Passed")
    return int(done["status"]["revision"])


async def bad(w: Environment, writer: Writer, s3: S3, name: str) -> None:
    """A backup that a trial shows to be damaged."""
    await writer.goes_on(100)
    await backups.back_up(w, NAMESPACE, name)
    await backups.stored(w, NAMESPACE, name)
    s3.flip_bit(BUCKET, backups.snapshot(s3, BUCKET, name))
    await backups.proved(w, NAMESPACE, name, "once", "Failed")


async def without_consent(w: Environment, writer: Writer) -> None:
    """With the policy Manual nothing happens however long it takes."""
    before = await etcd.get(w, NAMESPACE)
    leader, others = etcd.roles(before)
    with w.report.step("two of three members are cut off, policy Manual"):
        async with quorum.cut_off(w, NAMESPACE, others):
            found = await quorum.lost(w, NAMESPACE)
            await quorum.nothing_happens(w, before, AFTER + 15)
        quorum.names_all(found, [leader], others)
        await goes_on_as(w, writer, before)


async def back_in_time(w: Environment, writer: Writer) -> None:
    """A quorum that returns before the time of the policy calls it off."""
    before = await etcd.get(w, NAMESPACE)
    leader, others = etcd.roles(before)
    await etcd.change(w, NAMESPACE, recovery=FROM_BACKUP)
    with w.report.step("two of three members are cut off for less than restoreAfter"):
        async with quorum.cut_off(w, NAMESPACE, others):
            found = await quorum.lost(w, NAMESPACE)
            await quorum.nothing_happens(w, before, AFTER / 3)
        quorum.names_all(found, [leader], others)
        when = due(found)
        await goes_on_as(w, writer, before)
        await quorum.nothing_happens(w, before, seconds_until(when) + 15)
    if lost := (await etcd.get(w, NAMESPACE))["status"].get("quorumLostAt"):
        raise AssertionError(f"a quorum has returned, and yet it is lost since {lost}")


async def all_lost(w: Environment, writer: Writer) -> None:
    """Nobody has any data: when the time has come the newest proven backup takes its place."""
    before = await etcd.get(w, NAMESPACE)
    leader, others = etcd.roles(before)
    await writer.lap()
    with w.report.step("all three members lose their data, and nothing happens before the time"):
        await quorum.destroy(w, NAMESPACE, [leader, *others])
        found = await quorum.lost(w, NAMESPACE)
        when = due(found)
        await quorum.nothing_happens(w, before, seconds_until(when) - 5)
        quorum.names_all(await etcd.get(w, NAMESPACE), [], [leader, *others])
    since = when - timedelta(seconds=AFTER)
    name = f"{etcd.NAME}-recovery-{since:%Y%m%d-%H%M%S}"
    with w.report.step("the newest proven backup is restored by itself", "rescue_s"):
        made = await w.until(RESTORE, NAMESPACE, name, lambda _: True, etcd.SOON)
        if at(made["metadata"]["creationTimestamp"]) < when:
            raise AssertionError(f"{name} was made before {when}")
        if made["spec"]["backup"] != "two":
            raise AssertionError(f"EtcdBackup two was to be restored: {made['spec']}")
        await backups.restored(w, NAMESPACE, name)
        await writer.goes_on(within=etcd.LONG)
    w.report.figures["rescue_gap_s"] = round((await writer.lap()).longest_gap, 1)
    after = await etcd.get(w, NAMESPACE)
    if set(quorum.identities(after).values()) & set(quorum.identities(before).values()):
        raise AssertionError("a member or the cluster has an ID of one that lost its data")
    if [m["metadata"]["name"] for m in await w.kube.list(RESTORE, NAMESPACE)] != [name]:
        raise AssertionError("there was to be one restore for one loss")


def due(found: Manifest) -> datetime:
    """When the backup is to be restored; raises unless the EtcdCluster says the same."""
    when = at(found["status"]["quorumLostAt"]) + timedelta(seconds=AFTER)
    wanted = f"EtcdBackup two is restored at {when:%Y-%m-%d %H:%M:%S} UTC"
    if wanted not in (said := etcd.sentence(found, "Available")):
        raise AssertionError(f"it does not say {wanted!r}: {said}")
    return when


def at(text: str) -> datetime:
    """A time of the API."""
    return datetime.fromisoformat(text)


def seconds_until(when: datetime) -> float:
    """From now on; negative for what is past."""
    return (when - datetime.now(UTC)).total_seconds()


async def goes_on_as(w: Environment, writer: Writer, before: Manifest) -> None:
    """Waits until all members are healthy again, which are those of before."""
    await etcd.ready(w, NAMESPACE)
    await writer.goes_on(within=etcd.SOON)
    await quorum.unchanged(w, before)


# --- members disagree


async def of_two_minds(w: Environment, store: dict[str, Any]) -> None:
    """One of three is a cluster of its own beside the others, and what it holds is to be kept."""
    before = await etcd.create(w, NAMESPACE, backup={"store": store})
    async with writing(w, NAMESPACE, etcd.NAME) as writer:
        await writer.goes_on(100)
        # As users are told to stop: what one cluster confirms the other does not know.
        kept(await writer.finish())
        leader, (alone, other) = etcd.roles(before)
        others = [leader, other]
        with w.report.step("a member is forced to be a cluster of its own while the others go on"):
            async with quorum.forced_alone(w, NAMESPACE, alone, others):
                await disagreement_is_told(w, before)
                await etcd.etcdctl_with_retries(w, NAMESPACE, alone, "put", COLOUR, "kept")
                await etcd.etcdctl_with_retries(w, NAMESPACE, leader, "put", COLOUR, "lost")
                await quorum.nothing_happens(w, before, 30)
                await given_up(w, others)
        with w.report.step("nobody is replaced by the word of the one that is left"):
            await w.until(etcd.KIND, NAMESPACE, etcd.NAME, lacks_members, etcd.SOON)
            await quorum.nothing_happens(w, before, AFTER)
        with w.report.step("it is backed up, and the backup makes all members anew", "reunited_s"):
            await backups.back_up(w, NAMESPACE, "alone")
            await backups.stored(w, NAMESPACE, "alone")
            await backups.restore(w, NAMESPACE, "again", backup="alone")
            await backups.restored(w, NAMESPACE, "again")
        await all_have(w, "kept")
        kept(await writer.finish())


def lacks_members(found: Manifest) -> bool:
    """Whether it is told that those who answer list fewer members than there were."""
    told = etcd.says("Available", "False", "MembersDisagree")
    words = "answers with a list of members that lacks"
    return told(found) and words in str(condition(found, "Available").get("message"))


async def disagreement_is_told(w: Environment, before: Manifest) -> None:
    """Waits for the condition; raises unless it has all lists, and both ways out."""
    told = etcd.says("Available", "False", "MembersDisagree")
    found = await w.until(etcd.KIND, NAMESPACE, etcd.NAME, told, etcd.LONG)
    said = etcd.sentence(found, "Available")
    w.report.line(said)
    names = [m["name"] for m in before["status"]["members"]]
    wanted = [*names, "stop the clients", "delete volume and pod", "make an EtcdBackup"]
    if missing := [words for words in wanted if words not in said]:
        raise AssertionError(f"it does not say {missing}: {said}")


async def given_up(w: Environment, members: Sequence[str]) -> None:
    """Deletes volume and pod of members whose data is not to be kept."""
    for member in members:
        await w.kube.delete(kinds.PVC, member, NAMESPACE)
    await disruption.kill_pods(w, NAMESPACE, *map(etcd.pod, members))


async def all_have(w: Environment, colour: str) -> None:
    """Raises unless each member answers with that colour, and all know the same members."""
    found = await etcd.get(w, NAMESPACE)
    for member in (m["name"] for m in found["status"]["members"]):
        asked = (COLOUR, "--print-value-only")
        if (
            said := (await etcd.etcdctl_with_retries(w, NAMESPACE, member, "get", *asked)).strip()
        ) != colour:
            raise AssertionError(f"{member} has {said!r}, and {colour!r} was to be kept")
        listed = await etcd.etcdctl_with_retries(w, NAMESPACE, member, "member", "list")
        if len(listed.strip().splitlines()) != len(found["status"]["members"]):
            raise AssertionError(f"{member} lists others: {listed}")


# --- sleep


async def asleep_and_awake(w: Environment, store: dict[str, Any]) -> None:
    """It sleeps over a time at which a backup is due; then once more, to be restored as it wakes."""
    before = await etcd.create(w, NAMESPACE, backup={"store": store})
    async with writing(w, NAMESPACE, etcd.NAME) as writer:
        slot = (datetime.now(UTC) + timedelta(minutes=4)).replace(second=0, microsecond=0)
        schedule = f"{slot.minute} {slot.hour} * * *"
        await etcd.change(w, NAMESPACE, backup={"schedule": schedule})
        await writer.goes_on(100)
        with w.report.step("a backup is made, then it sleeps", "asleep_s"):
            backup = await backed_up_first(w, await sleeps(w))
        with w.report.step("a restore that is asked for says that it waits, and is taken back"):
            await waits_for_wake_up(w, "early", backup)
            await w.kube.delete(RESTORE, "early", NAMESPACE)
            await w.gone(RESTORE, NAMESPACE, "early", etcd.SOON)
        with w.report.step("a backup is due by schedule, and nobody makes it or misses it"):
            await asyncio.sleep(max(0.0, seconds_until(slot) + 20))
            await left_alone(w, backup)
        with w.report.step("it wakes", "awake_s"):
            await etcd.change(w, NAMESPACE, hibernate=False)
            await goes_on_as(w, writer, before)
        await left_alone(w, backup)
        with w.report.step("every confirmed write is read back"):
            verdict = await writer.finish()
            w.report.figures["sleep_acknowledged"] = verdict.acknowledged
            w.report.figures["sleep_lost"] = verdict.lost
            kept(verdict)
    await restored_when_it_wakes(w, backup)


async def sleeps(w: Environment) -> Manifest:
    """Has it hibernate, and waits until no member runs."""
    await etcd.change(w, NAMESPACE, hibernate=True)
    asleep = has("Ready", "False", "Hibernated")
    found = await w.until(etcd.KIND, NAMESPACE, etcd.NAME, asleep, etcd.LONG)
    pods = await w.kube.list(kinds.POD, NAMESPACE, labels={"app.kubernetes.io/name": "etcd"})
    if pods or await w.kube.list(kinds.STATEFULSET, NAMESPACE):
        raise AssertionError(f"members run: {[m['metadata']['name'] for m in pods]}")
    return found


async def backed_up_first(w: Environment, asleep: Manifest) -> str:
    """Name of the one backup that was made; raises unless it was stored before members stopped."""
    (made,) = await w.kube.list(BACKUP, NAMESPACE)
    stopped = asleep["status"]["hibernation"]["since"]
    if not has("Ready", reason="Stored")(made) or at(made["status"]["completedAt"]) > at(stopped):
        raise AssertionError(f"no member ran any more at {stopped}: {made['status']}")
    return str(made["metadata"]["name"])


async def waits_for_wake_up(w: Environment, name: str, backup: str) -> None:
    """A restore that is asked for in its sleep says why nothing happens."""
    await backups.restore(w, NAMESPACE, name, backup=backup)
    waits = has("Ready", "False", "EtcdHibernates")
    found = await w.until(RESTORE, NAMESPACE, name, waits, etcd.LONG)
    w.report.line(etcd.sentence(found, "Ready"))
    if not has("Ready", "False", "Hibernated")(await etcd.get(w, NAMESPACE)):
        raise AssertionError("the EtcdCluster does not sleep any more")


async def left_alone(w: Environment, backup: str) -> None:
    """Raises if anything but that backup was made or missed by schedule."""
    made = [m["metadata"]["name"] for m in await w.kube.list(BACKUP, NAMESPACE)]
    healthy = condition(await etcd.get(w, NAMESPACE), "BackupsHealthy")
    if made != [backup] or healthy.get("status") == "False":
        raise AssertionError(f"there are {made}, and BackupsHealthy is {healthy}")
    chosen = "--field-selector=type=Warning,involvedObject.kind=EtcdCluster"
    told = ("get", "events", "-n", NAMESPACE, chosen, "-o", "jsonpath={.items[*].message}")
    if said := (await w.lab.kubectl(*told)).strip():
        raise AssertionError(f"while it slept it was said: {said}")


async def restored_when_it_wakes(w: Environment, backup: str) -> None:
    """What was written after the first sleep is lost by that, as asked for."""
    revision = (await w.kube.list(BACKUP, NAMESPACE))[0]["status"]["revision"]
    note = {"metadata": {"annotations": {NO_BACKUP_FIRST: "true"}}}
    await w.kube.patch(etcd.KIND, etcd.NAME, NAMESPACE, note)
    async with writing(w, NAMESPACE, etcd.NAME, prefix="late/") as writer:
        with w.report.step("it sleeps once more, without a backup", "asleep_at_once_s"):
            await sleeps(w)
        await waits_for_wake_up(w, "asleep", backup)
        with w.report.step("it wakes, and is restored", "awake_restored_s"):
            await etcd.change(w, NAMESPACE, hibernate=False)
            await backups.restored(w, NAMESPACE, "asleep")
            await writer.goes_on(within=etcd.SOON)
        lost_after(await writer.finish(), revision)
