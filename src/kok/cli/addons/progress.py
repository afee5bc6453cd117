"""Follows addons until they are what was asked for, side by side, and tells of every step."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from kok.api.cluster.addon import Addon
from kok.api.meta import Manifest
from kok.api.unreadable import Unreadable
from kok.cli.addons.world import ADDON
from kok.kube.client import Kube
from kok.kube.watch import WatchEvent
from kok.operators.cluster import reasons
from kok.operators.cluster.addon.prospects import HOPELESS

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Awaited:
    """One addon, and what is waited for."""

    name: str
    """As users call it."""
    object: str
    """Name of its Addon object."""
    gone: bool = False
    """Whether it is to be away."""
    values: Mapping[str, Any] | None = None
    """Those that the object has to come to; None: as they are."""
    generation: int = 0
    """Of the object, at least."""


class Progress:
    """What has been seen of the addons that are waited for. Pure."""

    def __init__(self, awaited: Iterable[Awaited], tell: Tell) -> None:
        self._left = {one.object: one for one in awaited}
        self._tell = tell
        self._lines: dict[str, str] = {}
        self._seen: set[str] = set()
        self.failed: list[str] = []
        """Addons that do not go on by themselves."""

    @property
    def left(self) -> list[str]:
        """Addons that are not what was asked for yet."""
        return [one.name for one in self._left.values()]

    def take(self, event: WatchEvent) -> None:
        """What is new, as `kok.kube.watch` tells it."""
        if event.type == "SYNCED":
            for missing in sorted(self._left.keys() - self._seen):
                self._absent(self._left[missing])
            return
        awaited = self._left.get(str(event.object["metadata"]["name"]))
        if awaited is None:
            return
        self._seen.add(awaited.object)
        if event.type == "DELETED":
            self._seen.discard(awaited.object)
            self._absent(awaited)
        else:
            self._there(awaited, event.object)

    def _absent(self, awaited: Awaited) -> None:
        if awaited.gone:
            self._done(awaited, "gone")
        else:
            self._say(awaited, "the cluster operator has not made it yet")

    def _there(self, awaited: Awaited, manifest: Manifest) -> None:
        try:
            addon = Addon.parse(manifest)
        except Unreadable as error:
            self._done(awaited, str(error), failed=True)
            return
        ready = addon.status.condition(reasons.READY)
        told = f"{ready.reason}: {ready.message}" if ready is not None else "nothing is known yet"
        if addon.deleting:
            self._say(awaited, told if ready is not None else "it is being removed")
        elif awaited.gone or not _is_asked(addon, awaited):
            self._say(awaited, "the cluster operator has yet to see what was written")
        elif ready is not None and ready.status == "True":
            version = f" {addon.status.version}" if addon.status.version else ""
            self._done(awaited, f"Ready{version}: {ready.message}")
        elif ready is not None and ready.reason in HOPELESS:
            self._done(awaited, told, failed=True)
        else:
            self._say(awaited, told)

    def _done(self, awaited: Awaited, line: str, *, failed: bool = False) -> None:
        self._say(awaited, line)
        del self._left[awaited.object]
        if failed:
            self.failed.append(awaited.name)

    def _say(self, awaited: Awaited, line: str) -> None:
        if self._lines.get(awaited.object) != line:
            self._lines[awaited.object] = line
            self._tell(f"{awaited.name}: {line}".replace("\n", " "))


def _is_asked(addon: Addon, awaited: Awaited) -> bool:
    """Whether what it says of itself is about what was asked for."""
    generation = addon.metadata.generation
    current = addon.status.observed_generation == generation and generation >= awaited.generation
    return current and (awaited.values is None or _agree(addon.spec.values, awaited.values))


def _agree(there: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Whether they are the same but for what the operator adds: to the agents of a tunnel, where its
    servers are."""
    own = {key: value for key, value in there.items() if key in asked or key != "server"}
    return bool(_set(own) == _set(asked))


def _set(value: Any) -> Any:
    """The value without nulls, which are the same as nothing."""
    if isinstance(value, Mapping):
        return {key: _set(inner) for key, inner in value.items() if inner is not None}
    return [_set(inner) for inner in value] if isinstance(value, list) else value


async def follow(
    kube: Kube, namespace: str, awaited: Iterable[Awaited], tell: Tell, timeout: float
) -> bool:
    """Until all are what was asked for, or cannot become it; whether they are.

    `timeout`: seconds after which the rest is told and given up. Raises `KubeError`.
    """
    began = time.monotonic()

    def at(line: str) -> None:
        tell(f"{time.monotonic() - began:7.1f} s  {line}")

    progress = Progress(awaited, at)
    if not progress.left:
        return True
    try:
        async with (
            asyncio.timeout(timeout),
            aclosing(kube.watch(ADDON, namespace)) as events,
        ):
            async for event in events:
                progress.take(event)
                if not progress.left:
                    break
    except TimeoutError:
        at(f"not yet as asked for: {', '.join(progress.left)}; it goes on without being watched")
    return not progress.left and not progress.failed
