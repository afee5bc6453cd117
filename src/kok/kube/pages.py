"""Lists page by page, within what is taken from an API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any

from kok.api.meta import Manifest
from kok.kube.errors import TooLarge, Unreachable
from kok.kube.transport import Transport


@dataclass(frozen=True, slots=True)
class Page:
    """Some objects of a list."""

    items: list[Manifest]
    version: str
    """Resource version of the list, from which a watch goes on."""
    weight: int
    """About how many bytes of memory the objects take."""


async def pages(
    transport: Transport, path: str, query: Mapping[str, str]
) -> AsyncGenerator[Page, None]:
    """All pages; a page that is too large is asked for again with fewer objects.

    Raises `TooLarge` beyond the limits: also for a list that goes on for ever, or too slowly.
    """
    limits, asked = transport.limits, {**query, "limit": str(transport.limits.page)}
    size, count, loop = limits.page, 0, asyncio.get_running_loop()
    ends = loop.time() + limits.seconds
    while True:
        try:
            answer, weight = await transport.measured("GET", path, query=asked)
        except TooLarge:
            if size == 1:
                raise
            size = max(1, size // 4)
            asked["limit"] = str(size)
            continue
        page = _page(transport, answer, weight)
        count += len(page.items)
        if count > limits.items:
            raise transport.too_large(f"a list of more than {limits.items} objects")
        if loop.time() > ends:
            raise transport.too_large(f"a list that takes longer than {limits.seconds:.0f} s")
        more, empty = (answer.get("metadata") or {}).get("continue"), not page.items
        yield page
        # What is asked for next may be long in coming; this page is nobody's any more.
        del page, answer
        if not more:
            return
        if empty:
            raise Unreachable(f"{transport.access.server} answered with an empty page of a list")
        asked["continue"] = str(more)


def _page(transport: Transport, answer: Any, weight: int) -> Page:
    meta = answer.get("metadata") if isinstance(answer, dict) else None
    items = (answer.get("items") or []) if isinstance(meta, dict) else None
    if not isinstance(items, list) or not isinstance(meta, dict) or not all(map(is_object, items)):
        raise not_objects(transport)
    return Page(items, str(meta.get("resourceVersion") or ""), weight)


_NAME = 253
_TEXT = 128


def is_object(found: object, *, named: bool = True) -> bool:
    """Whether it has what code relies on: a name, and parts of the shape that all servers send.

    Whoever is in the place of an API server may send anything. `named` is False for bookmarks.
    """
    meta = found.get("metadata") if isinstance(found, dict) else None
    if not isinstance(meta, dict) or not isinstance(found, dict):
        return False
    bounds = {"name": _NAME, "namespace": _NAME, "uid": _TEXT, "resourceVersion": _TEXT}
    if named and not meta.get("name"):
        return False
    return (
        all(_is_text(meta.get(key, ""), most) for key, most in bounds.items())
        and all(str(meta.get(key, "")).isascii() for key in ("uid", "resourceVersion"))
        and _is_texts(meta.get("labels") or {})
        and all(isinstance(found.get(part) or {}, dict) for part in ("spec", "status"))
    )


def _is_text(value: object, most: int) -> bool:
    return isinstance(value, str) and len(value) <= most


def _is_texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def not_objects(transport: Transport) -> Unreachable:
    """The error for something else than Kubernetes' objects."""
    return Unreachable(f"{transport.access.server} did not answer with Kubernetes objects")
