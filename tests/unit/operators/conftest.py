"""What tests of all operators share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.unit.fakeapi import FakeApi

from kok.kube.access import from_kubeconfig
from kok.kube.client import Kube


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    """A meta cluster in memory."""
    server = await FakeApi().start()
    yield server
    await server.close()


@pytest.fixture
async def kube(api: FakeApi) -> AsyncIterator[Kube]:
    """A client of it."""
    async with Kube(from_kubeconfig(api.kubeconfig()), field_manager="kok-test") as made:
        yield made
