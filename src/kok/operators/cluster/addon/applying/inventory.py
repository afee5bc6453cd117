"""What of an addon is in the business cluster, as its status records it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from kok.api.cluster.addon import AppliedObject
from kok.api.meta import Kind, Manifest


def inventory_entry(
    manifest: Manifest, kind: Kind, wave: int = 0, namespace: str = "default"
) -> AppliedObject:
    """The inventory's entry of a manifest; `namespace` is that of one that names none."""
    meta = manifest["metadata"]
    return AppliedObject(
        group=kind.group,
        version=kind.version,
        kind=kind.kind,
        plural=kind.plural,
        namespace=str(meta.get("namespace") or namespace) if kind.namespaced else "",
        name=str(meta["name"]),
        wave=wave,
    )


def in_namespace(manifest: Manifest, entry: AppliedObject) -> Manifest:
    """The manifest with the namespace that its entry says; `default` goes without saying."""
    meta = manifest["metadata"]
    if entry.namespace in {"", "default"} or meta.get("namespace"):
        return manifest
    return {**manifest, "metadata": {**meta, "namespace": entry.namespace}}


def kind_of_entry(applied: AppliedObject) -> Kind:
    """The kind of an entry: enough to find the object without discovery."""
    return Kind(
        applied.group, applied.version, applied.kind, applied.plural, bool(applied.namespace)
    )


def entry_identity(applied: AppliedObject) -> tuple[str, str, str, str]:
    """What makes two entries the same object: its version does not."""
    return applied.group, applied.kind, applied.namespace, applied.name


def merge_inventory(
    known: Iterable[AppliedObject], wanted: Iterable[AppliedObject]
) -> list[AppliedObject]:
    """All that is or is about to be there, sorted; the newer version of an entry wins."""
    merged = {entry_identity(a): a for a in [*known, *wanted]}
    return [merged[key] for key in sorted(merged)]


def stale_entries(
    known: Iterable[AppliedObject], wanted: Iterable[AppliedObject]
) -> list[AppliedObject]:
    """What was applied before and is not wanted any more."""
    keep = {entry_identity(a) for a in wanted}
    return [a for a in known if entry_identity(a) not in keep]
