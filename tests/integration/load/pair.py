"""Two API servers on one etcd behind one address, as the meta cluster's Services have it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import aiohttp
from e2e.load.exchange import Broken, Client
from e2e.polling import eventually
from tests import ending
from tests.integration.apiserver import ApiServer, free_ports

from kok.kube.http.access import Access, from_kubeconfig

NAMES = ("kube-apiserver", "second")
LIMIT = 90.0
DELAY = 8
"""Seconds for which a server that ends goes on serving, so that the balancer learns of it."""


class Pair(ApiServer):
    """The servers `NAMES`, with the flags by which those of a Cluster end in order."""

    def __init__(self, kube_apiserver: str, etcd: str) -> None:
        super().__init__(kube_apiserver, etcd)
        self._programs["second"] = kube_apiserver
        self.ports = dict(zip(NAMES, (self.port, *free_ports(1)), strict=True))

    def start(self) -> None:
        """Starts what does not run, and waits until the first server is ready."""
        self.spawn()
        self._await_ready()

    def spawn(self) -> None:
        """Starts what does not run."""
        self._spawn("etcd", self._etcd_arguments())
        for name, port in self.ports.items():
            self._spawn(name, [*self._apiserver_arguments(), f"--secure-port={port}"])

    def stop(self, *names: str) -> None:
        """Kills those named, or all."""
        super().stop(*(names or (*NAMES, "etcd")))

    def ends(self, name: str) -> subprocess.Popen[bytes]:
        """Tells a server to end, as a kubelet does; the process, which does so by and by."""
        process = self._running.pop(name)
        process.send_signal(signal.SIGTERM)
        return process

    async def touch(self) -> None:
        """Somebody writes to etcd, past the API servers."""
        key, value = (base64.b64encode(text).decode() for text in (b"/elsewhere", b"here"))
        url = f"http://127.0.0.1:{self._etcd_client}/v3/kv/put"
        put = {"key": key, "value": value}
        async with aiohttp.ClientSession() as session, session.post(url, json=put) as answer:
            answer.raise_for_status()

    def access(self, port: int) -> Access:
        """An identity that may do anything, at one of the servers or the balancer."""
        return replace(from_kubeconfig(self.kubeconfig()), server=f"https://127.0.0.1:{port}")

    def _apiserver_arguments(self) -> list[str]:
        return [
            *super()._apiserver_arguments(),
            f"--shutdown-delay-duration={DELAY}s",
            "--shutdown-send-retry-after=true",
            "--shutdown-watch-termination-grace-period=5s",
            "--goaway-chance=0.01",
        ]


@dataclass
class Balancer:
    """Where a new connection goes: to the next server that is ready. Those that stand stay."""

    port: int
    ready: dict[str, bool] = field(default_factory=dict)
    """By name; a server that ends is not ready any more while it still serves."""
    _turns: Iterator[int] = field(default_factory=itertools.count)
    _pipes: set[asyncio.Task[None]] = field(default_factory=set)

    async def connect(
        self, pair: Pair, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """One connection, until either side ends it."""
        ports = [pair.ports[name] for name, ready in self.ready.items() if ready]
        try:
            there, back = await asyncio.open_connection(
                "127.0.0.1", ports[next(self._turns) % len(ports)] if ports else 1
            )
        except OSError:
            writer.transport.abort()
            return
        both = [_pass_on(reader, back), _pass_on(there, writer)]
        for task in map(asyncio.ensure_future, both):
            self._pipes.add(task)
            task.add_done_callback(self._pipes.discard)

    async def look(self, pair: Pair) -> None:
        """Asks servers again and again whether they are ready."""
        async with contextlib.AsyncExitStack() as stack:
            clients = {}
            for name, port in pair.ports.items():
                clients[name] = Client(pair.access(port), http2=False, fresh=True)
                stack.push_async_callback(clients[name].close)
            while True:
                for name, client in clients.items():
                    try:
                        self.ready[name] = (await client.send("GET", "/readyz")).status == 200
                    except Broken:
                        self.ready[name] = False
                await asyncio.sleep(0.2)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def balanced(pair: Pair) -> AsyncIterator[Balancer]:
    """The pair behind one address, once both are ready."""
    (port,) = free_ports(1)
    balancer = Balancer(port)
    server = await asyncio.start_server(
        lambda reader, writer: balancer.connect(pair, reader, writer), "127.0.0.1", port
    )
    looking = asyncio.create_task(balancer.look(pair))
    try:
        await all_ready(balancer)
        yield balancer
    finally:
        server.close()
        await ending.ended([looking, *balancer._pipes])


async def all_ready(balancer: Balancer) -> None:
    """Waits until new connections go to both."""
    await eventually(lambda: [balancer.ready.get(name) for name in NAMES] == [True, True], LIMIT)


async def ended(process: subprocess.Popen[bytes]) -> None:
    """Waits until a process is gone."""
    await eventually(lambda: process.poll() is not None, LIMIT)
