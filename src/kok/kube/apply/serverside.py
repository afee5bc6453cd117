"""Server-side apply that sends an intent only when it is new or was tampered with."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from itertools import islice
from typing import Any

from kok.api.meta import Manifest
from kok.api.names import ANNOTATION_INTENT
from kok.kube.client import Kube
from kok.kube.decoding.strip import slim
from kok.kube.errors import InvalidObject
from kok.kube.objects.drift import DIFFERENCES, covers, differences
from kok.kube.objects.forbidden_fields import Pointer
from kok.kube.objects.foreign_fields import Additions, additions, marks, removal

__all__ = ["INTENT", "Change", "Lives", "covers", "ensure", "ensure_all", "index", "intent_hash"]

INTENT = ANNOTATION_INTENT
"""Annotation with the hash of the manifest as it was last applied."""
_ACCEPTED_LIMIT = 4096
PARTS = 64
"""Requests at most that remove additions from an object part by part."""

Lives = Mapping[tuple[str, str], Manifest]
"""Live objects by kind (`Secret`) and name."""


class Change(StrEnum):
    """What `ensure` had to do."""

    CREATED = "created"
    UPDATED = "updated"
    NONE = "none"


def intent_hash(intent: Manifest) -> str:
    """A short hash of a rendered manifest; the same for the same content in any order of keys."""
    text = json.dumps(intent, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def stamped(intent: Manifest) -> Manifest:
    """The intent with its own hash as an annotation."""
    meta = intent["metadata"]
    annotations = {**(meta.get("annotations") or {}), INTENT: intent_hash(intent)}
    return {**intent, "metadata": {**meta, "annotations": annotations}}


def index(manifests: Iterable[Manifest]) -> dict[tuple[str, str], Manifest]:
    """Objects by kind and name, as `ensure_all` wants them."""
    return {(str(m["kind"]), str(m["metadata"]["name"])): m for m in manifests}


async def ensure(kube: Kube, intent: Manifest, live: Manifest | None) -> tuple[Manifest, Change]:
    """Makes the live object cover the intent; returns it and what had to be done.

    Nothing is sent if the live object carries the intent's hash and every field that it sets, or
    if the object is being deleted: what comes after it is created once it is gone. Pass None for
    `live` if there is none. Also what others added to the spec goes, for the kinds that
    `kok.kube.objects.foreign_fields` names. Raises `KubeError`.
    """
    want = stamped(intent)
    if live is None:
        made = await kube.apply(want)
        _accept(kube, made, want)
        return made, Change.CREATED
    if live["metadata"].get("deletionTimestamp"):
        return live, Change.NONE
    result, refused = await _without(kube, live, want)
    uid = str(live["metadata"].get("uid", ""))
    if refused or not _drift(result, want) <= kube.accepted.get(uid, frozenset()):
        result = await kube.apply(want)
        _accept(kube, result, want)
        # What could not go before the rest was as it should be.
        result, refused = await _without(kube, result, want)
        if refused:
            result = await _in_parts(kube, result, want)
    same = _version(result) == _version(live)
    return result, Change.NONE if same else Change.UPDATED


async def ensure_all(
    kube: Kube, intents: Iterable[Manifest], lives: Lives | Iterable[Manifest]
) -> dict[tuple[str, str], tuple[Manifest, Change]]:
    """`ensure` for many objects side by side; results by kind and name.

    All are tried; then the first error, if any, is raised. Of what others hung on the objects
    nothing is in the results.
    """
    known = lives if isinstance(lives, Mapping) else index(lives)
    wanted = index(intents)
    results = await asyncio.gather(
        *(_slim(kube, intent, known.get(key)) for key, intent in wanted.items()),
        return_exceptions=True,
    )
    done: dict[tuple[str, str], tuple[Manifest, Change]] = {}
    for key, result in zip(wanted, results, strict=True):
        if isinstance(result, BaseException):
            raise result
        done[key] = result
    return done


async def _slim(kube: Kube, intent: Manifest, live: Manifest | None) -> tuple[Manifest, Change]:
    found, change = await ensure(kube, intent, live)
    return slim(found, intent.get("data") or {}), change


async def _without(kube: Kube, live: Manifest, want: Manifest) -> tuple[Manifest, bool]:
    """The object without what others added, and whether the API server refused to remove that."""
    uid, fields = str(live["metadata"].get("uid", "")), additions(live, want).fields
    found = marks(live, fields)
    if set(found.values()) <= kube.removals.tolerated(uid):
        return live, False
    if not kube.removals.allows(uid):
        kube.postponed.append(kube.removals.patience(uid))
        return live, False
    try:
        less = await _remove(kube, live, fields)
    except InvalidObject:
        return live, True
    # What the API server fills in by itself is back already: asking again would not help.
    back = marks(less, additions(less, want).fields).values()
    kube.removals.tolerate(uid, frozenset(back) & frozenset(found.values()))
    return less, False


async def _in_parts(kube: Kube, live: Manifest, want: Manifest) -> Manifest:
    """The object without what the API server lets go, where it does not let go all at once.

    What matters most is asked for first, and what is refused is asked for in halves. Only what is
    refused by itself is tolerated, or comes back: a field that nobody can change must not keep
    others in the object.
    """
    back: set[str] = set()
    refused: set[str] = set()
    parts: list[list[str]] = []
    went = True
    # Looked for again only when something went: whoever adds thousands of fields that cannot be
    # removed does not have us go through them for each that is refused.
    found, known = _added(live, want)
    for _ in range(PARTS):
        if not parts:
            left = sorted(set(known.values()) - back)
            if not went or not left:
                break
            risky = {known[pointer] for pointer in found.risky & known.keys()}
            parts = [[m for m in left if m not in risky], [m for m in left if m in risky]]
            went, refused = False, set()
        part = parts.pop()
        these = set(part)
        here = frozenset(pointer for pointer, mark in known.items() if mark in these)
        if not here:
            continue
        try:
            live = await _remove(kube, live, here)
        except InvalidObject:
            middle = len(part) // 2
            if middle:
                parts += [part[middle:], part[:middle]]
            else:
                refused.update(part)
            continue
        found, known = _added(live, want)
        stays = these & set(known.values())
        back |= stays
        # What others hung on may be gone now: they are asked for once more.
        went = went or len(stays) < len(here)
    kube.removals.tolerate(str(live["metadata"].get("uid", "")), frozenset(back | refused))
    return live


def _added(live: Manifest, want: Manifest) -> tuple[Additions, dict[Pointer, str]]:
    found = additions(live, want)
    return found, marks(live, found.fields)


async def _remove(kube: Kube, live: Manifest, fields: frozenset[Pointer]) -> Manifest:
    kind, meta = await kube.resolve(live), live["metadata"]
    patch = removal(live, fields)
    return await kube.patch(kind, meta["name"], meta.get("namespace"), patch, type="json")


def _drift(live: Manifest, want: Manifest) -> frozenset[str]:
    found = frozenset(islice(differences(live, want), DIFFERENCES))
    return found | additions(live, want).within


def _accept(kube: Kube, result: Manifest, want: Manifest) -> None:
    """Remembers what the server changed in our own intent, so as not to fight it for ever.

    Only in memory: after a restart one apply that changes nothing finds it out again.
    """
    uid = str(result["metadata"].get("uid", ""))
    left = _drift(result, want)
    kube.accepted.pop(uid, None)
    if left:
        if len(kube.accepted) >= _ACCEPTED_LIMIT:
            kube.accepted.pop(next(iter(kube.accepted)))
        kube.accepted[uid] = left


def _version(manifest: Manifest) -> Any:
    return manifest["metadata"].get("resourceVersion")
