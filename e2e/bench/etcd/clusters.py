"""What the etcd operator costs in seconds: members made, added, upgraded, killed, replaced.

Beside each stands the same by hand, where that makes sense. The share of the volumes' provisioner
is taken off: it is not ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime

from e2e.bench.bare.etcd import bare
from e2e.bench.clusters import NAMESPACE
from e2e.bench.figure import Figure, figure
from e2e.bench.usage import cores, mebibytes, usage
from e2e.faults import disruption
from e2e.fixtures import etcd
from e2e.framework.environment import Environment
from e2e.framework.install import NAMESPACE as OPERATORS
from e2e.writer import kept, writing
from kok.api.meta import Manifest
from kok.kube import kinds

ROUNDS = 3
GIB = 2**30
FLEET = 50
SMALL = {"requests": {"cpu": "5m", "memory": "16Mi"}}
"""So that the scheduler puts a whole fleet on one machine."""
SETTLE_SECONDS, REST_SECONDS = 60.0, 180.0


async def members(w: Environment) -> AsyncIterator[Figure]:
    """Three members from nothing; one to three; a killed member back in quorum."""
    for by_hand in [f async for f in _by_hand(w)]:
        yield by_hand
    made, grown, back = [], [], []
    for n in range(ROUNDS):
        name = f"m{n}"
        async with volumes(w) as waited:
            made.append(await _timed(w, name, members=3) - waited.longest)
        back.append(await _killed(w, name))
        await _gone(w, name)
        await etcd.create(w, NAMESPACE, f"s{n}", members=1)
        async with volumes(w) as waited:
            grown.append(await _timed(w, f"s{n}", members=3) - waited.total)
        await _gone(w, f"s{n}")
    yield figure("etcd-create-3", made, "s", 4.0, "until healthy, without the volumes' share")
    yield figure("etcd-scale-1-3", grown, "s", 8.0, "without the volumes' share")
    yield figure("etcd-killed-back", back, "s", 5.0, "SIGKILL of a process until its pod is ready")


async def rolled(w: Environment) -> AsyncIterator[Figure]:
    """A patch upgrade of three members under a writer."""
    await w.lab.want(etcd=["v3.6.8", "v3.6.10"])
    took, gaps = [], []
    for n in range(ROUNDS):
        name = f"u{n}"
        await etcd.create(w, NAMESPACE, name, version="3.6.8")
        async with writing(w, NAMESPACE, name) as writer:
            await writer.lap()
            took.append(await _timed(w, name, version="3.6.10"))
            gaps.append((await writer.lap()).longest_gap)
            kept(await writer.finish())
        await _gone(w, name)
    yield figure("etcd-upgrade", took, "s", 30.0, "3.6.8 to 3.6.10, three members")
    yield figure("etcd-upgrade-gap", gaps, "s", 1.5, "longest time without a confirmed write")


async def replaced(w: Environment) -> AsyncIterator[Figure]:
    """A member that lost its volume at 1 GiB."""
    await etcd.create(w, NAMESPACE, "r", storage={"size": "8Gi"})
    async with writing(w, NAMESPACE, "r", rate=10) as writer:
        await writer.fill(GIB)
        _, others = await etcd.leading(w, NAMESPACE, "r")
        await writer.lap()
        begin = time.monotonic()
        await w.kube.delete(kinds.PVC, others[0], NAMESPACE)
        await disruption.kill_pods(w, NAMESPACE, etcd.pod(others[0]))
        await w.until(etcd.KIND, NAMESPACE, "r", _without(others[0]), 600.0)
        took = time.monotonic() - begin
        gap = (await writer.lap()).longest_gap
        kept(await writer.finish())
    await _gone(w, "r")
    yield figure("etcd-replace-1GiB", took, "s", note="volume deleted until three are healthy")
    yield figure("etcd-replace-rate", GIB / 1e6 / took, "MB/s", note="the same, volume included")
    yield figure("etcd-replace-gap", gap, "s", note="longest time without a confirmed write")


async def fleet(w: Environment) -> AsyncIterator[Figure]:
    """Fifty EtcdClusters of one member each at rest."""
    names = [f"f{n}" for n in range(FLEET)]
    begin = time.monotonic()
    spec = {"members": 1, "resources": SMALL}
    await w.apply(*(etcd.manifest(NAMESPACE, name, **spec) for name in names))
    for name in names:
        await w.until(etcd.KIND, NAMESPACE, name, etcd.settled, 900.0)
    took = time.monotonic() - begin
    await asyncio.sleep(SETTLE_SECONDS)

    def ours(namespace: str, pod: str) -> bool:
        return namespace == OPERATORS and "etcd" in pod

    before, since = await usage(w.kube, ours), datetime.now(UTC)
    await asyncio.sleep(REST_SECONDS)
    writes = await w.lab.writes(since)
    after = await usage(w.kube, ours)
    written = sum(n for agent, n in writes.items() if agent.startswith("kok-etcd"))
    yield figure(f"etcd-{FLEET}-made", took, "s", note="one member each, volumes included")
    yield figure(f"etcd-{FLEET}-writes", written, "writes", 0, f"in {REST_SECONDS:.0f} s at rest")
    yield figure(f"etcd-{FLEET}-memory", mebibytes(after), "MiB", note="the operator, resident")
    yield figure(f"etcd-{FLEET}-cpu", 100 * cores(before, after), "%-core", note="the operator")
    await _gone(w, *names)


# --- how it is measured


class Waits:
    """How long claims waited for their volumes, in seconds."""

    def __init__(self) -> None:
        self.began: dict[str, float] = {}
        self.took: dict[str, float] = {}

    @property
    def longest(self) -> float:
        """The share of the volumes where they are made side by side."""
        return max(self.took.values(), default=0.0)

    @property
    def total(self) -> float:
        """The share where they are made one after another."""
        return sum(self.took.values())


@asynccontextmanager
async def volumes(w: Environment) -> AsyncIterator[Waits]:
    """Watches the claims that are made as long as the block lasts."""
    waits, synced = Waits(), asyncio.Event()

    async def follow() -> None:
        async with aclosing(w.kube.watch(kinds.PVC, NAMESPACE)) as events:
            async for event in events:
                if event.type == "SYNCED":
                    synced.set()
                elif event.type != "DELETED" and synced.is_set():
                    _see(waits, event.object)

    task = asyncio.create_task(follow())
    await synced.wait()
    try:
        yield waits
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _see(waits: Waits, claim: Manifest) -> None:
    name, now = claim["metadata"]["name"], time.monotonic()
    bound = (claim.get("status") or {}).get("phase") == "Bound"
    if not bound:
        waits.began.setdefault(name, now)
    elif name in waits.began and name not in waits.took:
        waits.took[name] = now - waits.began[name]


async def _timed(w: Environment, name: str, **spec: object) -> float:
    """Seconds until an EtcdCluster is what the spec says from now on."""
    begin = time.monotonic()
    if await w.kube.get(etcd.KIND, name, NAMESPACE) is None:
        await w.apply(etcd.manifest(NAMESPACE, name, **spec))
    else:
        await etcd.change(w, NAMESPACE, name, **spec)
    version = spec.get("version")

    def reached(obj: Manifest) -> bool:
        running = {m.get("version") for m in (obj.get("status") or {}).get("members") or ()}
        return etcd.settled(obj) and (version is None or running == {version})

    await w.until(etcd.KIND, NAMESPACE, name, reached, etcd.LONG)
    return time.monotonic() - begin


async def _killed(w: Environment, name: str) -> float:
    _, others = await etcd.leading(w, NAMESPACE, name)
    async with etcd.recovered(w, NAMESPACE, others[0], name=name) as took:
        await disruption.kill_process(w, NAMESPACE, etcd.pod(others[0]))
    return took["pods"]


def _without(member: str) -> etcd.Check:
    def check(obj: Manifest) -> bool:
        names = {m["name"] for m in (obj.get("status") or {}).get("members") or ()}
        return etcd.settled(obj) and member not in names

    return check


async def _gone(w: Environment, *names: str) -> None:
    await asyncio.gather(*(w.kube.delete(etcd.KIND, name, NAMESPACE) for name in names))
    await asyncio.gather(*(w.gone(etcd.KIND, NAMESPACE, name, etcd.LONG) for name in names))


async def _by_hand(w: Environment) -> AsyncIterator[Figure]:
    made, grown, back = [], [], []
    for _ in range(ROUNDS):
        async with bare(w.lab.program("etcd"), w.lab.program("etcdctl")) as by_hand:
            made.append(await by_hand.create(3))
            back.append(await by_hand.restart(by_hand.members[2]))
        async with bare(w.lab.program("etcd"), w.lab.program("etcdctl")) as by_hand:
            await by_hand.create(1)
            grown.append(await by_hand.grow() + await by_hand.grow())
    yield figure("bare-create-3", made, "s", note="three processes with TLS until ready")
    yield figure("bare-scale-1-3", grown, "s", note="etcdctl member add and promote, twice")
    yield figure("bare-killed-back", back, "s", note="SIGKILL until ready, started at once")
