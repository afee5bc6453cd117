"""A client of the meta cluster in memory that takes little."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.unit.fakeapi import FakeApi
from tests.unit.kube.limited_client import SMALL

from kok.kube.client import Kube


@pytest.fixture
async def tenant(api: FakeApi) -> AsyncIterator[Kube]:
    """A client that takes little."""
    access = api.kubeconfig()
    async with await Kube.from_kubeconfig(access, field_manager="test", limits=SMALL) as kube:
        yield kube
