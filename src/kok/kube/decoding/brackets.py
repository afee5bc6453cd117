"""Where the brackets of a JSON text match, without parsing it.

A megabyte of brackets would be forty of Python's objects. Everything here goes over the text in a
few calls that are made of C, so that it costs milliseconds, whatever somebody made up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

SLICE: Final = 2**16
"""Bytes that are looked at by one call."""
_SMALLEST = 64
_TURNS: Final = {**dict.fromkeys(b"{[", 1), **dict.fromkeys(b"}]", 255)}
_TURN: Final = bytes(_TURNS.get(byte, 0) for byte in range(256))
"""One level up or, as a signed byte, down."""
_OTHERS: Final = bytes(byte for byte in range(256) if byte not in _TURNS)
_BRACKET: Final = re.compile(rb"[][{}]")
_UNMEANT: Final = bytes.maketrans(b"{}[],:", b"......")
"""What means nothing in a string."""


def blanked(text: bytes) -> bytes:
    """The text at the same length whose strings hold none of JSON's signs, nor escaped quotes.

    Whatever is no JSON becomes something else that is none: a string that never ends as well.
    """
    text = text.replace(b"\\\\", b"__").replace(b'\\"', b"__")
    parts: list[bytes] = []
    within = False
    for at in range(0, len(text), SLICE):
        pieces = text[at : at + SLICE].split(b'"')
        first = 0 if within else 1
        if strings := pieces[first::2]:
            pieces[first::2] = b'"'.join(strings).translate(_UNMEANT).split(b'"')
        within ^= len(pieces) % 2 == 0
        parts.append(b'"'.join(pieces))
    return b"".join(parts)


def containers(plain: bytes, start: int = 0, end: int | None = None) -> int:
    """How many maps and lists there are in a blanked text, or in part of it."""
    return plain.count(b"{", start, end) + plain.count(b"[", start, end)


def entries(plain: bytes, start: int = 0, end: int | None = None) -> int:
    """How many entries these have at most."""
    return plain.count(b",", start, end) + containers(plain, start, end)


def levels(plain: bytes) -> Iterator[tuple[int, list[int]]]:
    """How deep one is in a blanked text: position of a slice, and depth there and after each byte."""
    depth = 0
    for at in range(0, len(plain), SLICE):
        turns = memoryview(plain[at : at + SLICE].translate(_TURN)).cast("b")
        depths = list(accumulate(turns, initial=depth))
        depth = depths[-1]
        yield at, depths


class Outline:
    """Where things are in a JSON text; containers are told by the positions of their brackets."""

    def __init__(self, text: bytes, plain: bytes) -> None:
        """`plain`: the text, blanked."""
        self.text = text
        self.plain = plain
        self.root = plain.find(b"{")
        """The map that the text is; -1 if it is none."""
        self._ends = {self.root: len(plain)}

    def is_map(self, bracket: int) -> bool:
        """Whether it is one, and no list."""
        return self.plain.startswith(b"{", bracket)

    def entries(self, bracket: int) -> int:
        """How many entries it and all in it have, not counting itself."""
        return entries(self.plain, bracket + 1, self.end(bracket))

    def within(self, bracket: int) -> Iterator[tuple[str, int]]:
        """The containers that lie directly in one, with their keys; in a list these mean nothing."""
        at = bracket + 1
        while (found := _BRACKET.search(self.plain, at)) is not None and found[0] in {b"{", b"["}:
            yield self._key(at, found.start()), found.start()
            at = self.end(found.start())

    def end(self, bracket: int) -> int:
        """Position behind its other bracket."""
        if bracket not in self._ends:
            self._ends[bracket] = _end(self.plain, bracket + 1)
        return self._ends[bracket]

    def _key(self, before: int, bracket: int) -> str:
        last = self.plain.rfind(b'"', before, bracket)
        first = self.plain.rfind(b'"', before, max(last, before))
        return self.text[first + 1 : max(last, first + 1)].decode("utf-8", "replace")


def _end(plain: bytes, at: int) -> int:
    """Position behind the bracket that closes what was opened right before `at`."""
    depth, size = 1, _SMALLEST
    while piece := plain[at : at + size]:
        turns = memoryview(piece.translate(_TURN, _OTHERS)).cast("b")
        if min(accumulate(turns, initial=depth)) <= 0:
            every = memoryview(piece.translate(_TURN)).cast("b")
            return at + list(accumulate(every, initial=depth)).index(0)
        depth += sum(turns)
        at += size
        size = min(size * 4, SLICE)
    return len(plain)
