"""JSON that is nested deeper than parsers bear, made flat enough for them.

Where a field takes anything (values of an addon, parameters), a user may nest a thousand levels in
a few kilobytes. The API server stores that; Python's parser raises an error, for the whole list or
stream that such an object stands in. What lies too deep is taken out of the text before: then only
the object itself is not what its author wrote, and whoever uses the field refuses it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic_core import from_json

from kok.kube.decoding.brackets import blanked, levels

DEEPEST: Final = 100
"""Levels that are left of what no parser bears, which are 200 and more."""
ALLOWED: Final = 64
"""Levels that a field which takes anything may have."""


def parse(text: bytes) -> Any:
    """The object of a JSON text, cut if need be. Raises `ValueError`."""
    return json.loads(shallow(text))


def shallow(text: bytes) -> bytes:
    """The same JSON; if it is nested more than 200 levels, what lies deeper than 100 is null."""
    try:
        from_json(text)
    except ValueError:
        # Too deep for this parser, which is as quick as none; or something else is wrong with it.
        return _cut(text)
    return text


def _cut(text: bytes) -> bytes:
    kept: list[bytes] = []
    start, cutting = 0, False
    for at, depths in levels(blanked(text)):
        index = 0
        while True:
            try:
                index = depths.index(DEEPEST if cutting else DEEPEST + 1, index)
            except ValueError:
                break
            if cutting:
                start = at + index
            else:
                kept += (text[start : at + index - 1], b"null")
            cutting = not cutting
    return b"" if cutting else b"".join((*kept, text[start:]))


def too_deep(value: Any) -> bool:
    """Whether a value has more than `ALLOWED` levels."""
    level: list[Any] = [value]
    for _ in range(ALLOWED + 1):
        level = [inner for one in level for inner in _inside(one)]
        if not level:
            return False
    return True


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list | tuple) else ()
