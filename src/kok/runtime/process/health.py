"""The HTTP server for probes and metrics, and the watch over the event loop."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from kok.runtime import metrics
from kok.runtime.settings import Settings

LAG_LIMIT = 10.0
"""Seconds by which the event loop may be late before the process counts as ill."""
TICK = 1.0


@dataclass(slots=True)
class Health:
    """What the probes report; one for the process."""

    settings: Settings
    pending: dict[str, Callable[[], float]] = field(default_factory=dict)
    """By operator: the age in seconds of its oldest trigger that no pass took up."""
    waiting: dict[str, str] = field(default_factory=dict)
    """By operator: what it waits for before it can work; empty when everything runs."""
    lag: float = 0.0

    def alive(self) -> tuple[bool, Mapping[str, Any]]:
        """Whether the process does its work; if not, a restart may help."""
        ages = {operator: round(age(), 1) for operator, age in self.pending.items()}
        for operator, age in ages.items():
            metrics.PENDING_SECONDS.labels(operator).set(age)
        stuck = [o for o, age in ages.items() if age > self.settings.health_pending]
        ok = not stuck and self.lag < LAG_LIMIT
        return ok, {"ok": ok, "pendingSeconds": ages, "loopLagSeconds": round(self.lag, 3)}

    def ready(self) -> tuple[bool, Mapping[str, Any]]:
        """Whether everything that has to be up is; standing by for a leader counts as ready."""
        ok = not self.waiting
        return ok, {"ok": ok, "waitingFor": dict(self.waiting)}

    async def watch_loop(self) -> None:
        """Measures for ever how late the event loop is."""
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(TICK)
            self.lag = max(0.0, loop.time() - before - TICK)
            metrics.LOOP_LAG_SECONDS.set(self.lag)


class _Page:
    """All metrics as text, made in a thread and once for all who ask meanwhile."""

    KEEPS = 1.0
    """Seconds."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._made = float("-inf")
        self._text = b""

    async def now(self) -> bytes:
        """As they were a moment ago."""
        async with self._lock:
            if time.monotonic() - self._made > self.KEEPS:
                self._text = await asyncio.to_thread(generate_latest, REGISTRY)
                self._made = time.monotonic()
            return self._text


async def serve(health: Health) -> tuple[web.AppRunner, int]:
    """Starts the server; returns it with its port. `cleanup()` of the runner stops it."""

    page = _Page()

    def answer(result: tuple[bool, Mapping[str, Any]]) -> web.Response:
        ok, body = result
        return web.json_response(body, status=200 if ok else 503, dumps=json.dumps)

    async def healthz(_: web.Request) -> web.Response:
        return answer(health.alive())

    async def readyz(_: web.Request) -> web.Response:
        return answer(health.ready())

    async def exposed(_: web.Request) -> web.Response:
        health.alive()
        # There are as many series as objects; whoever asks again and again gets the same for a while.
        text = await page.now()
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes(
        [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", exposed)]
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    host = health.settings.http_host or None
    site = web.TCPSite(runner, host, health.settings.http_port)
    await site.start()
    return runner, int(runner.addresses[0][1])
