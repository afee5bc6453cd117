"""Ten business clusters whose APIs do their worst at once do not take an operator's memory."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from kok.kube.limits import TENANT

ROOT = Path(__file__).parents[3]
ENOUGH = 8
"""Answers of each server after which it has done what it can."""
PATIENCE = 300.0
JSON = {"Content-Type": "application/json"}


def memory_limit() -> int:
    """Bytes that an operator may take by default: the least of the chart's."""
    values = yaml.safe_load((ROOT / "charts" / "kok" / "values.yaml").read_text())
    limits = [
        operator["resources"]["limits"]["memory"]
        for operator in values["operators"].values()
        if "resources" in operator
    ]
    return min(int(limit.removesuffix("Mi")) * 2**20 for limit in limits if limit.endswith("Mi"))


class Hostile:
    """An API server that does one bad thing, for ever."""

    def __init__(self, worst: Callable[[Hostile, web.Request], Any]) -> None:
        self.answered = 0
        self.done = asyncio.Event()
        self._worst = worst
        self._numbers = itertools.count()

    def count(self) -> None:
        """One more answer, or one more part of one that does not end."""
        self.answered += 1
        if self.answered >= ENOUGH:
            self.done.set()

    @property
    def number(self) -> int:
        """Another one each time."""
        return next(self._numbers)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Any request."""
        try:
            response: web.StreamResponse = await self._worst(self, request)
        except ConnectionResetError:
            # Its client had enough; there is nobody any more to answer to.
            return web.Response()
        finally:
            self.count()
        return response


def listed(items: bytes, more: str = "") -> web.Response:
    meta = json.dumps({"resourceVersion": "1", "continue": more}).encode()
    return web.Response(body=b'{"metadata":' + meta + b',"items":[' + items + b"]}", headers=JSON)


def node(name: str, spec: bytes = b"{}", labels: bytes = b"{}") -> bytes:
    meta = f'{{"name":"{name}","uid":"{name}","resourceVersion":"1","labels":'.encode()
    return b'{"metadata":' + meta + labels + b'},"spec":' + spec + b"}"


HEAVY = b'{"a":[' + b",".join([b"{}"] * (TENANT.weight // 230)) + b"]}"
"""As much memory as one answer may take, in a few hundred KiB."""


async def flood(server: Hostile, request: web.Request) -> web.StreamResponse:
    """Events as heavy as they may be, as fast as they are taken."""
    if "watch" not in request.query:
        return listed(b"")
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        text = node(f"n{server.number % 1000}", HEAVY)
        await response.write(b'{"type":"ADDED","object":' + text + b"}\n")
        server.count()


async def kept(server: Hostile, request: web.Request) -> web.StreamResponse:
    """One heavy event on each watch, and then silence: it should not be kept meanwhile."""
    if "watch" not in request.query:
        return listed(node("n", HEAVY))
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b'{"type":"ADDED","object":' + node("n", HEAVY) + b"}\n")
    server.count()
    await asyncio.Event().wait()
    return response


@asynccontextmanager
async def serving(hostile: Hostile) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", hostile.handle)
    server = TestServer(app)
    await server.start_server(shutdown_timeout=0.0)
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        await server.close()


async def swallowed(worst: list[Any]) -> dict[str, Any]:
    """What the process of `swallowing` tells once each server has done what it can."""
    async with asyncio.timeout(PATIENCE), AsyncExitStack() as stack:
        servers = [Hostile(one) for one in worst]
        addresses = [await stack.enter_async_context(serving(one)) for one in servers]
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.integration.operators.swallowing", *addresses),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            done = [asyncio.create_task(server.done.wait()) for server in servers]
            died = asyncio.create_task(child.wait())
            while not died.done() and not all(task.done() for task in done):
                left = [task for task in done if not task.done()]
                await asyncio.wait([*left, died], return_when=asyncio.FIRST_COMPLETED)
            assert child.returncode is None, "the process died"
            out, _ = await child.communicate(b"\n")
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        assert child.returncode == 0
        found: dict[str, Any] = json.loads(out)
        return found


@pytest.mark.parametrize("worst", [flood, kept])
async def test_ten_at_once_fit_into_the_memory_of_an_operator(worst: Any) -> None:
    found = await swallowed([worst] * 10)
    assert found["memory"] < memory_limit() * 3 // 4
