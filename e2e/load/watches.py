"""Watches that resume where they ended, and what they see of numbers and of leaders."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from e2e.load.exchange import Broken, Client
from e2e.load.tally import Tally, comes_again

KIND = "watch"
PAUSE = 0.2
"""Seconds until the next try after one that failed."""
LASTS = 600
"""Seconds after which the server ends a watch."""

Object = dict[str, Any]


class Watch:
    """Follows one object of a collection; what it is told it hands on."""

    def __init__(
        self,
        client: Client,
        tally: Tally,
        path: str,
        name: str,
        see: Callable[[Object, bool], None],
    ) -> None:
        """`see` gets what was listed, then with True, and what events tell."""
        self._client, self._tally, self._see = client, tally, see
        self._path = f"{path}?fieldSelector=metadata.name%3D{name}"
        self._version: str | None = None
        self._rest = b""
        self.listed = asyncio.Event()
        self.events = 0
        self.ended = 0
        """Watches that the server ended in order."""
        self.broken = 0
        """Those that ended in the middle."""
        self.relisted = 0
        """Those that could not be resumed: what happened meanwhile nobody told."""

    async def run(self) -> None:
        """Goes on until it is cancelled."""
        while True:
            try:
                went_well = await (self._list() if self._version is None else self._stream())
            except Broken as error:
                went_well = self._broke(str(error))
            if not went_well:
                await asyncio.sleep(PAUSE)

    async def _list(self) -> bool:
        answer = await self._client.send("GET", self._path)
        if answer.status != 200:
            return self._refused(answer.status, answer.retry_after, answer.body)
        found = json.loads(answer.body)
        for item in found.get("items") or ():
            self._see(item, True)
        self._version = found["metadata"]["resourceVersion"]
        self.listed.set()
        return True

    async def _stream(self) -> bool:
        self._rest, before = b"", self.events
        path = f"{self._path}&watch=1&allowWatchBookmarks=true&timeoutSeconds={LASTS}"
        try:
            answer = await self._client.follow(
                f"{path}&resourceVersion={self._version}", self._take
            )
        except Broken:
            # One that never began was a request that failed.
            if self.events == before:
                raise
            self.broken += 1
            return True
        if answer.status != 200:
            return self._refused(answer.status, answer.retry_after, answer.body)
        self.ended += 1
        return True

    def _take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.strip():
                self._event(json.loads(line))

    def _event(self, event: Object) -> None:
        found = event.get("object", event)
        if event.get("type") in {"ADDED", "MODIFIED", "BOOKMARK"}:
            self._version = found["metadata"]["resourceVersion"]
            if event["type"] != "BOOKMARK":
                self.events += 1
                self._see(found, False)
        elif event.get("type") == "ERROR":
            self._lost(f"ERROR {found.get('code')}: {found.get('message')}")

    def _refused(self, status: int, retry_after: float | None, body: bytes) -> bool:
        if comes_again(status, retry_after):
            self._tally.of(KIND).waited += 1
            return False
        text = f"HTTP {status}: {body[:200].decode(errors='replace')}"
        if status == 410:
            self._lost(text)
            return True
        return self._broke(text)

    def _lost(self, text: str) -> None:
        """It cannot be resumed from where it ended."""
        self._version = None
        self.relisted += 1
        self._tally.fail(KIND, time.monotonic(), f"cannot be resumed: {text}")

    def _broke(self, text: str) -> bool:
        self._tally.fail(KIND, time.monotonic(), text)
        return False
