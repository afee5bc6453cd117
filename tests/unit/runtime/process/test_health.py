"""Probes: what makes a process ill and what does not."""

from __future__ import annotations

import asyncio

import aiohttp

from kok.runtime.process import health
from kok.runtime.process.health import LAG_LIMIT, Health
from kok.runtime.settings import Settings


def a_process() -> Health:
    """The health of a process without operators."""
    return Health(Settings(health_pending=100, http_host="127.0.0.1", http_port=0))


def test_a_trigger_that_nobody_takes_up_makes_the_process_ill() -> None:
    one = a_process()
    one.pending["etcd"] = lambda: 99.0
    assert one.alive() == (
        True,
        {"ok": True, "pendingSeconds": {"etcd": 99.0}, "loopLagSeconds": 0.0},
    )
    one.pending["etcd"] = lambda: 101.0
    assert one.alive()[0] is False


def test_a_loop_that_is_late_makes_the_process_ill() -> None:
    one = a_process()
    one.lag = LAG_LIMIT + 1
    assert one.alive()[0] is False


def test_what_is_waited_for_makes_the_process_not_ready() -> None:
    one = a_process()
    assert one.ready()[0] is True
    one.waiting["etcd"] = "the API server"
    assert one.ready() == (False, {"ok": False, "waitingFor": {"etcd": "the API server"}})


async def test_the_server_answers_probes_and_metrics() -> None:
    one = a_process()
    runner, port = await health.serve(one)
    one.waiting["etcd"] = "the API server"
    found = {}
    async with aiohttp.ClientSession() as session:
        for path in ("/healthz", "/readyz", "/metrics", "/other"):
            async with session.get(f"http://127.0.0.1:{port}{path}") as response:
                found[path] = response.status
                text = await response.text()
                if path == "/metrics":
                    assert "kok_loop_lag_seconds" in text
    await runner.cleanup()
    assert found == {"/healthz": 200, "/readyz": 503, "/metrics": 200, "/other": 404}


async def test_the_lag_of_the_loop_is_measured() -> None:
    one = a_process()
    task = asyncio.create_task(one.watch_loop())
    loop = asyncio.get_running_loop()
    real = loop.time
    await asyncio.sleep(0)
    loop.time = lambda: real() + 30  # type: ignore[method-assign]
    while one.lag == 0:  # noqa: ASYNC110 - nothing tells of a measurement
        await asyncio.sleep(0)
    task.cancel()
    assert one.lag > 20
