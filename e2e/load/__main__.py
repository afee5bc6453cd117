"""`python -m e2e.load`: the process that loads a business cluster; see `e2e.load`.

It takes commands as JSON lines and answers each with one line.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from e2e.load import lanes, streams
from e2e.load.exchange import Client
from e2e.load.lanes import APPLIED, APPLY, Asker, Lane, Numbered
from e2e.load.sequence import Gaps, Leader, Numbers
from e2e.load.streams import Stream
from e2e.load.tally import Tally
from e2e.load.watches import Watch
from e2e.polling import eventually
from kok.kube.http.access import Access, from_kubeconfig

LINE_LIMIT = 1 << 22
SET_UP, CATCH_UP, POD_RUNS = 90.0, 20.0, 240.0
LEADERS = ("kube-controller-manager", "kube-scheduler")
SYSTEM_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
WATCHES_EACH = 5
"""Watches of one connection by HTTP/2, as those of one program."""
KEPT_EACH = 2
"""Clients that a lane with kept connections has: behind one address they reach several servers."""
RATES = {
    "fresh": {"list": 2.0, "update": 2.0, "renew": 2.0},
    "kept": {"list": 6.5, "update": 6.0, "renew": 4.0},
}
"""Requests a second, each once by HTTP/1.1 and once by HTTP/2; `NUMBERS` come on top."""
NUMBERS = 5.0


class Watcher:
    """One watch of the numbers."""

    def __init__(self, client: Client, tally: Tally) -> None:
        self.numbers, self.gaps = Numbers(), Gaps()
        self.watch = Watch(client, tally, lanes.CONFIGMAPS, lanes.NUMBERED, self._see)

    def _see(self, found: dict[str, Any], listed: bool) -> None:
        number = lanes.number_of(found)
        if number is None:
            return
        if listed:
            self.numbers.find(number)
        else:
            self.numbers.see(number)
            self.gaps.see(time.monotonic())


class Work:
    """Everything that goes on, and what came of it."""

    def __init__(self) -> None:
        self.tally = Tally(time.monotonic())
        self._clients: list[Client] = []
        self._lanes: list[asyncio.Task[None]] = []
        self._followers: list[asyncio.Task[None]] = []
        self._watchers: list[Watcher] = []
        self._leaders: dict[str, Leader] = {}
        self._streams: dict[str, Stream] = {}
        self._numbered: Numbered | None = None
        self._home = contextlib.AsyncExitStack()

    async def start(self, given: dict[str, Any]) -> dict[str, Any]:
        """Loads the cluster of a kubeconfig; answers once everything has begun."""
        access = from_kubeconfig(given["kubeconfig"])
        await self._set_up(access, given.get("image"))
        scale = float(given.get("rate", 50.0)) / 50.0
        wanted = self._requests(access, scale)
        numbered = Asker(self.tally, "kept-http2-number", [self._client(access, http2=True)])
        self._numbered = Numbered(numbered)
        await self._numbered.begin()
        wanted.append(Lane(numbered, NUMBERS * scale, self._numbered.once, at_once=1))
        self._watch(access, int(given.get("watches", 20)), given.get("leaders", LEADERS))
        if given.get("image"):
            await self._stream(given)
        await self._begun(wanted)
        self.tally.lap(time.monotonic())
        for watcher in self._watchers:
            watcher.gaps.lap(time.monotonic())
        return {}

    async def _begun(self, wanted: list[Lane]) -> None:
        async with asyncio.timeout(SET_UP):
            await asyncio.gather(*(each.watch.listed.wait() for each in self._watchers))
        self._lanes = [asyncio.create_task(lane.run()) for lane in wanted]
        await eventually(lambda: all(w.watch.events for w in self._watchers), SET_UP)
        for stream in self._streams.values():
            async with asyncio.timeout(POD_RUNS):
                await stream.begun.wait()

    def _client(self, access: Access, *, http2: bool, fresh: bool = False) -> Client:
        self._clients.append(Client(access, http2=http2, fresh=fresh))
        return self._clients[-1]

    async def _set_up(self, access: Access, image: str | None) -> None:
        """What requests are about; an API that is new needs a moment until it takes all of it."""
        client = self._client(access, http2=True)
        asker = Asker(Tally(time.monotonic()), "set-up", [client])
        namespace = {"apiVersion": "v1", "kind": "Namespace"}
        meta = {"metadata": {"name": lanes.NAMESPACE}}
        wanted: list[tuple[str, dict[str, object]]] = [
            (f"/api/v1/namespaces/{lanes.NAMESPACE}", {**namespace, **meta}),
            (f"{lanes.CONFIGMAPS}/{lanes.NUMBERED}", _numbered()),
        ]
        for name in _names():
            wanted.append((f"{lanes.CONFIGMAPS}/{name}", lanes.config_map(name, 0)))
            wanted.append((f"{lanes.LEASES}/{name}", lanes.lease(name)))
        if image:
            wanted.append((f"{lanes.PODS}/{streams.POD}", streams.pod(image)))
        for path, manifest in wanted:

            async def applied(path: str = path, manifest: object = manifest) -> bool:
                return await asker.ask("PATCH", path + APPLIED, manifest, APPLY) is not None

            await eventually(applied, SET_UP, every=0.5)

    def _requests(self, access: Access, scale: float) -> list[Lane]:
        made = []
        for how, rates in RATES.items():
            for http2 in (False, True):
                for what, rate in rates.items():
                    name = f"{how}-http{2 if http2 else 1}-{what}"
                    fresh, count = how == "fresh", 1 if how == "fresh" else KEPT_EACH
                    clients = [self._client(access, http2=http2, fresh=fresh) for _ in range(count)]
                    asker = Asker(self.tally, name, clients)
                    made.append(_lane(asker, what, rate * scale))
        return made

    def _watch(self, access: Access, count: int, leaders: list[str]) -> None:
        """Half of the watches by HTTP/1.1, each on a connection of its own."""
        client: Client | None = None
        for number in range(count):
            http2 = number >= count // 2
            if client is None or not http2 or number % WATCHES_EACH == 0:
                client = self._client(access, http2=http2)
            self._watchers.append(Watcher(client, self.tally))
            self._follow(self._watchers[-1].watch)
        for name in leaders:
            self._leaders[name] = leader = Leader()

            def see(found: dict[str, Any], _listed: bool, leader: Leader = leader) -> None:
                spec = found.get("spec") or {}
                leader.see(spec.get("holderIdentity") or "", spec.get("renewTime") or "")

            client = self._client(access, http2=True)
            # What watches this has no part in the load's own count of watches.
            aside = Tally(time.monotonic())
            self._follow(Watch(client, aside, SYSTEM_LEASES, name, see))

    def _follow(self, watch: Watch) -> None:
        self._followers.append(asyncio.create_task(watch.run()))

    async def _stream(self, given: dict[str, Any]) -> None:
        kubeconfig = await self._home.enter_async_context(_file(given["kubeconfig"]))
        for name, follows in (("logs", True), ("exec", False)):
            stream = Stream(Path(given["kubectl"]), kubeconfig, follows=follows)
            self._streams[name] = stream
            self._followers.append(asyncio.create_task(stream.run()))

    def lap(self, *, last: bool = False) -> dict[str, Any]:
        """What came of it since the last time; watches are told of from the beginning.

        Only at the `last` one, for which they had time, is what they have not seen yet missing.
        """
        now = time.monotonic()
        self._fail_with_them()
        told = self.tally.lap(now)
        told["watches"] = self._watched(now, last)
        told["leaders"] = {
            name: {"longest_s": round(leader.gaps.lap(time.time()), 2), "holders": leader.holders}
            for name, leader in self._leaders.items()
        }
        told["streams"] = {name: stream.told(now) for name, stream in self._streams.items()}
        return told

    def _watched(self, now: float, last: bool) -> dict[str, Any]:
        each, latest = self._watchers, self._numbered.latest if self._numbered else 0
        return {
            "count": len(each),
            "latest": latest,
            "seen": sum(w.numbers.seen for w in each),
            "lost": sum(w.numbers.lost for w in each),
            "doubled": sum(w.numbers.doubled for w in each),
            "behind": sum(w.numbers.missing(latest) for w in each) if last else 0,
            "ended": sum(w.watch.ended for w in each),
            "broken": sum(w.watch.broken for w in each),
            "relisted": sum(w.watch.relisted for w in each),
            "silence_s": round(max((w.gaps.lap(now) for w in each), default=0.0), 2),
            "named": [name for w in each for name in w.numbers.named][:20],
        }

    def _fail_with_them(self) -> None:
        """What follows ends only with us."""
        for task in self._followers:
            if task.done():
                task.result()

    async def finish(self) -> dict[str, Any]:
        """Ends the requests, waits for the watches to have seen all, and tells the last lap."""
        for lane in self._lanes:
            lane.cancel()
        await asyncio.gather(*self._lanes, return_exceptions=True)
        latest = self._numbered.latest if self._numbered else 0
        with contextlib.suppress(TimeoutError):
            numbers = [w.numbers for w in self._watchers]
            await eventually(lambda: not any(n.missing(latest) for n in numbers), CATCH_UP)
        told = self.lap(last=True)
        await self.close()
        return told

    async def close(self) -> None:
        """Ends everything."""
        for task in (*self._lanes, *self._followers):
            task.cancel()
        await asyncio.gather(*self._lanes, *self._followers, return_exceptions=True)
        for client in self._clients:
            await client.close()
        await self._home.aclose()

    async def do(self, what: str, given: Any) -> dict[str, Any]:
        """One command's answer."""
        match what:
            case "start":
                return await self.start(given)
            case "lap":
                return self.lap()
            case "finish":
                return await self.finish()
        raise ValueError(f"there is no command {what}")


def _lane(asker: Asker, what: str, rate: float) -> Lane:
    match what:
        case "list":
            return Lane(asker, rate, lanes.listing(asker))
        case "update":
            return Lane(asker, rate, lanes.updating(asker, asker.kind))
    return Lane(asker, rate, lanes.renewing(asker, asker.kind), at_once=1)


def _names() -> list[str]:
    """Objects that lanes write: one of each kind for each lane."""
    return [
        f"{how}-http{version}-{what}"
        for how, rates in RATES.items()
        for version in (1, 2)
        for what in rates
        if what != "list"
    ]


def _numbered() -> dict[str, object]:
    """Applied without a number, so that what a run before has left is not taken back."""
    whole = lanes.config_map(lanes.NUMBERED, 0)
    return {key: value for key, value in whole.items() if key != "data"}


@asynccontextmanager
async def _file(kubeconfig: str) -> AsyncIterator[Path]:
    """A kubeconfig for kubectl, where only we can read it, and gone with us."""
    with tempfile.TemporaryDirectory(prefix="kok-load-") as folder:
        path = Path(folder) / "kubeconfig"
        path.touch(0o600)
        path.write_text(kubeconfig, encoding="utf-8")
        yield path


async def serve() -> None:
    """Takes commands until there are no more."""
    work = Work()
    reader = asyncio.StreamReader(limit=LINE_LIMIT)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        while line := await reader.readline():
            command = json.loads(line)
            try:
                answer = await work.do(command["do"], command.get("with"))
            except Exception as error:  # noqa: BLE001 - it is told to whoever asked
                answer = {"error": f"{type(error).__name__}: {error}"}
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
    finally:
        await work.close()


if __name__ == "__main__":
    asyncio.run(serve())
