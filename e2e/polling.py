"""Waiting for what tells nobody that it changed: it is looked at again and again.

What can be watched is watched instead, see `e2e.framework.follow`.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")

EVERY = 0.05
"""Seconds between two looks, where nobody has to be spared."""
Errors = tuple[type[Exception], ...]


@overload
async def eventually(
    look: Callable[[], Awaitable[T]], within: float, *, every: float = ..., unless: Errors = ...
) -> T: ...
@overload
async def eventually(
    look: Callable[[], T], within: float, *, every: float = ..., unless: Errors = ...
) -> T: ...
async def eventually(
    look: Callable[[], Any], within: float, *, every: float = EVERY, unless: Errors = ()
) -> Any:
    """The first that ``look`` gives, or comes to, and that is true.

    ``within`` and ``every`` are in seconds; errors of the kinds ``unless`` mean that it is not so
    far. Raises TimeoutError with what was seen last.
    """
    last: object = "nothing"
    try:
        async with asyncio.timeout(within):
            while True:
                try:
                    found = look()
                    last = await found if inspect.isawaitable(found) else found
                    if last:
                        return last
                except unless as error:
                    last = f"{type(error).__name__}: {error}"
                await asyncio.sleep(every)
    except TimeoutError:
        raise TimeoutError(f"not within {within:.0f} s; seen last: {last}") from None


def eventually_now(
    look: Callable[[], T], within: float, *, every: float = EVERY, unless: Errors = ()
) -> T:
    """The same, for whoever has no event loop; it blocks."""
    end, last = time.monotonic() + within, "nothing"
    while time.monotonic() < end:
        try:
            if found := look():
                return found
            last = str(found)
        except unless as error:
            last = f"{type(error).__name__}: {error}"
        time.sleep(every)
    raise TimeoutError(f"not within {within:.0f} s; seen last: {last}")
