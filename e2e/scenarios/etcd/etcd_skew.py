"""The clock of an etcd member is wrong, half an hour ahead and half an hour behind; nothing is lost.

A writer keeps writing. A clock that is ahead does no harm, not even the leader's. One that is behind
takes the certificates of a young cluster for not valid yet: its member is out until it is set, and
nothing else may happen to it.
"""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import AsyncExitStack

from cryptography import x509

from e2e.faults import clock_skew, disruption
from e2e.fixtures import etcd
from e2e.framework.environment import Environment, environment
from e2e.framework.follow import condition, has
from e2e.framework.install import NAMESPACE as OPERATORS
from e2e.framework.report import Report
from e2e.framework.rights import enough_rights
from e2e.lab.cluster.meta import FIRST
from e2e.polling import eventually
from e2e.writer import Writer, gap, read_back, writing
from kok.api import names
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.pki import TLS_CRT, decode

NAMESPACE = "e2e-etcd-skew"
AHEAD, BEHIND = 1800, -1800
SECRETS = (f"{etcd.NAME}-peer", f"{etcd.NAME}-server", names.etcd_client_secret(etcd.NAME))
MEMBERS = [f"{etcd.NAME}-{number}" for number in range(3)]
GIVEN_UP = "1m"
"""`replaceAfter`: so soon would a member be replaced if it were taken for lost."""
HOLDS = 90.0
"""Seconds for which nothing may happen to a member whose clock is behind."""
TTL = 60
"""Seconds that a lease lives without being renewed."""


async def run(report: Report) -> None:
    """The scenario; it leaves the lab as it was, but for its two nodes."""
    async with (
        environment(report, meta=2, workers=0) as w,
        etcd.fresh_namespaces(w, NAMESPACE),
        enough_rights(w),
    ):
        with report.step("an etcd whose clock is ahead, and one whose clock is behind"):
            await clock_skew.build(w, AHEAD, BEHIND)
        with report.step("three members", "create_s"):
            await etcd.create(w, NAMESPACE, recovery={"replaceAfter": GIVEN_UP})
        async with writing(w, NAMESPACE, etcd.NAME) as writer:
            await ahead(w, writer)
            await behind(w, writer)
            await read_back(w, writer)


async def ahead(w: Environment, writer: Writer) -> None:
    """A member from the future is healthy, can lead, and takes certificates of the present."""
    member = await clock_skew.member_beside(w, NAMESPACE)
    await writer.lap()
    async with AsyncExitStack() as stack:
        took = await stack.enter_async_context(etcd.recovered(w, NAMESPACE, member))
        with w.report.step("the clock of a member is half an hour ahead", "ahead_healthy_s"):
            await stack.enter_async_context(clock_skew.wrong_clock(w, NAMESPACE, member, AHEAD))
            await w.until(kinds.POD, NAMESPACE, etcd.pod(member), etcd.pod_ready, etcd.SOON)
            await etcd.ready(w, NAMESPACE)
            await writer.goes_on()
        with w.report.step("it leads, and leases end when they should"):
            lease = await granted(w, member)
            await leads(w, member)
            await writer.goes_on()
        with w.report.step("certificates are made anew, and all members show them", "renewed_s"):
            await renewed(w)
            await writer.goes_on()
        with w.report.step("another member meets it with them"):
            _, others = await etcd.leading(w, NAMESPACE)
            other = next(n for n in others if n != member)
            async with etcd.recovered(w, NAMESPACE, other):
                await disruption.kill_pods(w, NAMESPACE, etcd.pod(other))
        with w.report.step(f"lease {lease} has ended"):
            await ended(w, member)
        await clock_skew.shows(w, NAMESPACE, member, AHEAD)
        w.report.line("its clock is set right")
    w.report.figures["ahead_set_right_s"] = took["healthy"]
    await gap(w, writer, "ahead")


async def behind(w: Environment, writer: Writer) -> None:
    """A member from the past takes certificates for invalid: it is told so, and left alone."""
    member = await clock_skew.member_beside(w, NAMESPACE)
    before = await belongings(w, member)
    await writer.lap()
    async with AsyncExitStack() as stack:
        took = await stack.enter_async_context(etcd.recovered(w, NAMESPACE, member))
        await stack.enter_async_context(clock_skew.wrong_clock(w, NAMESPACE, member, BEHIND))
        with w.report.step("the clock of a member is half an hour behind", "behind_told_s"):
            obj = await w.until(etcd.KIND, NAMESPACE, etcd.NAME, blames_clock(member), etcd.SOON)
            told = etcd.sentence(obj, "MembersHealthy")
            w.report.line(f"the operator says: {told}")
            node = next(m["node"] for m in obj["status"]["members"] if m["name"] == member)
            if "30 minutes behind" not in told or node not in told:
                raise AssertionError(f"not a word of how the clock is, or of node {node}: {told}")
        with w.report.step(f"nothing is done to it for {HOLDS:.0f} s, and writes go on"):
            await asyncio.sleep(HOLDS)
            await writer.goes_on()
            obj = await w.until(etcd.KIND, NAMESPACE, etcd.NAME, blames_clock(member), etcd.SOON)
            if not has("Available")(obj):
                raise AssertionError(f"Available is {condition(obj, 'Available')}")
            untouched(obj, before, await belongings(w, member))
            if (found := await healthy_by_metrics(w)) != {**dict.fromkeys(MEMBERS, 1), member: 0}:
                raise AssertionError(f"kok_etcd_member_healthy is {found}")
        w.report.line("its clock is set right")
    w.report.figures["behind_set_right_s"] = took["healthy"]
    await gap(w, writer, "behind")
    untouched(await etcd.get(w, NAMESPACE), before, await belongings(w, member))


def blames_clock(member: str) -> etcd.Check:
    """Whether the status says that this member is not healthy, for its clock, and is not lost."""

    def check(obj: Manifest) -> bool:
        members = (obj.get("status") or {}).get("members") or ()
        told = next((m.get("message") or "" for m in members if m["name"] == member), "")
        unhealthy = etcd.says("MembersHealthy", "False", "MembersNotReady")(obj)
        return unhealthy and "its clock is" in told and told in etcd.sentence(obj, "Ready")

    return check


async def belongings(w: Environment, member: str) -> tuple[str, str]:
    """What a member must not lose: its volume and its StatefulSet, by their UIDs."""
    found = [await w.kube.get(kind, member, NAMESPACE) for kind in (kinds.PVC, kinds.STATEFULSET)]
    volume, owner = (str(m["metadata"]["uid"]) if m else "" for m in found)
    return volume, owner


def untouched(obj: Manifest, before: tuple[str, str], after: tuple[str, str]) -> None:
    """Raises `AssertionError` if a member was replaced, or lost what it had."""
    status = obj["status"]
    found = [m["name"] for m in status["members"]]
    if before != after or found != MEMBERS or status.get("replacements") or status.get("operation"):
        raise AssertionError(f"a member whose clock is wrong was not left alone: {status}")


async def healthy_by_metrics(w: Environment) -> dict[str, int]:
    """What the etcd operator's metrics, from which alerts come, say of each member."""
    line = re.compile(r'kok_etcd_member_healthy{(?=.*namespace="(.+?)").*member="(.+?)".*} (\d)')
    found: dict[str, int] = {}
    for pod in await w.kube.list(kinds.POD, OPERATORS):
        if "etcd" in pod["metadata"]["name"] and (address := pod["status"].get("podIP")):
            ask = ("curl", "--silent", "--max-time", "10", f"http://{address}:8080/metrics")
            lines = line.findall(await w.lab.exec(FIRST, *ask))
            found |= {member: int(value) for at, member, value in lines if at == NAMESPACE}
    return found


async def granted(w: Environment, member: str) -> str:
    """A lease with a key that has its name, granted while a member with the right clock leads."""
    leader, others = await etcd.leading(w, NAMESPACE)
    if leader == member:
        await moved(w, leader, others[0])
        await shown_to_lead(w, others[0])
    said = await etcd.etcdctl_with_retries(
        w, NAMESPACE, member, "lease", "grant", str(TTL), "-w", "json"
    )
    lease = format(json.loads(said)["ID"], "x")
    await etcd.etcdctl_with_retries(
        w, NAMESPACE, member, "put", "leased", lease, f"--lease={lease}"
    )
    return lease


async def held(w: Environment, member: str) -> bool:
    """Whether the key of the lease is there."""
    return bool((await etcd.etcdctl_with_retries(w, NAMESPACE, member, "get", "leased")).strip())


async def ended(w: Environment, member: str) -> None:
    """Waits until the lease has taken its key with it."""

    async def is_gone() -> bool:
        return not await held(w, member)

    await eventually(is_gone, etcd.SOON, every=1.0)


async def leads(w: Environment, member: str) -> None:
    """Makes it the leader, which keeps the lease, and waits until the operator says so."""
    leader, _ = await etcd.leading(w, NAMESPACE)
    await moved(w, leader, member)
    if not await held(w, member):
        raise AssertionError(f"a lease of {TTL} s ended when another member led")
    await shown_to_lead(w, member)


async def moved(w: Environment, leader: str, to: str) -> None:
    """Hands the lead over."""
    members = (await etcd.get(w, NAMESPACE))["status"]["members"]
    (target,) = (m["id"] for m in members if m["name"] == to)
    await etcd.etcdctl(w, NAMESPACE, leader, "move-leader", target)


async def shown_to_lead(w: Environment, member: str) -> None:
    """Waits until the operator says that this member leads, and that all are healthy."""
    await w.until(
        *(etcd.KIND, NAMESPACE, etcd.NAME),
        lambda obj: obj["status"].get("leader") == member and etcd.settled(obj),
        etcd.SOON,
    )


async def renewed(w: Environment) -> None:
    """Has all certificates made anew, and waits until every member shows its new one."""
    server = SECRETS[1]
    before = serial_of(await w.kube.get(kinds.SECRET, server, NAMESPACE))
    for name in SECRETS:
        await w.kube.delete(kinds.SECRET, name, NAMESPACE)
    after = serial_of(
        await w.until(
            *(kinds.SECRET, NAMESPACE, server), lambda s: serial_of(s) != before, etcd.SOON
        )
    )
    missing = [str(m["name"]) for m in (await etcd.get(w, NAMESPACE))["status"]["members"]]

    async def all_show_it() -> bool:
        while missing and await shown(w, missing[0]) == after:
            missing.pop(0)
        return not missing

    await eventually(all_show_it, etcd.LONG, every=1.0)


def serial_of(secret: Manifest | None) -> int:
    """Serial number of the certificate in a Secret; 0 if there is none."""
    pem = decode(secret, TLS_CRT)
    return x509.load_pem_x509_certificate(pem).serial_number if pem else 0


async def shown(w: Environment, member: str) -> int:
    """Serial number of the certificate that a member shows to clients; 0 if it shows none."""
    pod = await w.kube.get(kinds.POD, etcd.pod(member), NAMESPACE)
    address = ((pod or {}).get("status") or {}).get("podIP")
    script = (
        f"openssl s_client -connect {address}:2379 </dev/null 2>/dev/null |"
        " openssl x509 -noout -serial 2>/dev/null || true"
    )
    said = await w.lab.exec(FIRST, "sh", "-c", script)
    return int(said.strip().removeprefix("serial=") or "0", 16)
