"""An etcd that is asked as a user keeps nobody from the event loop, and its owner pays."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any, cast

import pytest

from kok.etcdclient import authenticated
from kok.etcdclient.grpc import Call
from kok.kube.budget.cpu_shares import NAMESPACE, CpuShares


class Slow:
    """A call that takes until it is stopped, or a bit of a processor."""

    def __init__(self, busy: float | None = None) -> None:
        self._busy = busy
        self._end = threading.Event()
        self.begun = threading.Event()
        self.stopped = False

    def whole(self, deadline: float, effort: float) -> bytes:
        self.begun.set()
        if self._busy is None:
            self._end.wait(deadline)
            return b""
        until = time.thread_time() + min(self._busy, effort)
        while time.thread_time() < until:
            pass
        return b"answer"

    def stop(self) -> None:
        self.stopped = True
        self._end.set()


async def ask(call: Slow, deadline: float = 30.0) -> bytes:
    return await authenticated._answer(cast("Call", call), deadline)


@pytest.fixture
async def owed(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    found: dict[str, float] = {}

    def served(_: Any, namespace: str, seconds: float) -> None:
        found[namespace] = found.get(namespace, 0.0) + seconds

    monkeypatch.setattr(CpuShares, "served", served)
    return found


async def test_what_a_call_takes_is_paid_for(owed: dict[str, float]) -> None:
    NAMESPACE.set("evil")
    try:
        assert await ask(Slow(busy=0.05)) == b"answer"
    finally:
        NAMESPACE.set("")
    assert owed["evil"] == pytest.approx(0.05, abs=0.03)


async def test_a_few_calls_of_one_namespace_are_made_at_a_time_and_others_go_on() -> None:
    NAMESPACE.set("evil")
    calls = [Slow() for _ in range(3 * authenticated.EACH)]
    asking = [asyncio.create_task(ask(call)) for call in calls]
    NAMESPACE.set("good")
    try:
        async with asyncio.timeout(10):
            assert await ask(Slow(busy=0.0)) == b"answer"
            for call in calls[: authenticated.EACH]:
                await asyncio.to_thread(call.begun.wait)
        assert sum(call.begun.is_set() for call in calls) == authenticated.EACH
    finally:
        NAMESPACE.set("")
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    # Who is called off ends his connection: nothing else ends a thread.
    assert all(call.stopped for call in calls if call.begun.is_set())
