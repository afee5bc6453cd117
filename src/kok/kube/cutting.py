"""Objects of more values than an operator wants in its memory, made small before they are parsed.

Where a field takes anything, a megabyte of `{},{},{}` becomes forty as Python's objects. What such
an object holds too much of is taken out of the text of it, in whole fields, the largest first; all
the others stay, and a mark in the object names what is missing. Whoever reads the object has to say
which fields he does not use; otherwise a cut one is refused, see `refuse`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kok.kube.errors import TooManyValues
from kok.kube.nesting import STRINGS, TOKEN

MOST: Final = 30_000
"""Entries of maps and lists that one object may have in all, with what the API server records."""
MARK: Final = "kok.dev/cut"
"""Field of a cut object: paths of what is missing. No API server stores such a field."""
ANYTHING: Final = ("metadata", "spec", "status")
"""For `unread`: a cut object of KOK's own kinds is welcome, and its reader asks what it lacks."""
FREE_FORM: Final = (
    "metadata.managedFields",
    "spec.addons.values",
    "spec.components.params",
    "spec.kubelet",
    "spec.parameters",
    "spec.values",
)
"""For `unread`: fields of KOK's own kinds that take anything. Few who read an object need them."""

_OURS = re.compile(rb'"kok\.dev/[-a-z]{1,40}"')
_AT_ONCE = 5_000
"""Brackets that are looked at before others get their turn."""


def heavy(text: bytes) -> bool:
    """Whether a JSON text has more entries than one object may have."""
    # The first is an upper bound, and quick; a long string may be full of commas.
    return _entries(text) > MOST and _entries(STRINGS.sub(b"", text)) > MOST


def _entries(text: bytes) -> int:
    return text.count(b",") + text.count(b"{") + text.count(b"[")


async def lean(text: bytes) -> bytes:
    """The JSON text of an object, of a watch's event or of a list, without what is too much.

    Each object keeps its shape: instead of a field that is missing it has an empty one.
    """
    if not heavy(text):
        return text
    parts: list[bytes] = []
    begin = 0
    for one in await _Reading(text).objects():
        for cut in one.too_much(text):
            parts += (text[begin : cut.start], cut.instead)
            begin = cut.end
    return b"".join((*parts, text[begin:]))


def lacking(manifest: Mapping[str, Any], unread: Iterable[str] = ()) -> list[str]:
    """Paths of what was taken out of an object, but for `unread`; empty for nearly all objects."""
    found, spared = manifest.get(MARK), tuple(unread)
    paths = found.split(",") if isinstance(found, str) else []
    return [p for p in paths if not any(f"{p}.".startswith(f"{u}.") for u in spared)]


def refuse(manifest: Mapping[str, Any], unread: Iterable[str] = ()) -> None:
    """Raises `TooManyValues` for an object of which anything but `unread` (paths) was taken out."""
    gone = lacking(manifest, unread)
    if gone:
        meta = manifest.get("metadata") or {}
        where = "/".join(str(meta[key]) for key in ("namespace", "name") if meta.get(key))
        raise TooManyValues(f"{manifest.get('kind') or 'object'} {where}: {sentence(gone)}")


def sentence(paths: Iterable[str]) -> str:
    """What is wrong with an object that these were taken out of, and what to do."""
    return (
        f"{' and '.join(paths)} holds too much: an object may have {MOST} values in all; "
        "make it smaller"
    )


@dataclass(frozen=True, slots=True)
class _Span:
    """Part of the text and what takes its place."""

    start: int
    end: int
    path: str = ""
    entries: int = 0
    instead: bytes = b""


@dataclass(slots=True)
class _Object:
    """Where one object and its fields are."""

    start: int
    end: int = 0
    fields: list[_Span] = field(default_factory=list)
    spec: _Span | None = None

    def too_much(self, text: bytes) -> list[_Span]:
        """The mark and what is to be taken out, in the order of the text."""
        left = _entries(STRINGS.sub(b"", text[self.start : self.end]))
        if left <= MOST:
            return []
        taken: list[_Span] = []
        for one in sorted(self.fields, key=lambda f: f.entries, reverse=True):
            if left <= MOST:
                break
            taken.append(one)
            left -= one.entries
        if left > MOST and self.spec is not None:
            # Too many of what no schema allows that many of.
            inside = self.spec
            taken = [t for t in taken if not inside.start <= t.start < inside.end] + [inside]
        paths = ",".join(one.path for one in taken)
        mark = _Span(self.start, self.start, instead=f'"{MARK}":"{paths}",'.encode())
        return [mark, *sorted(taken, key=lambda t: t.start)]


class _Reading:
    """Finds objects and fields in a text, from bracket to bracket."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._found: list[_Object] = []
        self._open: list[tuple[str, int]] = []
        """Keys and beginnings of what is open."""
        self._around = ""
        """The field of the text that holds the objects; empty if the text is one itself."""
        self._steps = 0

    async def objects(self) -> list[_Object]:
        """All objects; of a list or an event those within it."""
        text, at, key = self._text, 0, ""
        while (token := TOKEN.search(text, at)) is not None:
            at, what = token.end(), token[0]
            if what in {b"{", b"["}:
                inside = not self._open or text[self._open[-1][1] : self._open[-1][1] + 1] == b"{"
                self._open.append((key if inside else "", token.start()))
                at = await self._opened(at, what)
            elif what in {b"}", b"]"}:
                self._closed(at)
            else:
                key = what[1:-1].decode("utf-8", "replace")
            await self._pause()
        return self._found

    async def _opened(self, at: int, what: bytes) -> int:
        """Where to go on: behind a field, or inside of whatever holds fields."""
        if len(self._open) == 2 and self._open[1][0] in {"items", "object"}:
            self._around = self._open[1][0]
            self._found.clear()
        path = self._path()
        if path is None:
            return at
        if not path:
            self._found.append(_Object(at))
            return at
        if _holds_fields(path, what):
            return at
        end = await self._end(at)
        _, start = self._open.pop()
        inner = self._text[start:end]
        instead = b"{}" if what == b"{" else b"[]"
        if path == ["metadata", "finalizers"]:
            # Without ours a deletion would not wait, and kopf would add it again and again.
            instead = b"[" + b",".join(sorted(set(_OURS.findall(inner)))[:8]) + b"]"
        named = ".".join(part for part in path if part)
        count = _entries(STRINGS.sub(b"", inner))
        self._found[-1].fields.append(_Span(start, end, named, count, instead))
        return end

    def _closed(self, end: int) -> None:
        path = self._path()
        _, start = self._open.pop()
        if path == []:
            self._found[-1].end = end
        elif path == ["spec"]:
            self._found[-1].spec = _Span(start, end, "spec", instead=b"{}")

    def _path(self) -> list[str] | None:
        """Where we are in the object; None around it, in a list or an event."""
        keys = [key for key, _ in self._open[1:]]
        if not self._around:
            return keys
        if keys[:1] != [self._around]:
            return None
        if self._around == "object":
            return keys[1:]
        return keys[2:] if len(keys) > 1 else None

    async def _end(self, at: int) -> int:
        """Where it ends what was opened right before `at`."""
        depth = 1
        for token in TOKEN.finditer(self._text, at):
            if token[0] in {b"{", b"["}:
                depth += 1
            elif token[0] in {b"}", b"]"}:
                depth -= 1
                if not depth:
                    return token.end()
            await self._pause()
        return len(self._text)

    async def _pause(self) -> None:
        self._steps += 1
        if self._steps % _AT_ONCE == 0:
            await asyncio.sleep(0)


def _holds_fields(path: list[str], what: bytes) -> bool:
    """Whether fields are looked for in it; entries of lists in a spec hold some of their own."""
    if len(path) == 1:
        return what == b"{" and path[0] in {"metadata", "spec", "status"}
    if path[0] != "spec":
        return False
    return (len(path) == 2 and what == b"[") or (len(path) == 3 and what == b"{")
