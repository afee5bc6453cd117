"""What befalls the way to a host, and what it fetches, with the operator at work and real shells."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.integration.apiserver import ApiServer
from tests.integration.operators.machine.conftest import MACHINE, World, running
from tests.integration.operators.machine.test_hosts import prepared, runs, scripts
from tests.unit.operators.machine.sshd import FakeHost, cut

from kok.api.meta import Manifest
from kok.runtime.process.main import Process

CONTENT = b"as it should be\n" * 64
KINDS_OF_SCRIPTS = 3
"""A look, a job, and what comes after it: with as many in a turn each kind is the one that is cut."""


class Artifacts:
    """A server with one file, which does with it as it is told."""

    def __init__(self) -> None:
        self.url = ""
        self.status = "200 OK"
        self.most = len(CONTENT)
        """Bytes after which it breaks off."""
        self.begun, self.going = asyncio.Event(), asyncio.Event()
        """Whether half of the file was sent, and whether the rest may be."""
        self.going.set()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Artifacts]:
        """As long as the block lasts."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        named = b"/tool.bin " in asked
        # The host looks first whether anybody answers at all.
        body = CONTENT if named and self.status.startswith("200") else b""
        status = self.status if named else "200 OK"
        writer.write(f"HTTP/1.0 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        half = len(body) // 2
        writer.write(body[: min(half, self.most)])
        await writer.drain()
        if named:
            self.begun.set()
            await self.going.wait()
        writer.write(body[half : self.most])
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()


async def wanted(world: World, host: FakeHost, root: Path, server: Artifacts) -> None:
    """A Machine with software that is fetched from there."""
    await world.key_of(host)
    digest = hashlib.sha256(CONTENT).hexdigest()
    artifact = {"name": "tool", "path": "tool.bin", "sha256": digest}
    await world.component("tool", scripts=scripts(root), artifacts=[artifact])
    await world.machine(host, "tool-1.0", artifacts={"baseURL": server.url})


@pytest.mark.parametrize(
    ("status", "most", "words"),
    [
        ("404 Not Found", len(CONTENT), "(22) The requested URL returned error: 404"),
        ("503 Service Unavailable", len(CONTENT), "(22) The requested URL returned error: 503"),
        ("200 OK", len(CONTENT) // 4, "(18)"),
    ],
    ids=["404", "503", "truncated"],
)
async def test_an_artifact_that_does_not_come_is_told_and_fetched_once_it_does(
    world: World,
    host: FakeHost,
    machine_operator: Process,
    tmp_path: Path,
    status: str,
    most: int,
    words: str,
) -> None:
    async with Artifacts().serving() as server:
        server.status, server.most = status, most
        await wanted(world, host, tmp_path, server)
        text = await world.reason(MACHINE, "w1", "DownloadFailed")
        assert f"cannot fetch {server.url}/tool.bin: curl: {words}" in text
        assert runs(tmp_path) == []
        server.status, server.most = "200 OK", len(CONTENT)
        await world.until(MACHINE, "w1", prepared, "prepared")
    assert runs(tmp_path) == ["install"]
    assert list((host.home / "cache").iterdir()) == []


async def test_a_slow_server_is_waited_for(
    world: World, host: FakeHost, machine_operator: Process, tmp_path: Path
) -> None:
    async with Artifacts().serving() as server:
        server.going.clear()
        await wanted(world, host, tmp_path, server)
        await server.begun.wait()
        await world.until(MACHINE, "w1", _downloads, "downloading")
        assert runs(tmp_path) == []
        server.going.set()
        made = await world.until(MACHINE, "w1", prepared, "prepared")
    assert runs(tmp_path) == ["install"]
    assert [c["job"]["attempt"] for c in made["status"]["components"]] == [1]


def _downloads(found: Manifest) -> bool:
    listed = (found.get("status") or {}).get("components") or ()
    return [c["state"] for c in listed] == ["Installing"]


@pytest.mark.parametrize("turn", range(KINDS_OF_SCRIPTS))
async def test_a_connection_that_is_cut_at_any_step_costs_nothing(
    api_server: ApiServer,
    world: World,
    host: FakeHost,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    turn: int,
) -> None:
    """Of every few scripts that the operator begins one is cut off, from a bare host to a bare host."""
    monkeypatch.setenv("KOK_HOST_BACKOFF_MIN", "0.1")
    monkeypatch.setenv("KOK_HOST_BACKOFF_MAX", "0.2")
    await world.key_of(host)
    await world.component("tool", scripts=scripts(tmp_path))
    cuts = 0

    async def cutting() -> None:
        nonlocal cuts
        while True:
            await host.ran(turn + 1 + cuts * KINDS_OF_SCRIPTS)
            await cut(host)
            cuts += 1

    task = asyncio.create_task(cutting())
    try:
        async with running(api_server, world.namespace):
            await world.machine(host, "tool-1.0")
            await world.until(MACHINE, "w1", prepared, "prepared")
            await world.kube.delete(MACHINE, "w1", world.namespace)
            await world.gone(MACHINE, "w1")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert cuts > 0
    assert runs(tmp_path) == ["install", "uninstall"]
    assert not host.home.exists()
