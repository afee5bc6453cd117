"""Watching a collection for ever: list, then follow, through every loss of the connection."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Literal

from kok.api.meta import Kind, Manifest
from kok.kube.errors import Expired, KubeError, error_of_status
from kok.kube.paths import object_path
from kok.kube.transport import Transport

SERVER_TIMEOUT = 300
"""Seconds after which the server ends a watch and we go on from where it ended."""
IDLE = 90.0
"""Seconds of silence that mean a dead connection; bookmarks come about once a minute."""
CHUNK = 500


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One change. After a gap the stream starts anew with `SYNCED`-terminated `ADDED` events.

    `SYNCED` has an empty object: all that exists has been told; what was known before and was not
    told again is gone (a deletion during a gap yields no `DELETED`).
    """

    type: Literal["ADDED", "MODIFIED", "DELETED", "SYNCED"]
    object: Manifest


async def watch(
    transport: Transport, kind: Kind, namespace: str | None, query: Mapping[str, str]
) -> AsyncGenerator[WatchEvent, None]:
    """Endless; failures are retried with back-off (about 0.5 s to 30 s) and never raised."""
    path = object_path(kind, namespace)
    position = _Position()
    failures = 0
    while True:
        try:
            if not position.version:
                found, version = await _listed(transport, path, query)
                for item in found:
                    yield WatchEvent("ADDED", _whole(kind, item))
                yield WatchEvent("SYNCED", {})
                position.version = version
            async with aclosing(_followed(transport, kind, path, query, position)) as events:
                async for event in events:
                    failures = 0
                    yield event
            # A server that ends watches at once must not be asked in a tight loop.
            failures += position.idle
        except Expired:
            # After a watch a list helps at once; a list that runs out itself may do so again.
            failures += not position.version
            position.version = ""
        except KubeError:
            failures += 1
        if failures:
            delay = min(30.0, 0.25 * 2.0 ** min(failures, 10))
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load


@dataclass(slots=True)
class _Position:
    """How far a watch has come."""

    version: str = ""
    """The resource version to go on from; empty before the first list and after a gap."""
    idle: bool = False
    """Whether the last connection brought nothing at all."""


async def _listed(
    transport: Transport, path: str, query: Mapping[str, str]
) -> tuple[list[Manifest], str]:
    page_query = {**query, "limit": str(CHUNK)}
    found: list[Manifest] = []
    while True:
        page = await transport.request("GET", path, query=page_query)
        meta = page.get("metadata") or {}
        found += page.get("items") or ()
        if not meta.get("continue"):
            return found, str(meta.get("resourceVersion", ""))
        page_query["continue"] = meta["continue"]


async def _followed(
    transport: Transport, kind: Kind, path: str, query: Mapping[str, str], position: _Position
) -> AsyncGenerator[WatchEvent, None]:
    watch_query = {
        **query,
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": position.version,
        "timeoutSeconds": str(SERVER_TIMEOUT),
    }
    position.idle = True
    async with aclosing(transport.lines(path, query=watch_query, idle=IDLE)) as lines:
        async for line in lines:
            position.idle = False
            what, found = line.get("type"), line.get("object") or {}
            if what == "ERROR":
                raise error_of_status(found)
            position.version = str((found.get("metadata") or {}).get("resourceVersion", ""))
            if what in {"ADDED", "MODIFIED", "DELETED"}:
                yield WatchEvent(what, _whole(kind, found))


def _whole(kind: Kind, item: Mapping[str, Any]) -> Manifest:
    return {"apiVersion": kind.api_version, "kind": kind.kind, **item}
