"""Operators at work in the test's own process, as long as a block lasts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.integration.conftest import LEASE

from kok.kube.http.access import Access
from kok.runtime.controller.reconciler import OperatorSpec
from kok.runtime.process.main import Process
from kok.runtime.settings import Settings

LIMIT = 240.0
"""Seconds after which an operator that was told to end counts as one that hangs."""


def chosen_in(*namespaces: str, **changes: Any) -> dict[str, Any]:
    """What is set of an operator that works in these namespaces, and has its Lease in the first."""
    return {
        "namespaces": namespaces,
        "lease_namespace": namespaces[0],
        "http_host": "127.0.0.1",
        "http_port": 0,
        "backoff_min": 0.2,
        **LEASE,
        **changes,
    }


def settings_in(*namespaces: str, **changes: Any) -> Settings:
    """The same as the operator takes it."""
    return Settings(**chosen_in(*namespaces, **changes))


@asynccontextmanager
async def at_work(
    operators: Sequence[OperatorSpec], settings: Settings, access: Access
) -> AsyncIterator[Process]:
    """The process of these operators; it has ended when the block has."""
    process = Process(operators, settings, access)
    task = asyncio.create_task(process.main())
    try:
        yield process
    finally:
        process.stop.set()
        async with asyncio.timeout(LIMIT):
            await task
