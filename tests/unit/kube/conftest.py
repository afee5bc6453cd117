"""A client of the API server in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.unit.fakeapi import FakeApi
from tests.unit.kube.limited import SMALL

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
async def tenant(api: FakeApi) -> AsyncIterator[Kube]:
    """A client that takes little."""
    access = api.kubeconfig()
    async with await Kube.from_kubeconfig(access, field_manager="test", limits=SMALL) as kube:
        yield kube
