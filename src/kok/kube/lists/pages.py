"""Lists page by page, within what is taken from an API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kok.api.meta import Manifest
from kok.kube.budget.read_rate import ReadRate
from kok.kube.errors import TooLarge, Unreachable
from kok.kube.http.transport import Transport


@dataclass(frozen=True, slots=True)
class Page:
    """Some objects of a list."""

    items: list[Manifest]
    version: str
    """Resource version of the list, from which a watch goes on."""
    weight: int
    """About how many bytes of memory the objects take."""


BARE: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
"""What to accept to be sent nothing but metadata of the objects of a list."""
BARE_LINES: Final = BARE.replace("MetadataList", "Metadata")
"""The same for a watch."""
PATHS: Final = 1000
"""Lists of which is remembered how large their pages may be."""
GROWS_AFTER: Final = 4
"""Pages that fit, after which more objects are asked for again."""


async def pages(
    transport: Transport,
    path: str,
    query: Mapping[str, str],
    accept: str | None = None,
    pace: ReadRate | None = None,
) -> AsyncGenerator[Page, None]:
    """All pages; a page that is too large is asked for again with fewer objects, down to one.

    Raises `TooLarge` beyond the limits: also for a list that goes on for ever, or too slowly.
    `pace`: for a list that a watch makes, which may have to wait before each page.
    """
    headers = {"Accept": accept} if accept is not None else None
    limits, loop = transport.limits, asyncio.get_running_loop()
    size, fits, count = transport.sizes.get(path, limits.page), 0, 0
    asked = {**query, "limit": str(size)}
    ends = loop.time() + limits.seconds
    while True:
        # That the server has to wait for us does not make it slow.
        ends += await transport.rest(path)
        if pace is not None:
            ends += await pace.list_on()
        try:
            answer, weight = await transport.measured(
                "GET", path, query=asked, headers=headers, several=size > 1, pace=pace
            )
        except TooLarge:
            if size == 1:
                raise
            size, fits = max(1, size // 4), 0
            asked["limit"] = str(size)
            _remember(transport, path, size)
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
        fits += 1
        if fits % GROWS_AFTER == 0 or not more:
            # What made a page too large may be behind us.
            size = min(limits.page, size * 2)
            asked["limit"] = str(size)
            _remember(transport, path, size)
        if not more:
            return
        if empty:
            raise Unreachable(f"{transport.access.server} answered with an empty page of a list")
        asked["continue"] = str(more)


def _remember(transport: Transport, path: str, size: int) -> None:
    """Where the next list begins, so that a page that is too large is not read again each time."""
    transport.sizes.pop(path, None)
    if size < transport.limits.page:
        transport.sizes[path] = size
        if len(transport.sizes) > PATHS:
            del transport.sizes[next(iter(transport.sizes))]


def _page(transport: Transport, answer: Any, weight: int) -> Page:
    meta = answer.get("metadata") if isinstance(answer, dict) else None
    if not isinstance(meta, dict) or not isinstance(answer.get("items") or [], list):
        raise not_objects(transport)
    items = answer.get("items") or []
    goes_on = _is_text(meta.get("continue") or "", _TOKEN)
    version = meta.get("resourceVersion") or ""
    if not all(map(is_object, items)) or not goes_on or not _is_text(version, _TEXT):
        raise not_objects(transport)
    return Page(items, version, weight)


_NAME = 253
_TEXT = 128
_TOKEN = 4096
_BOUNDS = {
    "name": _NAME,
    "namespace": _NAME,
    "uid": _TEXT,
    "resourceVersion": _TEXT,
    "deletionTimestamp": _TEXT,
    "creationTimestamp": _TEXT,
}


def is_object(found: object, *, named: bool = True) -> bool:
    """Whether it has what code relies on: metadata, and parts of the shape that all servers send.

    Whoever is in the place of an API server may send anything. `named` is False for bookmarks.
    """
    return (
        has_metadata(found, named=named)
        and isinstance(found, dict)
        and all(isinstance(found.get(part) or {}, dict) for part in ("spec", "status"))
    )


def has_metadata(found: object, *, named: bool = True) -> bool:
    """The same of its metadata alone: objects of kinds that others define may be of any shape."""
    meta = found.get("metadata") if isinstance(found, dict) else None
    if not isinstance(meta, dict) or (named and not meta.get("name")):
        return False
    references = meta.get("ownerReferences") or []
    return (
        all(_is_text(meta.get(key) or "", most) for key, most in _BOUNDS.items())
        and all(str(meta.get(key, "")).isascii() for key in ("uid", "resourceVersion"))
        and _is_texts(meta.get("labels") or {})
        and isinstance(meta.get("annotations") or {}, dict)
        and isinstance(meta.get("finalizers") or [], list)
        and isinstance(references, list)
        and all(isinstance(reference, dict) for reference in references)
    )


def _is_text(value: object, most: int) -> bool:
    """Whether it is a text that can be written: halves of characters cannot."""
    if not isinstance(value, str) or len(value) > most:
        return False
    return value.isascii() or value == value.encode(errors="ignore").decode()


def _is_texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in value.values())


def not_objects(transport: Transport) -> Unreachable:
    """The error for something else than Kubernetes' objects."""
    return Unreachable(f"{transport.access.server} did not answer with Kubernetes objects")
