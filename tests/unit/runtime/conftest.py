"""A client of the API server in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.unit.fakeapi import FakeApi
from tests.unit.runtime.bench import Bench

from kok.kube.client import Kube


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    """The API server."""
    server = await FakeApi().start()
    yield server
    await server.close()


@pytest.fixture
async def kube(api: FakeApi) -> AsyncIterator[Kube]:
    """Its client."""
    async with await Kube.from_kubeconfig(api.kubeconfig(), field_manager="test") as client:
        yield client


@pytest.fixture
def bench(api: FakeApi, kube: Kube) -> Bench:
    """A stored Widget."""
    one = Bench(api, kube)
    one.put()
    return one
