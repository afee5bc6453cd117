"""Several requests side by side: questions, which end with the first that fails, and changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

T = TypeVar("T")


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


async def all_of(changes: Iterable[Awaitable[T]]) -> list[T]:
    """Results of all, in order; all are carried through before the first error is raised.

    For changes: one that is refused again and again does not keep the others from being made. What
    only reads is asked in a group of `asking`.
    """
    results = await asyncio.gather(*changes, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [r for r in results if not isinstance(r, BaseException)]
