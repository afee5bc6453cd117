"""A Widget in the meta cluster in memory."""

from __future__ import annotations

import pytest
from tests.unit.fakeapi import FakeApi
from tests.unit.runtime.widgets import Bench

from kok.kube.client import Kube


@pytest.fixture
def bench(api: FakeApi, kube: Kube) -> Bench:
    """A stored Widget."""
    one = Bench(api, kube)
    one.put()
    return one
