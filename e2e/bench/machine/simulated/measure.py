"""A thousand simulated hosts: what the machine operator takes to bring them in and to look after them."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import asyncssh

from e2e.bench.bare.control_plane import end, free_port
from e2e.bench.figure import Figure, figure
from e2e.bench.upgrades.many import Place
from e2e.bench.upgrades.standins.meta import client, furnish, meta
from e2e.bench.upgrades.standins.operator import LEASES, Operator, operator, total
from e2e.framework.install import CHECKOUT
from e2e.polling import eventually
from kok.api import Component, Machine
from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.pki import encode

HOSTS, EACH = 1000, 50
"""How many, and how many of them in a namespace."""
ROUND_SECONDS = 60.0
"""How often each host is looked at, ten times as often as by default."""
SETTLE_SECONDS = 60.0
WITHIN = 1800.0
MACHINE, COMPONENT = Machine.info.kind, Component.info.kind
SECRET, SOFTWARE, VERSION = "ops-ssh", "tool", "1.0"
NUDGE = "example.com/nudge"
_AT_ONCE = 32


async def hosts(count: int = HOSTS) -> AsyncIterator[Figure]:
    """1,000 simulated hosts: CPU, memory, a full round of probes, what a host at rest costs."""
    places = [(f"team-{n // EACH:02}", f"w{n % EACH}") for n in range(count)]
    with tempfile.TemporaryDirectory(prefix="kok-hosts-") as folder:
        home = Path(folder)
        async with AsyncExitStack() as stack:
            kubeconfig = await stack.enter_async_context(meta(home))
            kube = await stack.enter_async_context(await client(kubeconfig, "bench"))
            await furnish(kube, [LEASES, *dict.fromkeys(namespace for namespace, _ in places)])
            simulated = await stack.enter_async_context(_simulated(home))
            async for found in _brought_in(home, kubeconfig, kube, simulated, places):
                yield found
            async for found in _looked_after(home, kubeconfig, kube, simulated, places):
                yield found


async def _brought_in(
    home: Path, kubeconfig: Path, kube: Kube, simulated: Simulated, places: Sequence[Place]
) -> AsyncIterator[Figure]:
    async with _at_work(home, kubeconfig) as running:
        await _make(kube, simulated, places)
        begin = time.monotonic()
        await running.beside(_prepared(kube, places))
        seconds = time.monotonic() - begin
        yield figure("machine-hosts-prepared", seconds, "s", note=f"{len(places)} from bare")
        yield figure("machine-hosts-prepared-peak", running.peak(), "MiB", 512.0)


async def _looked_after(
    home: Path, kubeconfig: Path, kube: Kube, simulated: Simulated, places: Sequence[Place]
) -> AsyncIterator[Figure]:
    """By an operator that has just been started: it logs in everywhere first."""
    count, before = len(places), await simulated.surveys()
    begin = time.monotonic()
    async with _at_work(home, kubeconfig) as running:
        await running.beside(simulated.answered(before + count))
        seconds = time.monotonic() - begin
        text = "from the start of the operator until each host was logged in to and seen"
        yield figure("machine-hosts-round", seconds, "s", note=text)
        await asyncio.sleep(SETTLE_SECONDS)
        running.forget_peak()
        spent = await running.beside(_at_rest(kube, running, simulated, 2 * ROUND_SECONDS))
        text = f"each host seen every {ROUND_SECONDS:.0f} s"
        share = 100 * spent.cpu / spent.seconds
        yield figure("machine-hosts-rest-cpu", share, "%-core", note=text)
        per_host = 1000 * spent.cpu / max(1, spent.surveys)
        yield figure("machine-hosts-probe-cpu", per_host, "ms", note="one look at one host")
        rounds = spent.surveys / count
        yield figure("machine-hosts-rounds", rounds, "rounds", note=f"in {spent.seconds:.0f} s")
        yield figure("machine-hosts-rest-memory", running.peak(), "MiB", 512.0, note="at most")
        yield figure(
            "machine-hosts-rest-writes", spent.writes, "writes", 0.0, note="of any Machine"
        )
        took = await running.beside(_nudged(kube, running, places))
        text = "a pass that finds nothing to do"
        yield figure("machine-hosts-pass", took, "s", 0.3, note=text)


# --- what is measured


@dataclass(frozen=True, slots=True)
class Spent:
    """In a span of time."""

    seconds: float
    cpu: float
    surveys: int
    writes: int
    """Machines that were written."""


async def _at_rest(kube: Kube, running: Operator, simulated: Simulated, seconds: float) -> Spent:
    before, versions = await running.taken(), await _versions(kube)
    surveys, begin = await simulated.surveys(), time.monotonic()
    await asyncio.sleep(seconds)
    after, passed = await running.taken(), time.monotonic() - begin
    seen = await simulated.surveys() - surveys
    now = await _versions(kube)
    writes = sum(now[place] != version for place, version in versions.items())
    return Spent(passed, after.cpu - before.cpu, seen, writes)


async def _nudged(kube: Kube, running: Operator, places: Sequence[Place]) -> float:
    """Seconds of one pass, where each Machine gets one by an annotation that means nothing."""
    async with aiohttp.ClientSession() as session:
        before = await total(session, running.port, "kok_pass_seconds_sum", MACHINE.kind)
        passes = await total(session, running.port, "kok_pass_seconds_count", MACHINE.kind)
        for batch in _few(places):
            patch = {"metadata": {"annotations": {NUDGE: "1"}}}
            await asyncio.gather(*(kube.patch(MACHINE, n, ns, patch) for ns, n in batch))

        async def had() -> float:
            return (
                await total(session, running.port, "kok_pass_seconds_count", MACHINE.kind) - passes
            )

        async def all_had() -> bool:
            return await had() >= len(places)

        await eventually(all_had, WITHIN, every=1.0)
        done = await had()
        spent = await total(session, running.port, "kok_pass_seconds_sum", MACHINE.kind) - before
    return spent / done


async def _versions(kube: Kube) -> dict[Place, str]:
    return {
        (one["metadata"]["namespace"], one["metadata"]["name"]): one["metadata"]["resourceVersion"]
        for one in await kube.list(MACHINE)
    }


async def _prepared(kube: Kube, places: Sequence[Place]) -> None:
    """Returns once all hosts have their software."""
    left = set(places)
    async with asyncio.timeout(WITHIN), aclosing(kube.watch(MACHINE)) as events:
        async for event in events:
            if event.type in {"ADDED", "MODIFIED"} and _has_software(event.object):
                meta_ = event.object["metadata"]
                left.discard((meta_["namespace"], meta_["name"]))
            if not left:
                return


def _has_software(machine: Manifest) -> bool:
    conditions = (machine.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "ComponentsReady" and c["status"] == "True" for c in conditions)


# --- hosts and Machines


@dataclass(slots=True)
class Simulated:
    """The process of all simulated hosts."""

    process: asyncio.subprocess.Process
    port: int
    client: asyncssh.SSHKey
    fingerprint: str

    async def surveys(self) -> int:
        """How many were answered so far."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(b"\n")
        return int(await self.process.stdout.readline())

    async def answered(self, count: int) -> None:
        """Returns once so many were."""

        async def enough() -> bool:
            return await self.surveys() >= count

        await eventually(enough, WITHIN, every=0.2)


@asynccontextmanager
async def _simulated(home: Path) -> AsyncIterator[Simulated]:
    key, mine = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    key.write_private_key(str(home / "host"))
    mine.write_public_key(str(home / "client.pub"))
    port = free_port()
    command = (str(port), str(home / "host"), str(home / "client.pub"))
    with (home / "hosts.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *("setpriv", "--pdeathsig", "KILL", "--", sys.executable),
            *("-m", "e2e.bench.machine.simulated", *command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env={**os.environ, "PYTHONPATH": f"{CHECKOUT / 'src'}:{CHECKOUT}"},
        )
    try:
        assert process.stdout is not None
        await process.stdout.readline()
        yield Simulated(process, port, mine, key.get_fingerprint("sha256"))
    finally:
        sys.stderr.write((home / "hosts.log").read_text())
        await end(process)


@asynccontextmanager
async def _at_work(home: Path, kubeconfig: Path) -> AsyncIterator[Operator]:
    """The machine operator, which may log in to loopback, and looks often."""
    environment = {
        "KOK_FORBIDDEN_RANGES": "169.254.0.0/16",
        "KOK_SURVEY_EVERY": str(ROUND_SECONDS),
        # Nothing but a pass looks at a host that is as wanted.
        "KOK_RESYNC": str(ROUND_SECONDS / 4),
    }
    async with operator(home, kubeconfig, "machine", environment) as running:
        yield running


async def _make(kube: Kube, simulated: Simulated, places: Sequence[Place]) -> None:
    probe = f"{SOFTWARE} --version"
    for namespace in dict.fromkeys(namespace for namespace, _ in places):
        await kube.create(
            {
                "apiVersion": "v1",
                "kind": kinds.SECRET.kind,
                "metadata": {"name": SECRET, "namespace": namespace},
                "data": encode({"ssh-privatekey": simulated.client.export_private_key()}),
            }
        )
        spec = {"name": SOFTWARE, "version": VERSION, "scripts": {"probe": probe}}
        await kube.create(_object(COMPONENT, f"{SOFTWARE}-{VERSION}", namespace, spec))
    numbered = dict(zip(places, range(len(places)), strict=True))
    for batch in _few(places):
        await asyncio.gather(
            *(
                kube.create(_object(MACHINE, name, ns, _spec(simulated, numbered[ns, name])))
                for ns, name in batch
            )
        )


def _spec(simulated: Simulated, number: int) -> Manifest:
    return {
        "cluster": "shop",
        "node": f"host-{number}",
        # Of loopback, of which each Linux has 16 million.
        "address": f"127.1.{number // 250}.{number % 250 + 1}",
        "port": simulated.port,
        "hostKey": simulated.fingerprint,
        "ssh": {"secret": SECRET},
        "components": [{"name": SOFTWARE, "version": VERSION}],
    }


def _object(kind: Kind, name: str, namespace: str, spec: Manifest) -> Manifest:
    meta_ = {"name": name, "namespace": namespace}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta_, "spec": spec}


def _few(places: Sequence[Place]) -> list[Sequence[Place]]:
    return [places[n : n + _AT_ONCE] for n in range(0, len(places), _AT_ONCE)]
