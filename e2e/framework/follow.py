"""Waiting for an object by watching it, and telling what happens on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import aclosing
from typing import Any

from kok.api.meta import Kind, Manifest
from kok.kube.client import Kube

Seen = Callable[[str], None]
Predicate = Callable[[Manifest], bool]


class TooLate(Exception):
    """An object did not become what it should in time; says what it was last."""


def condition(manifest: Manifest, type_: str) -> dict[str, Any]:
    """The condition of that type, or `{}`."""
    conditions = (manifest.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c["type"] == type_), {})


def has(type_: str, status: str = "True", reason: str | None = None) -> Predicate:
    """Whether a condition of the current generation has that status (and reason)."""

    def check(manifest: Manifest) -> bool:
        found = condition(manifest, type_)
        current = found.get("observedGeneration", manifest["metadata"].get("generation"))
        return (
            found.get("status") == status
            and (reason is None or found.get("reason") == reason)
            and current == manifest["metadata"].get("generation", current)
        )

    return check


def is_not(uid: str) -> Predicate:
    """Whether it is another object than the one with that UID."""
    return lambda manifest: manifest["metadata"]["uid"] != uid


def summary(manifest: Manifest) -> str:
    """What an object says of itself, in a line."""
    ready = condition(manifest, "Ready")
    phase = (manifest.get("status") or {}).get("phase") or "-"
    said = f"{ready.get('reason', '')}: {ready.get('message', '')}".strip(": ")
    return f"{phase}; {said}" if said else phase


async def until(
    kube: Kube,
    kind: Kind,
    name: str,
    namespace: str,
    predicate: Predicate,
    *,
    within: float,
    seen: Seen | None = None,
) -> Manifest:
    """The object, as soon as it is there and the predicate holds; raises `TooLate`."""
    last: Manifest = {}

    async def follow() -> Manifest:
        nonlocal last
        told = ""
        async with aclosing(kube.watch(kind, namespace)) as events:
            async for event in events:
                if (event.object.get("metadata") or {}).get("name") != name:
                    continue
                if event.type == "DELETED":
                    last = {}
                    continue
                last = event.object
                line = summary(last)
                if seen is not None and line != told:
                    told = line
                    seen(f"{kind.kind} {name}: {line}")
                if predicate(last):
                    return last
        raise AssertionError("a watch never ends")

    try:
        async with asyncio.timeout(within):
            return await follow()
    except TimeoutError as error:
        state = summary(last) if last else "it does not exist"
        raise TooLate(f"{kind.kind} {namespace}/{name} after {within:.0f} s: {state}") from error


async def until_gone(
    kube: Kube, kind: Kind, name: str, namespace: str, *, within: float, seen: Seen | None = None
) -> None:
    """Returns as soon as the object does not exist; raises `TooLate`."""
    last: Manifest = {}

    async def follow() -> None:
        nonlocal last
        told = ""
        listed = False
        async with aclosing(kube.watch(kind, namespace)) as events:
            async for event in events:
                if event.type == "SYNCED":
                    if not listed and not last:
                        return
                    listed = True
                if (event.object.get("metadata") or {}).get("name") != name:
                    continue
                if event.type == "DELETED":
                    return
                last = event.object
                line = summary(last)
                if seen is not None and line != told:
                    told = line
                    seen(f"{kind.kind} {name}: {line}")

    try:
        async with asyncio.timeout(within):
            await follow()
    except TimeoutError as error:
        raise TooLate(
            f"{kind.kind} {namespace}/{name} still exists after {within:.0f} s: {summary(last)}"
        ) from error


async def until_none_left(kube: Kube, inventory: Iterable[Manifest], *, within: float) -> None:
    """Returns as soon as nothing is there of what an Addon's inventory names; raises `TooLate`."""
    for one in inventory:
        namespace = one.get("namespace", "")
        kind = Kind(
            one.get("group", ""), one["version"], one["kind"], one["plural"], bool(namespace)
        )
        await until_gone(kube, kind, one["name"], namespace, within=within)
