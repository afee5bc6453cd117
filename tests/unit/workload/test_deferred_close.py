"""Who has ever new clients made has few of them open."""

from __future__ import annotations

import asyncio

import pytest

from kok.workload import deferred_close
from kok.workload.deferred_close import MOST, DeferredClose


class Clients:
    """Clients by number: which have ended what they did, and which are closed."""

    def __init__(self) -> None:
        self.ended: list[int] = []
        self.closed: list[int] = []
        self.changed = asyncio.Event()

    def add(self, to: DeferredClose, key: str, number: int) -> None:
        async def end() -> None:
            self.ended.append(number)

        async def close() -> None:
            self.closed.append(number)
            self.changed.set()

        to.add(key, end, close)


async def test_of_one_key_few_are_open_and_none_works() -> None:
    found, clients = DeferredClose(), Clients()
    for number in range(40):
        clients.add(found, "a", number)
    clients.add(found, "b", 100)
    async with asyncio.timeout(60):
        while len(found) > MOST + 1:
            clients.changed.clear()
            await clients.changed.wait()
    assert sorted(clients.ended) == [*range(40), 100]
    assert sorted(clients.closed) == list(range(40 - MOST))
    await found.close()
    assert sorted(clients.closed) == [*range(40), 100]
    assert len(found) == 0


async def test_one_that_was_replaced_is_closed_a_while_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deferred_close, "SECONDS", 0.01)
    found, clients = DeferredClose(), Clients()
    clients.add(found, "a", 1)
    async with asyncio.timeout(60):
        await clients.changed.wait()
    assert clients.closed == [1]
    assert len(found) == 0
