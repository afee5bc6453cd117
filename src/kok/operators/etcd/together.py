"""Running jobs side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any


async def all_of(*jobs: Awaitable[Any]) -> None:
    """Waits for all of them, so that none goes on unseen when another fails.

    Raises the first error afterwards.
    """
    for result in await asyncio.gather(*jobs, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
