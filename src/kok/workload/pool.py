"""What a process keeps open of business clusters: one connection each, as long as it holds."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from kok.runtime.controller.reconciler import Key
from kok.workload.deferred_close import DeferredClose


class Connected(Protocol):
    """One business cluster as a process knows it; all of it can be found out again."""

    @property
    def digest(self) -> str:
        """Changes with the server, the identity, or anything else that it was made of."""
        ...

    async def unfollow(self) -> None:
        """Ends watches; requests can still be made. Never raises."""
        ...

    async def close(self) -> None:
        """Ends watches and connections. Never raises."""
        ...


C = TypeVar("C", bound=Connected)


class Pool(Generic[C]):
    """Connections by namespace and name of their Cluster.

    One that is replaced or dropped ends its watches at once and is closed a moment later: passes may
    still be using it.
    """

    def __init__(self, limit: int | None = None) -> None:
        """`limit`: how many at most; then the one that was asked for longest ago goes."""
        self._limit = limit
        self._open: OrderedDict[Key, C] = OrderedDict()
        self._closing = DeferredClose()

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    def __iter__(self) -> Iterator[tuple[Key, C]]:
        """Those that are open, as they are now: they may be dropped meanwhile."""
        return iter(list(self._open.items()))

    def get(self, key: Key) -> C | None:
        """An open one."""
        found = self._open.get(key)
        if found is not None:
            self._open.move_to_end(key)
        return found

    def connect(self, key: Key, digest: str, make: Callable[[], C]) -> tuple[C, C | None]:
        """The one of that digest, made if there is none, and the one whose place it took.

        Raises what `make` raises; then the one before stays.
        """
        before = self.get(key)
        if before is not None and before.digest == digest:
            return before, None
        made = make()
        self.drop(key)
        while self._limit is not None and len(self._open) >= self._limit:
            self.drop(next(iter(self._open)))
        self._open[key] = made
        return made, before

    def drop(self, key: Key) -> None:
        """The Cluster is gone, or nobody uses the connection any more."""
        found = self._open.pop(key, None)
        if found is not None:
            self._closing.add(key, found.unfollow, found.close)

    async def close(self) -> None:
        """Closes all at once."""
        left = list(self._open.values())
        self._open.clear()
        await asyncio.gather(self._closing.close(), *(one.close() for one in left))
