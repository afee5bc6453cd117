"""Look-ups of names: servers that are silent delay nobody but those who ask them."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine
from typing import Any

import pytest

from kok.kube.budget.cpu_shares import NAMESPACE
from kok.runtime.process.resolver import EACH, ProcessLoop


class Names:
    """A resolver whose servers of `silent...` answer when a test says so."""

    def __init__(self) -> None:
        self.answer = threading.Event()
        self.asked: list[str] = []

    def getaddrinfo(self, host: str, port: int, **_: int) -> list[Any]:
        """See `socket.getaddrinfo`."""
        self.asked.append(host)
        if host.startswith("silent"):
            self.answer.wait(60)
        if host.startswith("unknown"):
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port))]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    """In place of the system's."""
    made = Names()
    monkeypatch.setattr(socket, "getaddrinfo", made.getaddrinfo)
    return made


async def in_time(work: Coroutine[Any, Any, None]) -> None:
    async with asyncio.timeout(60):
        await work


def run(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=ProcessLoop) as runner:
        runner.run(in_time(work))


async def look_up(namespace: str, host: str) -> Any:
    NAMESPACE.set(namespace)
    return await asyncio.get_running_loop().getaddrinfo(host, 443, type=socket.SOCK_STREAM)


async def ended(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_silent_servers_of_one_namespace_delay_no_other(names: Names) -> None:
    async def work() -> None:
        silent = [asyncio.create_task(look_up("loud", f"silent-{n}.example")) for n in range(100)]
        found = await asyncio.create_task(look_up("quiet", "api.example"))
        assert found[0][4] == ("192.0.2.1", 443)
        assert await asyncio.create_task(look_up("", "meta.example"))
        assert sum(host.startswith("silent") for host in names.asked) == EACH
        # Given up by whoever asked, they still hold their threads, and nothing new begins.
        await ended(silent)
        more = [asyncio.create_task(look_up("loud", f"silent-more-{n}")) for n in range(100)]
        await asyncio.create_task(look_up("quiet", "again.example"))
        assert sum(host.startswith("silent") for host in names.asked) == EACH
        await ended(more)
        names.answer.set()
        assert await asyncio.create_task(look_up("loud", "known.example"))
        assert not any("more" in host for host in names.asked), "what nobody waits for is left out"

    run(work())


def test_an_error_reaches_whoever_asked(names: Names) -> None:
    async def work() -> None:
        with pytest.raises(socket.gaierror):
            await asyncio.create_task(look_up("a", "unknown.example"))

    run(work())
