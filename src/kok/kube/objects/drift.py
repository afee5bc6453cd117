"""Whether a live object still is what was asked for, in spite of what the API server adds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from kok.api.meta import Manifest
from kok.kube.objects.quantity import same_quantity

DIFFERENCES: Final = 4096
"""Differences of one object that are remembered."""
_KEY, _PATH = 64, 512
"""Characters of one key in a path, and of a path."""

Path = tuple[str, ...]

_KEYED: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "resourceClaims": ("name",),
    "claims": ("name",),
    "schedulingGates": ("name",),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
    "ownerReferences": ("uid",),
    "conditions": ("type",),
}
"""Lists that Kubernetes merges by key: others may add items of their own to them."""
_CONTAINERS = frozenset({"containers", "initContainers"})
_KEY_DEFAULTS = {"protocol": "TCP"}
_SETS = frozenset({"finalizers"})
_AMOUNTS = frozenset({"limits", "requests", "capacity", "sizeLimit", "hard", "divisor", "storage"})
_IDENTITY = frozenset({"apiVersion", "kind"})
_MISSING = object()


def covers(live: Manifest, intent: Manifest) -> bool:
    """Whether every field of the intent is in the live object with that value.

    Fields that the intent does not name are the server's or somebody else's and do not matter.
    Lists count as whole values, except those that Kubernetes merges by key.
    """
    return next(differences(live, intent), None) is None


def differences(live: Manifest, intent: Manifest) -> Iterator[str]:
    """What keeps `live` from covering `intent`: paths such as `spec.replicas`, 512 characters each.

    Whoever writes an object decides on how many there are, and on how long keys are, of which each
    path has several: take no more than `DIFFERENCES` of them.
    """
    want = {key: value for key, value in intent.items() if key not in _IDENTITY}
    for path in _in_mapping(live, want, ()):
        text = ".".join(path)
        yield text if len(text) <= _PATH else _digest(text)


def _short(key: str) -> str:
    """What stands for a key in paths."""
    return key if len(key) <= _KEY else _digest(key)


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode(errors='replace')).hexdigest()}"


def _in_value(have: Any, want: Any, path: Path) -> Iterator[Path]:
    if have is _MISSING or have is None:
        # The server leaves out what is empty, false or zero.
        if want and not _is_empty(want):
            yield path
    elif isinstance(want, Mapping) and isinstance(have, Mapping):
        yield from _in_mapping(have, want, path)
    elif _is_list(want) and _is_list(have):
        yield from _in_list(have, want, path)
    elif want is not None and not _same(have, want, path):
        yield path


def _in_mapping(have: Mapping[str, Any], want: Mapping[str, Any], path: Path) -> Iterator[Path]:
    template = path[-1:] == ("volumeClaimTemplates",)
    for key, value in want.items():
        if template and key in _IDENTITY:
            continue
        yield from _in_value(have.get(key, _MISSING), value, (*path, _short(key)))


def _in_list(have: Sequence[Any], want: Sequence[Any], path: Path) -> Iterator[Path]:
    if path[-1] in _SETS:
        there = {one for one in have if isinstance(one, str)}
        if not all(isinstance(one, str) and one in there for one in want):
            yield path
        return
    keys = merge_keys(path)
    if keys is not None:
        found = {key_of(item, keys): item for item in have}
        for item in want:
            key = key_of(item, keys)
            yield from _in_value(found.get(key, _MISSING), item, (*path, _short("/".join(key))))
        return
    if len(have) != len(want):
        yield path
        return
    for one, other in zip(have, want, strict=True):
        yield from _in_value(one, other, path)


def merge_keys(path: Path) -> tuple[str, ...] | None:
    """By what Kubernetes tells items of that list apart; None for lists that count as one value."""
    if path == ("spec", "ports"):  # of a Service
        return ("port", "protocol")
    if path[-1] == "ports" and len(path) > 2 and path[-3] in _CONTAINERS:
        return ("containerPort", "protocol")
    return _KEYED.get(path[-1])


def key_of(item: Any, keys: tuple[str, ...]) -> tuple[str, ...]:
    """The item's values of these keys."""
    if not isinstance(item, Mapping):
        return (str(item),)
    return tuple(str(item.get(key, _KEY_DEFAULTS.get(key, ""))) for key in keys)


def _same(have: Any, want: Any, path: Path) -> bool:
    if isinstance(have, bool) != isinstance(want, bool):
        return False
    if have == want:
        return True
    return any(part in _AMOUNTS for part in path) and same_quantity(have, want)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_empty(value: Any) -> bool:
    """Whether nothing but emptiness is asked for, at any depth."""
    if isinstance(value, Mapping):
        return all(_is_empty(inner) for inner in value.values())
    return not value
