"""Large events of a watch, held back while their namespace rests.

Whoever changes a label of a large object again and again makes every operator that watches it read
all of it again. Of such an object only the newest event is of interest.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from typing import Any, Final

from kok.kube.budget.cpu_shares import FREE, CpuShares
from kok.kube.budget.cpu_time import cpu_seconds

MOST: Final = 32 * 2**20
"""Bytes of events that all streams of a process hold back; beyond it the oldest is told early."""
_HEAD: Final = re.compile(
    rb'\{"type":"[A-Z]+","object":\{"(?:kind|apiVersion)":"[^"\\]*","(?:kind|apiVersion)":"[^"\\]*",'
    rb'"metadata":(?=\{)'
)
_QUICK: Final = re.compile(
    r'\{"name":"([^"\\]*)",(?:"generateName":"[^"\\]*",)?"namespace":"([^"\\]*)",'
    r'(?:"selfLink":"[^"\\]*",)?"uid":"([^"\\]*)"'
)
_decoder = json.JSONDecoder()

Place = tuple[str, str, str]
"""Namespace, name and UID of an object."""


def place_of(line: bytes) -> Place | None:
    """Whose event it is; None for what cannot be told.

    What stands before name and namespace in metadata that are large is read as well: an event of
    which nobody knows whose it is could be told when its object is long gone.
    """
    head = _HEAD.match(line)
    if head is None:
        return None
    text = line[head.end() : head.end() + FREE].decode(errors="replace")
    quick = _QUICK.match(text)
    if quick is not None:
        return quick[2], quick[1], quick[3]
    meta = _decoded(text) or _decoded(line[head.end() :].decode(errors="replace"))
    namespace, name, uid = (meta.get(key) for key in ("namespace", "name", "uid"))
    if isinstance(namespace, str) and isinstance(name, str) and isinstance(uid, str):
        return namespace, name, uid
    return None


def _decoded(text: str) -> dict[str, Any]:
    """The object that a text begins with; empty if it is none, or goes on."""
    try:
        found = _decoder.raw_decode(text)[0]
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


class HeldBack:
    """Events that wait, at most one of each object; what cannot be told apart is told at once."""

    def __init__(self, shares: CpuShares) -> None:
        self._shares = shares
        self._lines: dict[Place, bytes] = {}

    def account(self, line: bytes) -> str | None:
        """Which namespace has to pay for an event; None for nobody."""
        if len(line) <= FREE:
            return None
        place = place_of(line)
        return None if place is None else place[0]

    def takes(self, line: bytes) -> bool:
        """Whether an event waits; an earlier one of the same object is dropped."""
        large = len(line) > FREE
        if not large and not self._lines:
            return False
        before = cpu_seconds()
        place = place_of(line)
        if place is None:
            return False
        earlier = self._lines.pop(place, b"")
        self._shares.held -= len(earlier)
        if not large or self._shares.left(place[0]) <= 0:
            return False
        packed = zlib.compress(line, 1)
        self._lines[place] = packed
        self._shares.held += len(packed)
        # Nor is it for nothing to put it away, however often that is done.
        self._shares.owe(place[0], cpu_seconds() - before)
        return True

    def wait(self) -> float | None:
        """Seconds until an event may be told; None if none waits."""
        if self._lines and self._shares.held > MOST:
            return 0.0
        namespaces = {namespace for namespace, _, _ in self._lines}
        return min((self._shares.left(one) for one in namespaces), default=None)

    def due(self) -> Iterator[bytes]:
        """Events whose time has come, the oldest first; what is told has to be paid meanwhile."""
        for place in list(self._lines):
            if self._shares.held > MOST or self._shares.left(place[0]) <= 0:
                yield self._pop(place)

    def drop(self) -> None:
        """Forgets what waits: something newer is known of all objects."""
        self._shares.held -= sum(map(len, self._lines.values()))
        self._lines.clear()

    def _pop(self, place: Place) -> bytes:
        packed = self._lines.pop(place)
        self._shares.held -= len(packed)
        return zlib.decompress(packed)
