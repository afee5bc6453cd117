"""Watching a collection for ever: list, then follow, through every loss of the connection.

Whoever is in the place of an API server decides for how long there is silence after an event or a
page. Nothing of it may be held meanwhile: hence every `del`, here and where tenants are watched.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Literal

from kok.api.meta import Kind, Manifest
from kok.kube.budget.read_rate import REQUEST
from kok.kube.errors import Expired, KubeError, error_of_status
from kok.kube.http.paths import object_path
from kok.kube.http.transport import Transport
from kok.kube.lists.pages import BARE, BARE_LINES, is_object, not_objects, pages

SERVER_TIMEOUT = 300
"""Seconds after which the server ends a watch and we go on from where it ended."""
IDLE = 90.0
"""Seconds of silence that mean a dead connection; bookmarks come about once a minute."""
WHOLE = SERVER_TIMEOUT + IDLE
"""Seconds after which we end it ourselves."""
LASTING = 5.0
"""Seconds for which a watch of an honest server lasts at least, but for those that it cannot serve."""
LABEL = 63
"""Characters of a label's value at most, as Kubernetes has it."""

Key = tuple[str, str]
"""Namespace (empty where there is none) and name."""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One change.

    At the beginning and after a gap all that exists is told as `ADDED`, what went in a gap as
    `DELETED` (with no more than its metadata), and then `SYNCED` with an empty object. So what was
    told as added and not as deleted *is* what exists, and nobody has to compare.
    """

    type: Literal["ADDED", "MODIFIED", "DELETED", "SYNCED"]
    object: Manifest


async def watch(
    transport: Transport,
    kind: Kind,
    namespace: str | None,
    query: Mapping[str, str],
    failed: Callable[[KubeError | None], None] = lambda _error: None,
    *,
    bare: bool = False,
    known: int | None = None,
) -> AsyncGenerator[WatchEvent, None]:
    """Endless; failures are retried with back-off (about 0.5 s to 30 s) and never raised.

    `failed` is told why it does not go on, and None once it does. `bare`: with nothing but metadata.
    `known`: bytes of names and labels of all objects, by default what the limits allow.
    """
    most = min(known or transport.limits.known, transport.limits.known)
    seen = _Seen(transport, kind, object_path(kind, namespace), query, most, bare=bare)
    failures, ailing = 0, False
    while True:
        seen.begin()
        try:
            if not seen.version:
                async with aclosing(seen.listed()) as events:
                    async for event in events:
                        yield event
                        del event
                failed(None)
            async with aclosing(seen.followed()) as events:
                async for event in events:
                    if ailing:
                        failed(None)
                        ailing = False
                    yield event
                    del event
            failures = 0 if seen.lasted else failures + 1
            if not seen.idle:
                failed(None)
                ailing = False
        except Expired:
            # After a watch a list helps at once; a list that runs out itself, or from which no
            # watch can go on, may do so again.
            failures = 0 if seen.lasted else failures + 1
            seen.version = ""
        except KubeError as error:
            failures = 1 if seen.lasted else failures + 1
            ailing = True
            failed(error)
        if failures:
            delay = min(30.0, 0.25 * 2.0 ** min(failures, 10))
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load


@dataclass(slots=True)
class _Seen:
    """What a watch has told, and how far it has come."""

    transport: Transport
    kind: Kind
    path: str
    query: Mapping[str, str]
    most: int
    """Bytes of names and labels that are kept."""
    bare: bool = False
    version: str = ""
    """The resource version to go on from; empty before the first list and after a gap."""
    idle: bool = True
    """Whether the last connection brought nothing at all."""
    since: float | None = None
    """When the server began to answer; None if it did not."""
    told: dict[Key, Mapping[str, str]] = field(default_factory=dict)
    """Labels of all objects that exist as far as was told: nobody tells them of what went unseen."""
    known: int = 0
    """Bytes of all these texts."""
    overflowing: bool = False
    """Whether they were more than are kept."""

    def begin(self) -> None:
        """Forgets the last connection."""
        self.idle, self.since = True, None

    def _opened(self) -> None:
        self.since = asyncio.get_running_loop().time()

    @property
    def lasted(self) -> bool:
        """Whether the connection was a good one, after which another may be made at once.

        What it brought proves nothing: a server that sends one event and ends the watch, or says
        that all must be listed anew, would be asked in a tight loop. A trusted one does not.
        """
        if self.transport.limits.rate is None:
            return not self.idle
        now = asyncio.get_running_loop().time()
        return self.since is not None and now - self.since >= LASTING

    async def listed(self) -> AsyncGenerator[WatchEvent, None]:
        """All that exists, page by page, then what of the things told before is gone."""
        if self.overflowing:
            # Those that are no more would leave no room for those that are.
            for key in list(self.told):
                yield self._event("DELETED", _rest(key, self.told[key]))
            self.overflowing = False
        found: set[Key] = set()
        version = ""
        async with aclosing(
            pages(
                self.transport,
                self.path,
                self.query,
                BARE if self.bare else None,
                pace=self.transport.pace,
            )
        ) as all_pages:
            async for page in all_pages:
                version = page.version
                for item in page.items:
                    found.add(_key(item))
                    yield self._event("ADDED", item)
                    del item
                del page
        for key in [key for key in self.told if key not in found]:
            yield self._event("DELETED", _rest(key, self.told[key]))
        self.version = version
        yield WatchEvent("SYNCED", {})

    async def followed(self) -> AsyncGenerator[WatchEvent, None]:
        """Changes from `version` on, until the server ends the watch."""
        query = {
            **self.query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self.version,
            "timeoutSeconds": str(SERVER_TIMEOUT),
        }
        await self.transport.pace.keep(REQUEST)
        lines = self.transport.lines(
            self.path,
            query=query,
            idle=IDLE,
            whole=WHOLE,
            opened=self._opened,
            accept=BARE_LINES if self.bare else None,
        )
        async with aclosing(lines):
            async for line in lines:
                what, found = line.get("type"), line.get("object")
                if what == "ERROR":
                    raise error_of_status(found if isinstance(found, dict) else {})
                if not isinstance(found, dict) or not is_object(found, named=what != "BOOKMARK"):
                    raise not_objects(self.transport)
                self.idle = False
                self.version = str(found["metadata"].get("resourceVersion", ""))
                if what in ("ADDED", "MODIFIED", "DELETED"):
                    yield self._event(what, found)
                del line, found

    def _event(self, what: Literal["ADDED", "MODIFIED", "DELETED"], found: Manifest) -> WatchEvent:
        key = _key(found)
        before = self.told.pop(key, None)
        self.known -= _size(key, before) if before is not None else 0
        if what != "DELETED":
            labels = self.told[key] = self._selecting(found["metadata"].get("labels") or {})
            self.known += _size(key, labels)
            limits = self.transport.limits
            if len(self.told) > limits.items or self.known > self.most:
                self.version, self.overflowing = "", True
                text = f"more than {limits.items} {self.kind.plural}"
                if len(self.told) <= limits.items:
                    text = f"{self.kind.plural} with names of more than {self.most} bytes"
                raise self.transport.too_large(text)
        return WatchEvent(
            what, {"apiVersion": self.kind.api_version, "kind": self.kind.kind, **found}
        )

    def _selecting(self, labels: Mapping[str, str]) -> Mapping[str, str]:
        """The labels by which the watch selects; of all others a server could send any amount."""
        terms = self.query.get("labelSelector", "").split(",")
        keys = {term.partition("=")[0].strip("! ") for term in terms}
        return {k: labels[k] for k in keys if k in labels and len(labels[k]) <= LABEL}


def _key(found: Mapping[str, Any]) -> Key:
    meta = found["metadata"]
    return str(meta.get("namespace") or ""), str(meta["name"])


def _size(key: Key, labels: Mapping[str, str]) -> int:
    return sum(map(sys.getsizeof, (*key, *labels.values())))


def _rest(key: Key, labels: Mapping[str, str]) -> Manifest:
    """What is left of an object that went unseen."""
    namespace, name = key
    where = {"namespace": namespace} if namespace else {}
    return {"metadata": {"name": name, **where, "labels": dict(labels)}}
