"""Which objects belong to which, by owner references and labels. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from kok.api.meta import Kind, Manifest, Resource
from kok.api.names import (
    LABEL_MANAGED_BY,
    LABEL_OWNER_KIND,
    LABEL_OWNER_NAME,
    LABEL_OWNER_UID,
    MANAGED_BY,
)

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


def owned_by_label(manifest: Manifest, owner: Resource) -> Manifest:
    """A child's manifest without a reference to its owner; labels tell whose it is.

    For what may have to outlive its owner: in a foreground deletion Kubernetes' garbage collector
    deletes whatever has the deleted object for an owner at once, and waits for no finalizer but its
    own. So nobody but the operator removes it.
    """
    made = owned(manifest, owner)
    meta = {key: value for key, value in made["metadata"].items() if key != "ownerReferences"}
    meta["labels"] = {**meta["labels"], LABEL_OWNER_UID: owner.metadata.uid}
    return {**made, "metadata": meta}


def is_owned_by_label(manifest: Mapping[str, Any], owner: Resource) -> bool:
    """Whether nobody controls the object and its label names this very owner, as `owned_by_label` made it."""
    labels = manifest["metadata"].get("labels") or {}
    return not controlled(manifest) and labels.get(LABEL_OWNER_UID) == owner.metadata.uid


def label_owner(manifest: Mapping[str, Any]) -> tuple[str, str] | None:
    """Kind and name (as a label has it) of the owner of what `owned_by_label` made; None for other objects."""
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


def controlled(live: Mapping[str, Any]) -> bool:
    """Whether an object has a controller, whoever that is."""
    return any(map(controls, live["metadata"].get("ownerReferences") or ()))


def controls(reference: Manifest) -> bool:
    """Whether an owner reference is that of the controller."""
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
        if any(wanted & ((one.get("fieldsV1") or {}).get(part) or {}).keys() for part in DATA)
    }
    if writers:
        return bool(writers - {manager})
    stored = bool(meta.get("uid"))
    return stored and not controlled(live) and label_owner(live) is None


DATA = ("f:data", "f:stringData")


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
