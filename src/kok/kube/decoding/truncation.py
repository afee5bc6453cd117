"""Objects of more values than an operator wants in its memory, made small before they are parsed.

Where a field takes anything, a megabyte of `{},{},{}` becomes forty as Python's objects. What such
an object holds too much of is taken out of the text of it, in whole fields, the largest first; all
the others stay, and a mark in the object names what is missing. Whoever reads the object has to say
which fields he does not use; otherwise a cut one is refused, see `refuse_truncated`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from kok.kube.decoding.brackets import Outline, blanked, entries
from kok.kube.errors import TooManyValues

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
    "spec.overrides.values",
    "spec.parameters",
    "spec.values",
)
"""For `unread`: fields of KOK's own kinds that take anything. Few who read an object need them."""

_OURS = re.compile(rb'"kok\.dev/[-a-z]{1,40}"')
LOOKED_AT: Final = 1_000
"""Entries of one list, and fields of these, that are told apart."""


async def truncated(text: bytes) -> bytes:
    """The JSON text of an object, of a watch's event or of a list, without what is too much.

    Each object keeps its shape: instead of a field that is missing it has an empty one.
    """
    # The first is an upper bound, and quick; a long string may be full of commas.
    if entries(text) <= MOST or entries(plain := blanked(text)) <= MOST:
        return text
    parts: list[bytes] = []
    begin = 0
    outline = Outline(text, plain)
    for one in _objects(outline):
        if outline.entries(one) > MOST:
            for cut in _Large(outline, one).too_much():
                parts += (text[begin : cut.start], cut.instead)
                begin = cut.end
        await asyncio.sleep(0)
    return b"".join((*parts, text[begin:]))


def truncated_paths(manifest: Mapping[str, Any], unread: Iterable[str] = ()) -> list[str]:
    """Paths of what was taken out of an object, but for `unread`; empty for nearly all objects."""
    found, spared = manifest.get(MARK), tuple(unread)
    paths = found.split(",") if isinstance(found, str) else []
    return [p for p in paths if not any(f"{p}.".startswith(f"{u}.") for u in spared)]


def refuse_truncated(manifest: Mapping[str, Any], unread: Iterable[str] = ()) -> None:
    """Raises `TooManyValues` for an object of which anything but `unread` (paths) was taken out."""
    gone = truncated_paths(manifest, unread)
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


class _Large:
    """An object of too many values, and where its fields are."""

    def __init__(self, outline: Outline, bracket: int) -> None:
        self._outline = outline
        self._bracket = bracket
        self._spec: _Span | None = None

    def too_much(self) -> list[_Span]:
        """The mark and what is to be taken out, in the order of the text."""
        left = self._outline.entries(self._bracket)
        taken: list[_Span] = []
        for one in sorted(self._fields(), key=lambda f: f.entries, reverse=True):
            if left <= MOST:
                break
            taken.append(one)
            left -= one.entries
        if left > MOST and self._spec is not None:
            # Too many of what no schema allows that many of.
            inside = self._spec
            taken = [t for t in taken if not inside.start <= t.start < inside.end] + [inside]
        paths = ",".join(dict.fromkeys(one.path for one in taken))
        at = self._bracket + 1
        mark = _Span(at, at, instead=f'"{MARK}":"{paths}",'.encode())
        return [mark, *sorted(taken, key=lambda t: t.start)]

    def _fields(self) -> Iterator[_Span]:
        """All that can be taken out; fields of entries of the spec's lists by themselves."""
        outline = self._outline
        for key, field in outline.within(self._bracket):
            if key not in {"metadata", "spec", "status"} or not outline.is_map(field):
                yield self._span(key, field)
                continue
            if key == "spec":
                self._spec = self._span(key, field)
            for inner, bracket in outline.within(field):
                path = f"{key}.{inner}"
                if key == "spec" and not outline.is_map(bracket):
                    yield from self._listed(path, bracket)
                else:
                    yield self._span(path, bracket)

    def _listed(self, path: str, bracket: int) -> list[_Span]:
        """The fields of the entries of a list; the list if they are too many to look at."""
        outline, found = self._outline, list[_Span]()
        for number, (_, one) in enumerate(outline.within(bracket)):
            if not outline.is_map(one):
                found.append(self._span(path, one))
            else:
                fields = islice(outline.within(one), LOOKED_AT)
                found += (self._span(f"{path}.{key}", field) for key, field in fields)
            if max(number, len(found)) >= LOOKED_AT:
                return [self._span(path, bracket)]
        return found

    def _span(self, path: str, bracket: int) -> _Span:
        outline, end = self._outline, self._outline.end(bracket)
        instead = b"{}" if outline.is_map(bracket) else b"[]"
        if path == "metadata.finalizers":
            # Without ours a deletion would not wait, and kopf would add it again and again.
            ours = sorted(set(_OURS.findall(outline.text[bracket:end])))
            instead = b"[" + b",".join(ours[:8]) + b"]"
        return _Span(bracket, end, path, outline.entries(bracket), instead)


def _objects(outline: Outline) -> Iterator[int]:
    """Each object of a list, or that of an event; else the text is one itself."""
    for key, bracket in outline.within(outline.root):
        if key == "items":
            yield from (one for _, one in outline.within(bracket))
            return
        if key == "object":
            yield bracket
            return
        if key != "metadata":
            break
    if outline.root >= 0:
        yield outline.root
