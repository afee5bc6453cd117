"""Which objects belong to which: owner references, labels, and removing what is left over."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

from kok.api.meta import Kind, Manifest, Resource
from kok.api.names import (
    ANNOTATION_INTENT,
    LABEL_CLUSTER,
    LABEL_MANAGED_BY,
    LABEL_OWNER_KIND,
    LABEL_OWNER_NAME,
    LABEL_OWNER_UID,
    MANAGED_BY,
)
from kok.kube import kinds
from kok.kube.apply.foreign_fields import WHOLE
from kok.kube.client import Kube
from kok.kube.decoding.strip import slim

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


def held(manifest: Manifest, owner: Resource) -> Manifest:
    """A child's manifest without a reference to its owner; labels tell whose it is.

    For what may have to outlive its owner: in a foreground deletion Kubernetes' garbage collector
    deletes whatever has the deleted object for an owner at once, and waits for no finalizer but its
    own. So nobody but the operator removes it.
    """
    made = owned(manifest, owner)
    meta = {key: value for key, value in made["metadata"].items() if key != "ownerReferences"}
    meta["labels"] = {**meta["labels"], LABEL_OWNER_UID: owner.metadata.uid}
    return {**made, "metadata": meta}


def held_by(manifest: Mapping[str, Any], owner: Resource) -> bool:
    """Whether nobody controls the object and its label names this very owner, as `held` made it."""
    labels = manifest["metadata"].get("labels") or {}
    return not controlled(manifest) and labels.get(LABEL_OWNER_UID) == owner.metadata.uid


def holder(manifest: Mapping[str, Any]) -> tuple[str, str] | None:
    """Kind and name (as a label has it) of the owner of what `held` made; None for other objects."""
    labels = manifest["metadata"].get("labels") or {}
    kind, name, uid = map(labels.get, (LABEL_OWNER_KIND, LABEL_OWNER_NAME, LABEL_OWNER_UID))
    return None if controlled(manifest) or not (kind and name and uid) else (str(kind), str(name))


def owned_by(manifest: Mapping[str, Any], owner: Resource) -> bool:
    """Whether the object's controller is this very owner (by UID, not by name)."""
    return any(
        reference.get("uid") == owner.metadata.uid
        for reference in manifest["metadata"].get("ownerReferences") or ()
        if reference.get("controller")
    )


def refers_to(reference: Mapping[str, Any], kind: Kind) -> bool:
    """Whether an owner is of that very kind: other projects have a Cluster, and an EtcdCluster."""
    group = str(reference.get("apiVersion", "")).partition("/")[0]
    return reference.get("kind") == kind.kind and group == kind.group


SURPLUS = 16
"""Children that are not needed (any more) which one pass looks at; others get their turn later."""
LEAVING = 256
"""The same for a pass that does nothing but remove them."""
_TEXT = 253
"""Characters of a name; longer texts tell nobody anything."""
_TELLING = ("name", "namespace", "uid", "deletionTimestamp", "deletionGracePeriodSeconds")
_MARKS = (LABEL_MANAGED_BY, LABEL_OWNER_KIND, LABEL_OWNER_NAME, LABEL_OWNER_UID, LABEL_CLUSTER)


def reference_to(live: Manifest, labels: Iterable[str] = ()) -> Manifest:
    """Of an object no more than it takes to tell whose it is, and to delete it; about 1 KiB.

    Of its labels those by which KOK finds children, and `labels`.
    """
    meta = live["metadata"]
    theirs = meta.get("labels") or {}
    kept = {key: meta[key] for key in _TELLING if key in meta}
    kept["labels"] = {key: theirs[key] for key in (*_MARKS, *labels) if key in theirs}
    kept["ownerReferences"] = [
        {
            "apiVersion": str(one.get("apiVersion"))[:_TEXT],
            "kind": str(one.get("kind"))[:_TEXT],
            "name": str(one.get("name"))[:_TEXT],
            "uid": str(one.get("uid"))[:_TEXT],
            "controller": True,
        }
        for one in islice(filter(_controls, meta.get("ownerReferences") or ()), 1)
    ]
    return {"apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": kept}


def is_whole(live: Manifest) -> bool:
    """Whether an object with a spec is more than a reference to it."""
    return "spec" in live


def few(
    gist: Callable[[Manifest], Manifest],
    mine: Callable[[Manifest], bool],
    most: int = SURPLUS,
) -> Callable[[Manifest], Manifest]:
    """For `keep` of a list: `gist` of as many as `most` that are `mine`; of others an empty object.

    What is on its way out counts apart: it may stay for ever, and then the rest would never be seen.
    """
    left = {True: most, False: most}

    def keep(live: Manifest) -> Manifest:
        going = bool(live["metadata"].get("deletionTimestamp"))
        if left[going] <= 0 or not mine(live):
            return {}
        left[going] -= 1
        return gist(live)

    return keep


def children_of(
    owner: Resource,
    wanted: Container[str],
    *,
    whole: Callable[[Manifest], Manifest] | None = None,
    gist: Callable[[Manifest], Manifest] = reference_to,
    mine: Callable[[Manifest], bool] | None = None,
    most: int = SURPLUS,
    entries: Container[str] | None = None,
) -> Callable[[Manifest], Manifest]:
    """For `keep` of a list by `owner_labels`: those with a name in `wanted`, as `whole` leaves them
    (see `whole_of`), and of some others that are `mine` a `gist`.

    Theirs are those whose controller is this very owner. Labels and owner of a child can be
    written by anybody: so he who makes thousands of them, and large ones, does not decide what is
    in memory, and what every pass goes through.
    """
    shape = whole or partial(whole_of, owner, entries=entries)
    others = few(gist, mine or (lambda live: owned_by(live, owner)), most)

    def keep(live: Manifest) -> Manifest:
        return shape(live) if live["metadata"]["name"] in wanted else others(live)

    return keep


def whole_of(owner: Resource, live: Manifest, *, entries: Container[str] | None = None) -> Manifest:
    """A child as far as anybody reads it, see `slim`.

    Of the record of who wrote what that is additions to what is ours, see `kok.kube.apply.foreign_fields`, and
    whose an entry of a Secret is, see `brought`.
    """
    live = slim(live, entries)
    meta = live["metadata"]
    if "managedFields" not in meta:
        return live
    kind = kinds.kind_of(live)
    if kind in WHOLE and not (controlled(live) and not owned_by(live, owner)):
        return live
    meta = {key: value for key, value in meta.items() if key != "managedFields"}
    if kind == kinds.SECRET:
        meta["managedFields"] = list(_writers(live))
    return {**live, "metadata": meta}


def _writers(live: Manifest) -> Iterator[Manifest]:
    entries = {f"f:{entry}" for entry in live.get("data") or ()}
    for one in live["metadata"]["managedFields"] or ():
        fields = one.get("fieldsV1") or {}
        theirs = {part: dict.fromkeys(entries & (fields.get(part) or {}).keys()) for part in _DATA}
        if any(theirs.values()):
            yield {"manager": str(one.get("manager"))[:_TEXT], "fieldsV1": theirs}


def controlled(live: Mapping[str, Any]) -> bool:
    """Whether an object has a controller, whoever that is."""
    return any(map(_controls, live["metadata"].get("ownerReferences") or ()))


def _controls(reference: Manifest) -> bool:
    return bool(reference.get("controller"))


def brought(live: Manifest, manager: str, entries: Iterable[str]) -> bool:
    """Whether an entry of a Secret is somebody's own, and not what `manager` made.

    Told by who wrote it, which the API server records: so also one that an earlier version of the
    operator has taken for its own is given back. Where nothing is recorded the owner decides,
    or the label that stands for one.
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
    return stored and not controlled(live) and holder(live) is None


_DATA = ("f:data", "f:stringData")


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
    """Makes what had its owner for a reference into what `held` makes. Raises `KubeError`.

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


def owner_keys(manifest: Manifest, kind: Kind) -> Iterable[tuple[str, str]]:
    """`(namespace, name)` of the owner of that kind: by reference, else by labels."""
    meta = manifest.get("metadata") or {}
    namespace = str(meta.get("namespace") or "")
    for reference in meta.get("ownerReferences") or ():
        if refers_to(reference, kind):
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
