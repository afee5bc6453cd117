"""An API server whose watches say what a test puts in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from kok.api.meta import Kind, Manifest
from kok.kube.watch import WatchEvent
from kok.runtime.clock import settle


class FakeWatches:
    """Stands for its client."""

    server = "https://192.0.2.10:6443"

    def __init__(self) -> None:
        self.queues: dict[str, asyncio.Queue[WatchEvent]] = {}

    async def watch(self, kind: Kind, labels: str | None = None) -> AsyncIterator[WatchEvent]:
        """Endless."""
        del labels
        queue = self.queues.setdefault(kind.kind, asyncio.Queue())
        while True:
            yield await queue.get()

    async def tell(self, kind: str, *events: tuple[Any, Manifest]) -> None:
        """Something happens."""
        await settle()
        for type_, manifest in events:
            self.put(kind, type_, manifest)
        await settle()

    def put(self, kind: str, type_: Any, manifest: Manifest) -> None:
        """Something has happened, of which nobody has heard yet."""
        self.queues[kind].put_nowait(WatchEvent(type_, manifest))
