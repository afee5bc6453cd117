"""Events: a short history of an object for people, shown by `kubectl describe`."""

from __future__ import annotations

import hashlib
import socket
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kok.api.meta import Resource
from kok.api.printable import plain_lines
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import AlreadyExists, KubeError

QUIET = 600.0
"""Seconds in which the same event is not told twice."""
_REMEMBERED = 2048
_NOTE_LIMIT = 1024


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an object. `reason` is CamelCase, `note` a sentence."""

    reason: str
    note: str
    warning: bool = False


class Recorder:
    """Writes Events; drops repetitions; never fails (what cannot be written is told to `lost`)."""

    def __init__(
        self,
        kube: Kube,
        component: str,
        now: Callable[[], datetime],
        lost: Callable[[Event, KubeError], None] = lambda _event, _error: None,
    ) -> None:
        self._kube = kube
        self._component = component
        self._instance = socket.gethostname()[:128]
        self._now = now
        self._lost = lost
        self._told: OrderedDict[str, datetime] = OrderedDict()

    async def record(self, about: Resource, event: Event) -> bool:
        """Whether the event was written now."""
        name = event_name(about, event)
        now = self._now()
        before = self._told.get(name)
        if before is not None and (now - before).total_seconds() < QUIET:
            return False
        self._told[name] = now
        self._told.move_to_end(name)
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        try:
            await self._write(about, event, name, now)
        except KubeError as error:
            self._told.pop(name, None)
            self._lost(event, error)
            return False
        return True

    async def _write(self, about: Resource, event: Event, name: str, now: datetime) -> None:
        stamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        manifest: dict[str, Any] = {
            "apiVersion": kinds.EVENT.api_version,
            "kind": kinds.EVENT.kind,
            "metadata": {"name": name, "namespace": about.namespace},
            "eventTime": stamp,
            "reportingController": self._component,
            "reportingInstance": self._instance,
            "action": "Reconcile",
            "reason": event.reason[:128],
            "note": plain_lines(event.note[:_NOTE_LIMIT]),
            "type": "Warning" if event.warning else "Normal",
            "regarding": {
                "apiVersion": about.info.kind.api_version,
                "kind": about.info.kind.kind,
                "name": about.name,
                "namespace": about.namespace,
                "uid": about.metadata.uid,
            },
        }
        try:
            await self._kube.create(manifest)
        except AlreadyExists:
            old = await self._kube.get(kinds.EVENT, name, about.namespace) or {}
            count = int((old.get("series") or {}).get("count", 1)) + 1
            series = {"series": {"count": count, "lastObservedTime": stamp}}
            await self._kube.patch(kinds.EVENT, name, about.namespace, series)


def event_name(about: Resource, event: Event) -> str:
    """One name for one event of one object, so that a repetition finds the earlier one."""
    text = "\0".join((about.metadata.uid, event.reason, event.note))
    return f"{about.name[:200]}.{hashlib.sha256(text.encode()).hexdigest()[:16]}"
