"""Which archive of an `https://` repository a chart's version is: by its index, read aside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import yaml

from kok.versions.ranges import parse_range

INDEX_MOST: Final = 24 * 2**20
"""Bytes of an index: the largest that are known have some 20 MB."""
_TOLD: Final = 5
_DEEPEST: Final = 16
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Odd(Exception):
    """It is not what an index looks like."""


def choose(job: tuple[bytes, str, str]) -> dict[str, Any]:
    """The latest version of a range: `version`, `url` (as it is written) and `digest`.

    Or `problem` with a sentence's end. Takes the index, the chart and the range. Of the index, of
    which other charts make up the most, no more is built than the one chart's entries.
    """
    index, chart, wanted = job
    try:
        entries = _entries(yaml.parse(index, Loader=_LOADER), chart)
    except (yaml.YAMLError, _Odd, UnicodeDecodeError):
        return {"problem": "its index.yaml is not that of a chart repository"}
    if entries is None:
        return {"problem": f"it has no chart {chart}", "missing": True}
    known = {
        str(one["version"]): one
        for one in entries
        if isinstance(one, dict) and isinstance(one.get("version"), str)
    }
    latest = parse_range(wanted).latest(known)
    if latest is None:
        listed = ", ".join(list(known)[:_TOLD])
        return {
            "problem": f"its chart {chart} has no version {wanted}; it has {listed or 'none'}",
            "missing": True,
        }
    urls, digest = known[latest].get("urls"), known[latest].get("digest")
    if not isinstance(urls, list) or not urls or not isinstance(urls[0], str):
        return {"problem": f"its index.yaml tells no address of chart {chart} {latest}"}
    return {"version": latest, "url": urls[0], "digest": _digest(digest)}


def index_url(repository: str) -> str:
    """Where a repository's index lies."""
    return f"{repository.rstrip('/')}/index.yaml"


def _digest(written: Any) -> str:
    text = written if isinstance(written, str) else ""
    text = text.removeprefix("sha256:").lower()
    fine = len(text) == 64 and all(one in "0123456789abcdef" for one in text)
    return f"sha256:{text}" if fine else ""


def _entries(events: Iterator[Any], chart: str) -> list[Any] | None:
    """What stands at `entries` and the chart's name; None if nothing does."""
    for event in events:
        if isinstance(event, yaml.MappingStartEvent):
            break
        if isinstance(event, yaml.ScalarEvent | yaml.SequenceStartEvent):
            raise _Odd
    for key, first in _pairs(events):
        if key != "entries":
            _skip(events, first)
            continue
        if not isinstance(first, yaml.MappingStartEvent):
            raise _Odd
        for name, inner in _pairs(events):
            if name == chart:
                built = _build(events, inner, 0)
                return built if isinstance(built, list) else []
            _skip(events, inner)
        return None
    raise _Odd


def _pairs(events: Iterator[Any]) -> Iterator[tuple[str, Any]]:
    """Keys of a map that has begun, each with the first event of its value, to be used up."""
    while not isinstance(event := _next(events), yaml.MappingEndEvent):
        if not isinstance(event, yaml.ScalarEvent):
            raise _Odd
        yield str(event.value), _next(events)


def _next(events: Iterator[Any]) -> Any:
    event = next(events, None)
    if event is None:
        raise _Odd
    return event


def _skip(events: Iterator[Any], first: Any) -> None:
    depth = isinstance(first, yaml.CollectionStartEvent)
    left = int(depth)
    while left:
        event = _next(events)
        left += isinstance(event, yaml.CollectionStartEvent)
        left -= isinstance(event, yaml.CollectionEndEvent)


def _build(events: Iterator[Any], first: Any, depth: int) -> Any:
    """The value, all of whose single ones are texts; what refers to another place is nothing."""
    if depth > _DEEPEST:
        raise _Odd
    if isinstance(first, yaml.SequenceStartEvent):
        found = []
        while not isinstance(event := _next(events), yaml.SequenceEndEvent):
            found.append(_build(events, event, depth + 1))
        return found
    if isinstance(first, yaml.MappingStartEvent):
        return {key: _build(events, inner, depth + 1) for key, inner in _pairs(events)}
    return str(first.value) if isinstance(first, yaml.ScalarEvent) else None
