"""Whether a live object still is what was asked for, in spite of what the API server adds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kok.api.meta import Manifest
from kok.kube.quantity import same_quantity

Path = tuple[str, ...]

_KEYED: dict[str, tuple[str, ...]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "volumes": ("name",),
    "env": ("name",),
    "imagePullSecrets": ("name",),
    "resourceClaims": ("name",),
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
    """What keeps `live` from covering `intent`: paths such as `spec.replicas`."""
    want = {key: value for key, value in intent.items() if key not in _IDENTITY}
    yield from _in_mapping(live, want, ())


def _in_value(have: Any, want: Any, path: Path) -> Iterator[str]:
    if have is _MISSING or have is None:
        # The server leaves out what is empty, false or zero.
        if want and not _is_empty(want):
            yield ".".join(path)
    elif isinstance(want, Mapping) and isinstance(have, Mapping):
        yield from _in_mapping(have, want, path)
    elif _is_list(want) and _is_list(have):
        yield from _in_list(have, want, path)
    elif want is not None and not _same(have, want, path):
        yield ".".join(path)


def _in_mapping(have: Mapping[str, Any], want: Mapping[str, Any], path: Path) -> Iterator[str]:
    template = path[-1:] == ("volumeClaimTemplates",)
    for key, value in want.items():
        if template and key in _IDENTITY:
            continue
        yield from _in_value(have.get(key, _MISSING), value, (*path, key))


def _in_list(have: Sequence[Any], want: Sequence[Any], path: Path) -> Iterator[str]:
    if path[-1] in _SETS:
        if any(one not in have for one in want):
            yield ".".join(path)
        return
    keys = merge_keys(path)
    if keys is not None:
        found = {key_of(item, keys): item for item in have}
        for item in want:
            key = key_of(item, keys)
            yield from _in_value(found.get(key, _MISSING), item, (*path, "/".join(key)))
        return
    if len(have) != len(want):
        yield ".".join(path)
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
