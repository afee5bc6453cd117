"""The toy operator running against the real API server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.integration.apiserver import ApiServer, free_ports
from tests.integration.at_work import at_work, settings_in
from tests.integration.conftest import LEASE, PATIENCE, established, run_out
from tests.integration.runtime.toy import DOLL, TOY, crd, operator, toy

from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.http.access import from_kubeconfig
from kok.runtime.controller.reconciler import OperatorSpec
from kok.runtime.process.main import Process

LIMIT = 90.0
"""Seconds after which what a test waits for counts as not happening."""

ROOT = Path(__file__).parents[3]
SOON = 2.0
"""Seconds between two looks at the Lease, where a test waits for what comes of one."""

Until = Callable[[Kind, str, Callable[[Manifest | None], object]], Awaitable[Manifest | None]]


async def until(
    kube: Kube, kind: Kind, namespace: str, name: str, holds: Callable[[Manifest | None], object]
) -> Manifest | None:
    """The object as soon as `holds` does; it is None while there is no such object."""
    last: Manifest | None = None
    try:
        watch = kube.watch(kind, namespace, fields={"metadata.name": name})
        async with asyncio.timeout(LIMIT), aclosing(watch) as events:
            async for event in events:
                if event.type in {"ADDED", "MODIFIED"}:
                    last = event.object
                elif event.type == "DELETED":
                    last = None
                if (event.type != "SYNCED" or last is None) and holds(last):
                    return last
    except TimeoutError:
        raise AssertionError(f"{kind.kind} {name} stayed as it is: {last}") from None
    raise AssertionError("a watch never ends")


def ready(manifest: Manifest | None) -> dict[str, Any]:
    """The condition `Ready`, or an empty mapping."""
    conditions = ((manifest or {}).get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c["type"] == "Ready"), {})


def seen(manifest: Manifest | None, generation: int) -> bool:
    """Whether the status is about that generation of the spec."""
    return ((manifest or {}).get("status") or {}).get("observedGeneration") == generation


@pytest.fixture(scope="session")
def toys(api_server: ApiServer) -> None:
    """The kind Toy is installed."""

    async def install() -> None:
        async with await Kube.from_kubeconfig(
            api_server.kubeconfig(), field_manager="setup", timeout=PATIENCE
        ) as kube:
            for kind in (TOY, DOLL):
                await kube.apply(crd(kind))
                await established(kube, kind.crd_name)

    asyncio.run(install())


@asynccontextmanager
async def running(
    api_server: ApiServer,
    namespace: str,
    *,
    operators: Sequence[OperatorSpec] = (),
    user: str | None = None,
    **settings: Any,
) -> AsyncIterator[Process]:
    """The toy operator, or others, at work in one namespace, in this process."""
    config = api_server.kubeconfig(user, groups=()) if user else api_server.kubeconfig()
    wanted = settings_in(namespace, **settings)
    async with at_work(operators or [operator()], wanted, from_kubeconfig(config)) as process:
        yield process


@pytest.fixture
async def process(api_server: ApiServer, toys: None, namespace: str) -> AsyncIterator[Process]:
    """The toy operator at work in the test's namespace."""
    async with running(api_server, namespace) as one:
        yield one


class World:
    """Short ways to the test's namespace."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self.kube = kube
        self.namespace = namespace

    async def make(self, name: str, kind: Kind = TOY, **spec: Any) -> Manifest:
        """Creates a Toy."""
        return await self.kube.create(toy(name, self.namespace, kind, **spec))

    async def change(self, name: str, **spec: Any) -> Manifest:
        """Changes a Toy's spec."""
        return await self.kube.patch(TOY, name, self.namespace, {"spec": spec})

    async def until(
        self, kind: Kind, name: str, holds: Callable[[Manifest | None], object]
    ) -> Manifest | None:
        """See the function `until`."""
        return await until(self.kube, kind, self.namespace, name, holds)

    async def until_ready(
        self, name: str, reason: str, status: str = "False", kind: Kind = TOY
    ) -> Manifest:
        """The Toy once its `Ready` has that reason and status."""

        def holds(toy: Manifest | None) -> bool:
            found = ready(toy)
            return (found.get("reason"), found.get("status")) == (reason, status)

        found = await self.until(kind, name, holds)
        assert found is not None
        return found

    async def until_event(self, reason: str, about: str = "a") -> Manifest:
        """The first event with that reason about the Toy of that name."""
        watch = self.kube.watch(kinds.EVENT, self.namespace)
        async with asyncio.timeout(LIMIT), aclosing(watch) as events:
            async for event in events:
                if (
                    event.type == "ADDED"
                    and event.object["reason"] == reason
                    and event.object["regarding"]["name"] == about
                ):
                    return event.object
        raise AssertionError("a watch never ends")


@pytest.fixture
def world(kube: Kube, namespace: str) -> World:
    """The test's namespace."""
    return World(kube, namespace)


class Operator:
    """The toy operator as a process of its own."""

    def __init__(
        self, process: asyncio.subprocess.Process, port: int, log: Path, world: World
    ) -> None:
        self.process = process
        self.port = port
        self.log = log
        self.world = world

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    async def end(self, number: signal.Signals) -> int:
        """Sends a signal; returns the exit code."""
        self.process.send_signal(number)
        async with asyncio.timeout(LIMIT):
            return await self.process.wait()

    async def kill(self) -> None:
        """SIGKILL; its Lease runs out soon."""
        await self.end(signal.SIGKILL)
        await run_out(self.world.kube, "toy", self.world.namespace)

    async def probe(self, path: str) -> tuple[int, str]:
        """What the probe server answers."""
        url = f"http://127.0.0.1:{self.port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, await response.text()

    def rss(self) -> float:
        """Resident memory in MiB."""
        return self._memory("VmRSS")

    def peak(self) -> float:
        """The most that was ever resident, in MiB."""
        return self._memory("VmHWM")

    def _memory(self, what: str) -> float:
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in text.splitlines() if line.startswith(what))
        return int(line.split()[1]) / 1024


Start = Callable[..., Awaitable[Operator]]


@pytest.fixture
async def start(
    api_server: ApiServer, toys: None, world: World, tmp_path: Path
) -> AsyncIterator[Start]:
    """Starts operators; those still running at the end are killed."""
    config = tmp_path / "kubeconfig"
    config.write_text(api_server.kubeconfig())
    started: list[Operator] = []

    async def begin(**settings: object) -> Operator:
        (port,) = free_ports(1)
        log = tmp_path / f"operator-{len(started)}.log"
        environment = {
            **os.environ,
            "KUBECONFIG": str(config),
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "KOK_NAMESPACES": world.namespace,
            "KOK_LEASE_NAMESPACE": world.namespace,
            **{f"KOK_{key.upper()}": str(value) for key, value in LEASE.items()},
            "KOK_HTTP_HOST": "127.0.0.1",
            "KOK_HTTP_PORT": str(port),
            **{f"KOK_{key.upper()}": str(value) for key, value in settings.items()},
        }
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "tests.integration.runtime.toy",
                env=environment,
                stderr=out,
                cwd=ROOT,
            )
        started.append(Operator(process, port, log, world))
        return started[-1]

    yield begin
    for one in started:
        if one.process.returncode is None:
            one.process.kill()
            await one.process.wait()
