"""A meta cluster in memory, for all unit tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.unit.fakeapi import FakeApi

from kok.kube.client import Kube


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    """Its API server."""
    server = await FakeApi().start()
    yield server
    await server.close()


@pytest.fixture
async def kube(api: FakeApi) -> AsyncIterator[Kube]:
    """A client of it."""
    async with await Kube.from_kubeconfig(api.kubeconfig(), field_manager="test") as client:
        yield client
