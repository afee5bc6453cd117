"""Changes that go by what was read: made anew where somebody else wrote in between."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from kok.kube.errors import Conflict

T = TypeVar("T")
_TRIES: Final = 5


async def until_written(change: Callable[[], Awaitable[T]]) -> T:
    """What comes of a change that reads, and writes only what is still as it was read.

    It is made again after a `Conflict`, five times in all; raises the last one.
    """
    for _ in range(_TRIES - 1):
        with contextlib.suppress(Conflict):
            return await change()
    return await change()
