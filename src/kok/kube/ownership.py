"""Which objects belong to which: owner references, labels, and removing what is left over."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterable, Mapping

from kok.api.meta import Kind, Manifest, Resource
from kok.api.names import (
    ANNOTATION_INTENT,
    LABEL_CLUSTER,
    LABEL_MANAGED_BY,
    LABEL_OWNER_KIND,
    LABEL_OWNER_NAME,
    MANAGED_BY,
)
from kok.kube.client import Kube

MAX_LABEL = 63


def owner_reference(owner: Resource, *, block: bool = True) -> Manifest:
    """The `metadata.ownerReferences` entry that ties a child's life to its controller."""
    return {
        "apiVersion": owner.info.kind.api_version,
        "kind": owner.info.kind.kind,
        "name": owner.name,
        "uid": owner.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": block,
    }


def label_value(name: str) -> str:
    """A name as a label value: itself, or cut and hashed where it is longer than 63 characters."""
    if len(name) <= MAX_LABEL:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:10]
    return f"{name[: MAX_LABEL - 11].rstrip('-._')}-{digest}"


def owner_labels(owner: Resource) -> dict[str, str]:
    """The labels by which an operator watches and finds the children of an object."""
    return {
        LABEL_MANAGED_BY: MANAGED_BY,
        LABEL_OWNER_KIND: owner.info.kind.kind,
        LABEL_OWNER_NAME: label_value(owner.name),
    }


def owned(manifest: Manifest, owner: Resource) -> Manifest:
    """A child's manifest with its owner's labels and reference added, in the owner's namespace."""
    meta = manifest["metadata"]
    return {
        **manifest,
        "metadata": {
            "namespace": owner.namespace,
            **meta,
            "labels": {**(meta.get("labels") or {}), **owner_labels(owner)},
            "ownerReferences": [owner_reference(owner)],
        },
    }


def owned_by(manifest: Manifest, owner: Resource) -> bool:
    """Whether the object's controller is this very owner (by UID, not by name)."""
    return any(
        reference.get("uid") == owner.metadata.uid
        for reference in manifest["metadata"].get("ownerReferences") or ()
        if reference.get("controller")
    )


SURPLUS = 16
"""Children that are not needed (any more) which one pass looks at; others get their turn later."""


def children_of(owner: Resource, wanted: Container[str]) -> Callable[[Manifest], Manifest]:
    """For `keep` of a list: those with a name in `wanted` and some others whose controller is this
    very owner; of any more nothing, an empty object, is kept.

    Labels and owner of a child can be written by anybody: so he who makes thousands of them does
    not decide what is in memory, and what every pass goes through.
    """
    left = SURPLUS

    def keep(live: Manifest) -> Manifest:
        nonlocal left
        if live["metadata"]["name"] in wanted:
            return live
        if left == 0 or not owned_by(live, owner):
            return {}
        left -= 1
        return live

    return keep


def brought(live: Manifest, manager: str, entries: Iterable[str]) -> bool:
    """Whether an entry of a Secret is somebody's own, and not what `manager` made.

    Told by who wrote it, which the API server records: so also one that an earlier version of the
    operator has taken for its own is given back. Where nothing is recorded the owner decides.
    """
    meta, wanted = live["metadata"], {f"f:{entry}" for entry in entries}
    writers = {
        str(one.get("manager"))
        for one in meta.get("managedFields") or ()
        if any(wanted & ((one.get("fieldsV1") or {}).get(part) or {}).keys() for part in _DATA)
    }
    if writers:
        return bool(writers - {manager})
    stored = bool(meta.get("uid"))
    return stored and not any(r.get("controller") for r in meta.get("ownerReferences") or ())


_DATA = ("f:data", "f:stringData")


async def release(kube: Kube, kind: Kind, live: Manifest, owner: Resource) -> Manifest:
    """Gives back what is somebody's own: without its owner it outlives it, and nobody's label
    says otherwise. Raises `KubeError`.
    """
    meta = live["metadata"]
    others = [r for r in meta.get("ownerReferences") or () if r["uid"] != owner.metadata.uid]
    marks = [*owner_labels(owner), LABEL_CLUSTER]
    patch = {
        "resourceVersion": meta["resourceVersion"],
        "ownerReferences": others or None,
        "labels": dict.fromkeys(marks),
        "annotations": {ANNOTATION_INTENT: None},
    }
    return await kube.patch(kind, meta["name"], meta["namespace"], {"metadata": patch})


def owner_keys(manifest: Manifest, kind: Kind) -> Iterable[tuple[str, str]]:
    """`(namespace, name)` of the owner of that kind: by reference, else by labels."""
    meta = manifest.get("metadata") or {}
    namespace = str(meta.get("namespace") or "")
    for reference in meta.get("ownerReferences") or ():
        group = str(reference.get("apiVersion", "")).partition("/")[0]
        if reference.get("kind") == kind.kind and group == kind.group:
            return [(namespace, str(reference["name"]))]
    labels: Mapping[str, str] = meta.get("labels") or {}
    name = labels.get(LABEL_OWNER_NAME)
    return [(namespace, name)] if name and labels.get(LABEL_OWNER_KIND) == kind.kind else []


async def prune(
    kube: Kube,
    kind: Kind,
    owner: Resource,
    keep: Iterable[str],
    lives: Iterable[Manifest] | None = None,
) -> list[str]:
    """Deletes the owner's objects of a kind whose names are not in `keep`; returns their names.

    `lives` are the children as already read; otherwise they are listed by the owner's labels.
    Only objects whose controller is this very owner are touched.
    """
    if lives is None:
        lives = await kube.list(kind, owner.namespace, labels=owner_labels(owner))
    kept = set(keep)
    gone: list[str] = []
    for live in lives:
        meta = live["metadata"]
        if meta["name"] in kept or meta.get("deletionTimestamp") or not owned_by(live, owner):
            continue
        if await kube.delete(kind, meta["name"], meta.get("namespace"), uid=meta["uid"]):
            gone.append(meta["name"])
    return gone
