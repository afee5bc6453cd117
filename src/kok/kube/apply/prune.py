"""Children that are not wanted any more, and those that belong to nobody of ours."""

from __future__ import annotations

from collections.abc import Iterable

from kok.api.meta import Kind, Manifest, Resource
from kok.api.names import ANNOTATION_INTENT, LABEL_CLUSTER, LABEL_OWNER_UID
from kok.kube.client import Kube
from kok.kube.objects.children import few, reference_to
from kok.kube.objects.ownership import owned_by, owner_labels


async def prune(
    kube: Kube,
    kind: Kind,
    owner: Resource,
    keep: Iterable[str],
    lives: Iterable[Manifest] | None = None,
) -> list[str]:
    """Deletes the owner's objects of a kind whose names are not in `keep`; returns their names.

    `lives` are the children as already read; otherwise they are listed by the owner's labels, and
    some of them deleted: the others when it is called again.
    Only objects whose controller is this very owner are touched.
    """
    kept = set(keep)
    if lives is None:
        mine = few(reference_to, lambda m: m["metadata"]["name"] not in kept and owned_by(m, owner))
        found = await kube.list(kind, owner.namespace, labels=owner_labels(owner), keep=mine)
        lives = filter(None, found)
    gone: list[str] = []
    for live in lives:
        meta = live["metadata"]
        if meta["name"] in kept or meta.get("deletionTimestamp") or not owned_by(live, owner):
            continue
        if await kube.delete(kind, meta["name"], meta.get("namespace"), uid=meta["uid"]):
            gone.append(meta["name"])
    return gone


async def release(kube: Kube, kind: Kind, live: Manifest, owner: Resource) -> Manifest:
    """Gives back what is somebody's own: without its owner it outlives it, and nobody's label
    says otherwise. Raises `KubeError`.
    """
    meta = live["metadata"]
    others = [r for r in meta.get("ownerReferences") or () if r["uid"] != owner.metadata.uid]
    marks = [*owner_labels(owner), LABEL_OWNER_UID, LABEL_CLUSTER]
    patch = {
        "resourceVersion": meta["resourceVersion"],
        "ownerReferences": others or None,
        "labels": dict.fromkeys(marks),
        "annotations": {ANNOTATION_INTENT: None},
    }
    return await kube.patch(kind, meta["name"], meta["namespace"], {"metadata": patch})


async def loosen(kube: Kube, kind: Kind, live: Manifest, owner: Resource) -> Manifest:
    """Makes what had its owner for a reference into what `owned_by_label` makes. Raises `KubeError`.

    An apply would not do: it takes away only what was applied, and not what was created.
    """
    meta = live["metadata"]
    others = [r for r in meta.get("ownerReferences") or () if r.get("uid") != owner.metadata.uid]
    patch = {
        "resourceVersion": meta["resourceVersion"],
        "ownerReferences": others or None,
        "labels": {**owner_labels(owner), LABEL_OWNER_UID: owner.metadata.uid},
    }
    return await kube.patch(kind, meta["name"], meta["namespace"], {"metadata": patch})
