"""What a command may do with a store, whatever kind of store it is."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Entry:
    """An object in a store: its key below the store's prefix, and its size in bytes."""

    key: str
    size: int


@dataclass(frozen=True, slots=True)
class Content:
    """What is to be stored, and how many bytes that will be in all, if it is known before."""

    pieces: AsyncIterator[bytes]
    size: int | None = None


Source = Callable[[], AbstractAsyncContextManager[Content]]
"""Opens what is to be stored, from its beginning each time."""


class Store(Protocol):
    """Objects by key. Keys are relative to the store's prefix. All methods raise `WorkerError`."""

    def location(self, key: str) -> str:
        """Where an object lies, for people."""

    async def write(self, key: str, source: Source) -> str:
        """Stores what `source` opens. The object is there when it returns, and not before.

        If the source raises, or the task is cancelled, nothing is there but what was there before.
        A store may open it twice, to try again. Returns a mark that tells the object from any other
        that is written to the key.
        """

    async def replaced(self, key: str, mark: str) -> bool:
        """Whether the object that `write` gave the mark for is gone, or another lies in its place."""

    def read(self, key: str) -> AsyncGenerator[bytes, None]:
        """An object in pieces. Raises `OBJECT_MISSING` if there is none."""

    async def put(self, key: str, data: bytes) -> None:
        """Stores a small object."""

    async def get(self, key: str, limit: int) -> bytes | None:
        """A small object, or None if there is none; `OBJECT_ALTERED` if longer than `limit`."""

    async def delete(self, key: str) -> bool:
        """Removes an object and what unfinished writes left of it; tells whether it was there."""

    async def take_back(self, key: str, mark: str) -> None:
        """Removes an object if it is certain to be the one that `write` gave the mark for."""

    def entries(self, under: str) -> AsyncIterator[Entry]:
        """All objects in a folder below the prefix; in all of them if empty."""

    async def close(self) -> None:
        """Closes connections."""
