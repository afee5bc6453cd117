"""What is remembered of one API server for as long as its client lives, within bounds."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterable, Iterator, MutableMapping
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V", bound=Iterable[object])

_ENTRY = 256
"""Bytes that an entry takes beside its texts."""


class BoundedCache(MutableMapping[K, V]):
    """A mapping to texts that forgets its oldest entries when all together take too much.

    Whoever answers in the place of an API server decides how many there are.
    """

    def __init__(self, most: int) -> None:
        """`most`: bytes of all entries together."""
        self._most = most
        self._taken = 0
        self._entries: dict[K, V] = {}

    def __getitem__(self, key: K) -> V:
        """What is remembered."""
        return self._entries[key]

    def __setitem__(self, key: K, value: V) -> None:
        """Remembers it as the newest."""
        self.pop(key, None)
        self._entries[key] = value
        self._taken += _size(key, value)
        while self._taken > self._most:
            del self[next(iter(self))]

    def __delitem__(self, key: K) -> None:
        """Forgets it."""
        self._taken -= _size(key, self._entries.pop(key))

    def __iter__(self) -> Iterator[K]:
        """The oldest first."""
        return iter(self._entries)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._entries)


def _size(key: object, value: Iterable[object]) -> int:
    return _ENTRY + sys.getsizeof(key) + sum(map(sys.getsizeof, value))
