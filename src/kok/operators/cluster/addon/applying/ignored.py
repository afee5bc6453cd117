"""Fields of an addon's objects that others decide on, by `spec.ignore`. Pure.

Such a field is in the intent when the object is created. Later on the intent has what is there: what
is applied without it would be taken away, since it was ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from kok.api.cluster.addon import IgnoredFields
from kok.api.meta import Manifest
from kok.api.names import ANNOTATION_MADE_BY
from kok.kube.apply.serverside import INTENT
from kok.kube.objects.drift import key_of, merge_keys
from kok.operators.cluster.naming import LABEL_ADDON

EACH: Final = "*"
Pointer = tuple[str, ...]
_MISSING: Final = object()
_MARKS: Final = {"labels": (LABEL_ADDON,), "annotations": (INTENT, ANNOTATION_MADE_BY)}


def pointers_for(manifest: Manifest, ignored: Iterable[IgnoredFields]) -> list[Pointer] | None:
    """What of an object is left to others; None if that is all of it once it is there."""
    found: list[Pointer] = []
    for one in ignored:
        if _matches(manifest, one):
            if not one.paths:
                return None
            found.extend(map(parsed, one.paths))
    return found


def _matches(manifest: Manifest, one: IgnoredFields) -> bool:
    meta = manifest["metadata"]
    group = str(manifest["apiVersion"]).rpartition("/")[0]
    return (
        manifest["kind"] == one.kind
        and one.group in (None, group)
        and one.name in (None, str(meta["name"]))
        and one.namespace in (None, str(meta.get("namespace") or "default"))
    )


def parsed(path: str) -> Pointer:
    """The parts of a JSON pointer.

    >>> parsed("/metadata/annotations/example.com~1owner")
    ('metadata', 'annotations', 'example.com/owner')
    """
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:])


def without(intent: Manifest, pointers: Sequence[Pointer]) -> Manifest:
    """The intent without these fields: what it is told apart by."""
    return _changed_all(intent, {}, pointers, keep=False)


def with_values_of(live: Manifest, intent: Manifest, pointers: Sequence[Pointer]) -> Manifest:
    """The intent with what the live object has in these fields, in as far as it names them at all.

    What marks the object as an Addon's own is never left to others.
    """
    made = _changed_all(intent, live, pointers, keep=True)
    for field, keys in _MARKS.items():
        given = (intent.get("metadata") or {}).get(field) or {}
        if own := {key: given[key] for key in keys if key in given}:
            meta = made["metadata"]
            made = {**made, "metadata": {**meta, field: {**(meta.get(field) or {}), **own}}}
    return made


def _changed_all(
    intent: Manifest, live: Manifest, pointers: Sequence[Pointer], *, keep: bool
) -> Manifest:
    made: Any = intent
    for pointer in pointers:
        made = _changed(made, live, pointer, (), keep=keep)
    result: Manifest = made
    return result


def _changed(want: Any, have: Any, pointer: Pointer, path: Pointer, *, keep: bool) -> Any:
    """A copy along the pointer; everything else is shared."""
    if isinstance(want, Mapping):
        return _in_mapping(want, have, pointer, path, keep=keep)
    if isinstance(want, list):
        return _in_list(want, have, pointer, path, keep=keep)
    return want


def _in_mapping(
    want: Mapping[str, Any], have: Any, pointer: Pointer, path: Pointer, *, keep: bool
) -> Mapping[str, Any]:
    (part, *rest), there = pointer, have if isinstance(have, Mapping) else {}
    made = dict(want)
    for key in list(want) if part == EACH else [part] if part in want else []:
        value = there.get(key, _MISSING)
        if rest:
            made[key] = _changed(want[key], value, tuple(rest), (*path, key), keep=keep)
        elif keep and value is not _MISSING:
            made[key] = value
        else:
            del made[key]
    return made


def _in_list(
    want: Sequence[Any], have: Any, pointer: Pointer, path: Pointer, *, keep: bool
) -> list[Any]:
    part, *rest = pointer
    there = have if isinstance(have, list) else []
    keys = merge_keys(path) if path else None
    by_key = {key_of(item, keys): item for item in there} if keys is not None else {}
    made: list[Any] = []
    for index, item in enumerate(want):
        at = there[index] if index < len(there) else _MISSING
        value = at if keys is None else by_key.get(key_of(item, keys), _MISSING)
        if part not in (EACH, str(index)):
            made.append(item)
        elif rest:
            made.append(_changed(item, value, tuple(rest), (*path, str(index)), keep=keep))
        elif keep and value is not _MISSING:
            made.append(value)
    return made
