"""A writer that keeps writing to an EtcdCluster, remembers every write that was confirmed, and
reads all of them back at the end.

It is a process of its own in the network of the first meta host, so that it reaches members at
their pods' addresses, as an API server would, whatever becomes of Services, of other hosts, or of
the scenario's own load. The scenario tells it where members are::

    async with writing(w, namespace, "shop-etcd") as writer:
        ...                                 # the fault
        lap = await writer.lap()            # longest time without a confirmed write since the start
        verdict = await writer.finish()     # everything read back
    verdict.kept                            # zero confirmed writes lost, no time that ran backwards
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from e2e.framework.environment import Environment
from e2e.polling import eventually
from e2e.writer.ledger import Lap, Verdict
from kok.api import names
from kok.api.meta import Manifest
from kok.kube import kinds

__all__ = ["Lap", "Verdict", "Writer", "gap", "kept", "lost_after", "read_back", "writing"]

CHECKOUT = Path(__file__).resolve().parents[2]
HOST = "meta-1"
"""In whose network it runs: no scenario cuts off or stops the first meta host."""
PORT = 2379
RATE, LIMIT = 50.0, 60_000


class Writer:
    """The process at work; made by `writing`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._turn = asyncio.Lock()
        self.verdict: Verdict | None = None

    async def tell(self, what: str, given: Any = None) -> None:
        """One command without an answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, "with": given}).encode() + b"\n")
        await self._process.stdin.drain()

    async def ask(self, what: str, given: Any = None, within: float = 90.0) -> dict[str, Any]:
        """One command, and its answer."""
        assert self._process.stdout is not None
        async with self._turn, asyncio.timeout(within):
            await self.tell(what, given)
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the writer ended with code {await self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise AssertionError(answer["error"])
        return answer

    async def lap(self) -> Lap:
        """What happened since the last lap, or since the start."""
        return Lap(**await self.ask("lap"))

    async def goes_on(self, writes: int = 25, within: float = 180.0) -> None:
        """Waits until that many writes were confirmed from now on; no lap ends by that."""
        before = await self.ask("count")

        async def enough() -> bool:
            return bool((await self.ask("count"))["count"] - before["count"] >= writes)

        await eventually(enough, within, every=0.1)

    async def fill(
        self, size: int, prefix: str = "filler/", value: int = 1_000_000, keys: int = 0
    ) -> float:
        """Writes `size` bytes in values of `value` bytes as fast as it can; seconds that it took.

        Each value gets a key of its own, or all take turns at so many `keys`. Laps and verdict
        know nothing of them.
        """
        given = {"bytes": size, "size": value, "prefix": prefix, "keys": keys}
        return float((await self.ask("fill", given, 900.0))["seconds"])

    async def read(self, prefix: str) -> dict[str, int]:
        """`keys` below a prefix, the `highest` revision of their changes, the store's `revision`."""
        return await self.ask("read", prefix, 90.0)

    async def finish(self, within: float = 180.0) -> Verdict:
        """Stops writing and reads everything back. Raises `AssertionError` if nobody answers."""
        await self.ask("stop")
        answer = await self.ask("verify", within, within + 60.0)
        self.verdict = Verdict.from_json(answer)
        return self.verdict


def kept(verdict: Verdict) -> None:
    """Raises `AssertionError` unless every promise was kept."""
    if verdict.acknowledged == 0:
        raise AssertionError("not one write was confirmed: nothing was proved")
    if not verdict.kept:
        raise AssertionError(f"etcd broke its promises: {verdict}")


async def gap(w: Environment, writer: Writer, name: str) -> float:
    """Waits until writes go on, and ends the lap; seconds of its longest time without a confirmed
    write, which become the figure `<name>_gap_s`."""
    await writer.goes_on()
    longest = (await writer.lap()).longest_gap
    w.report.figures[f"{name}_gap_s"] = round(longest, 2)
    w.report.line(f"longest time without a confirmed write: {longest:.2f} s")
    return longest


async def read_back(w: Environment, writer: Writer) -> None:
    """The last step of a writer that must lose nothing; the figures count the writes of all such
    writers of a scenario."""
    figures = w.report.figures
    with w.report.step("every confirmed write is read back"):
        verdict = await writer.finish()
        for name, count in (("acknowledged", verdict.acknowledged), ("lost", verdict.lost)):
            figures[name] = int(figures.get(name, 0)) + count
        kept(verdict)


def lost_after(verdict: Verdict, revision: int) -> None:
    """Raises `AssertionError` unless exactly what came after the revision of a backup is lost, and
    no revision was used twice."""
    if verdict.lost == 0 or (verdict.lost_from or 0) <= revision:
        raise AssertionError(f"the backup holds revision {revision}, but lost is: {verdict}")
    if verdict.altered or verdict.backwards or verdict.strangers:
        raise AssertionError(f"time ran backwards or content changed: {verdict}")
    if verdict.revision < verdict.highest:
        raise AssertionError(f"the revision went back: {verdict}")


@asynccontextmanager
async def writing(
    w: Environment,
    namespace: str,
    etcd: str,
    *,
    rate: float = RATE,
    limit: int = LIMIT,
    size: int = 64,
    patience: float = 1.0,
    user: tuple[str, str] | None = None,
    prefix: str = "writer/",
) -> AsyncIterator[Writer]:
    """Writes `rate` keys a second with values of `size` bytes, `limit` keys at most.

    `patience`: seconds after which a write is given up and another member asked. Follows the pods
    and the client certificate of the EtcdCluster. Begins when its first member has an address.
    """
    process = await asyncio.create_subprocess_exec(
        *("setpriv", "--pdeathsig", "KILL", "--"),
        *await w.lab.inside(HOST),
        *(sys.executable, "-m", "e2e.writer"),
        cwd=CHECKOUT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    writer = Writer(process)
    known = asyncio.Event(), asyncio.Event()
    tasks = [
        asyncio.create_task(_follow_pods(w, writer, namespace, etcd, known[0])),
        asyncio.create_task(_follow_secret(w, writer, namespace, etcd, known[1])),
    ]
    try:
        async with asyncio.timeout(180.0):
            await asyncio.gather(*(event.wait() for event in known))
        chosen = {"rate": rate, "limit": limit, "size": size, "patience": patience}
        login = {"user": user[0], "password": user[1]} if user else {}
        await writer.tell("start", {**chosen, **login, "prefix": prefix})
        await writer.goes_on()
        yield writer
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _follow_pods(
    w: Environment, writer: Writer, namespace: str, etcd: str, known: asyncio.Event
) -> None:
    pods: dict[str, Manifest] = {}
    told: list[str] = []
    labels = {"app.kubernetes.io/name": "etcd", names.LABEL_OWNER_NAME: etcd}
    async with aclosing(w.kube.watch(kinds.POD, namespace, labels=labels)) as events:
        async for event in events:
            if event.type == "SYNCED":
                continue
            name = event.object["metadata"]["name"]
            if event.type == "DELETED":
                pods.pop(name, None)
            else:
                pods[name] = event.object
            addresses = endpoints(list(pods.values()))
            if addresses != told:
                told = addresses
                await writer.tell("endpoints", told)
            if told:
                known.set()


def endpoints(pods: Sequence[Manifest]) -> list[str]:
    """The client addresses of members' pods that have one, in order of their names."""
    found = sorted(
        (pod["metadata"]["name"], str((pod.get("status") or {}).get("podIP") or ""))
        for pod in pods
        if (pod.get("status") or {}).get("phase") not in {"Succeeded", "Failed"}
    )
    return [f"https://{address}:{PORT}" for _, address in found if address]


async def _follow_secret(
    w: Environment, writer: Writer, namespace: str, etcd: str, known: asyncio.Event
) -> None:
    name = names.etcd_client_secret(etcd)
    told: dict[str, str] = {}
    fields = {"metadata.name": name}
    async with aclosing(w.kube.watch(kinds.SECRET, namespace, fields=fields)) as events:
        async for event in events:
            if event.type not in {"ADDED", "MODIFIED"}:
                continue
            found = identity(event.object, namespace, etcd)
            if found and found != told:
                told = found
                await writer.tell("identity", told)
                known.set()


def identity(secret: Manifest, namespace: str, etcd: str) -> dict[str, str]:
    """What a client needs, out of the Secret for clients; empty while it is not whole."""
    data = secret.get("data") or {}
    keys = {"ca": "ca.crt", "certificate": "tls.crt", "key": "tls.key"}
    if not all(data.get(key) for key in keys.values()):
        return {}
    texts = {field: base64.b64decode(data[key]).decode() for field, key in keys.items()}
    return {**texts, "server_name": f"{names.etcd_client_service(etcd)}.{namespace}.svc"}
