"""Which objects in a business cluster belong to an Addon. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kok.api.cluster.addon import AppliedObject
from kok.api.meta import Kind, Manifest

_FIRST = ("Namespace", "CustomResourceDefinition", "PriorityClass")
"""Kinds that others need to be there."""


def entry(manifest: Manifest, kind: Kind) -> AppliedObject:
    """The inventory's entry of a manifest."""
    meta = manifest["metadata"]
    return AppliedObject(
        group=kind.group,
        version=kind.version,
        kind=kind.kind,
        plural=kind.plural,
        namespace=str(meta.get("namespace") or "default") if kind.namespaced else "",
        name=str(meta["name"]),
    )


def kind_of_entry(applied: AppliedObject) -> Kind:
    """The kind of an entry: enough to find the object without discovery."""
    return Kind(
        applied.group, applied.version, applied.kind, applied.plural, bool(applied.namespace)
    )


def identity(applied: AppliedObject) -> tuple[str, str, str, str]:
    """What makes two entries the same object: its version does not."""
    return applied.group, applied.kind, applied.namespace, applied.name


def union(known: Iterable[AppliedObject], wanted: Iterable[AppliedObject]) -> list[AppliedObject]:
    """All that is or is about to be there, sorted; the newer version of an entry wins."""
    merged = {identity(a): a for a in [*known, *wanted]}
    return [merged[key] for key in sorted(merged)]


def stale(known: Iterable[AppliedObject], wanted: Iterable[AppliedObject]) -> list[AppliedObject]:
    """What was applied before and is not wanted any more, in the order to remove it."""
    keep = {identity(a) for a in wanted}
    return removal_order([a for a in known if identity(a) not in keep])


def removal_order(entries: Iterable[AppliedObject]) -> list[AppliedObject]:
    """What others live in goes last."""
    return sorted(entries, key=lambda a: (a.kind in _FIRST, identity(a)))


def waves(manifests: Sequence[Manifest]) -> list[list[Manifest]]:
    """In which order to apply: what others need first, then all else at once."""
    first = [m for m in manifests if m["kind"] in _FIRST]
    rest = [m for m in manifests if m["kind"] not in _FIRST]
    return [wave for wave in (first, rest) if wave]
