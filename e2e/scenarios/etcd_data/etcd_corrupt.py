"""A member's data is silently altered on its disk; it is found out and replaced, nothing is lost.

Once while the member runs, so that etcd itself finds out at a compaction and raises the alarm
CORRUPT, with which it serves nobody; and once so that the member finds out when it starts. A
writer keeps writing.
"""

from __future__ import annotations

from e2e.faults import disruption
from e2e.fixtures import etcd
from e2e.framework.environment import Environment, environment
from e2e.framework.report import Report
from e2e.framework.rights import enough_rights
from e2e.writer import Writer, gap, read_back, writing
from kok.api.meta import Manifest
from kok.kube import kinds

NAMESPACE = "e2e-etcd-corrupt"
TRUTH, LIE = "what-was-confirmed", "what-nobody-wanted"
ALTER = """\
cd data/member/snap
for at in $(LC_ALL=C grep -abo {truth} db | cut -d : -f 1); do
  printf %s {lie} | dd of=db bs=1 seek=$at conv=notrunc status=none
done
LC_ALL=C grep -ac {lie} db
"""
"""etcd maps the file into its memory: what is written there is what the member has from now on."""


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
            await found_by_compaction(w, writer)
            await found_at_start(w, writer)
            await read_back(w, writer)


async def found_by_compaction(w: Environment, writer: Writer) -> None:
    """etcd compares its members' hashes once a minute, if history was compacted."""
    leader, others = await etcd.leading(w, NAMESPACE)
    await altered(w, writer, others[0], leader)
    await etcd.etcdctl(
        w, NAMESPACE, leader, "compact", str(await etcd.revision(w, NAMESPACE, leader))
    )
    with w.report.step("etcd finds out", "found_s"):
        await w.until(etcd.KIND, NAMESPACE, etcd.NAME, alarmed, etcd.SOON)
    with w.report.step("the wrong member is replaced, the alarm taken back", "alarm_s"):
        await replaced(w, others[0])
    await all_true(w)
    await gap(w, writer, "alarm")


async def found_at_start(w: Environment, writer: Writer) -> None:
    """A member refuses to start because its data differs from that of the others."""
    leader, others = await etcd.leading(w, NAMESPACE)
    await altered(w, writer, others[0], leader)
    with w.report.step("the member finds out when it starts, and is replaced", "refused_s"):
        await disruption.kill_process(w, NAMESPACE, etcd.pod(others[0]))
        await replaced(w, others[0])
    await all_true(w)
    await gap(w, writer, "refused")


async def altered(w: Environment, writer: Writer, member: str, other: str) -> None:
    """From now on this member says another thing than the others."""
    await etcd.etcdctl(w, NAMESPACE, other, "put", "truth", TRUTH)
    # So many that its page of the file is not written anew any more.
    await writer.goes_on(300)
    await writer.lap()
    with w.report.step(f"{member} is altered on its disk"):
        script = ALTER.format(truth=TRUTH, lie=LIE)
        await disruption.on_disk(w, NAMESPACE, member, script)
        said = {m: await truth(w, m) for m in (member, other)}
        if said != {member: LIE, other: TRUTH}:
            raise AssertionError(f"one of two was to be altered: {said}")


async def all_true(w: Environment) -> None:
    """Raises unless every member has what was confirmed."""
    members = (await etcd.get(w, NAMESPACE))["status"]["members"]
    said = {m["name"]: await truth(w, m["name"]) for m in members}
    if set(said.values()) != {TRUTH}:
        raise AssertionError(f"not all members have what was confirmed: {said}")


async def truth(w: Environment, member: str) -> str:
    """What one member has, without asking the others."""
    get = ("get", "--consistency=s", "--print-value-only", "truth")
    return (await etcd.etcdctl(w, NAMESPACE, member, *get)).strip()


def alarmed(obj: Manifest) -> bool:
    """Whether the alarm is shown."""
    return any("CORRUPT" in alarm for alarm in (obj.get("status") or {}).get("alarms") or ())


async def replaced(w: Environment, member: str) -> None:
    """Waits until another one has the member's place, all is well, and nothing is left of it."""

    def check(obj: Manifest) -> bool:
        status = obj.get("status") or {}
        there = {m["name"] for m in status.get("members") or ()}
        return etcd.settled(obj) and not status.get("alarms") and member not in there

    await w.until(etcd.KIND, NAMESPACE, etcd.NAME, check, etcd.LONG)
    await w.gone(kinds.PVC, NAMESPACE, member, etcd.SOON)
