"""Several questions side by side, none of which goes on when another has failed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def asking() -> AsyncIterator[asyncio.TaskGroup]:
    """A group whose tasks are done at the end of the block; raises the first error by itself.

    `asyncio.gather` lets the others go on: what they read is held though nobody wants it any more,
    and counts for nobody.
    """
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as several:
        error: BaseException = several
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None
