"""Namespaces and definitions: whoever deletes one deletes all that is in it, or of its kind.

So only those go with an Addon that an Addon made. Others stay, and are released: nothing of KOK's is left
on them. Which is which stands on the object itself from the write on by which it comes into being, so that
whoever dies between two writes leaves no doubt.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from kok.api.cluster.addon import AppliedObject
from kok.api.meta import Kind, Manifest
from kok.api.names import ANNOTATION_MADE_BY
from kok.kube import kinds
from kok.kube.apply.serverside import INTENT
from kok.kube.client import Kube
from kok.kube.errors import AlreadyExists, Conflict
from kok.operators.cluster.naming import FIELD_MANAGER, LABEL_ADDON

_HOLDERS: Final = frozenset(
    (kind.group, kind.kind) for kind in (kinds.NAMESPACE, kinds.CUSTOMRESOURCEDEFINITION)
)
_MANAGERS: Final = 64
"""Records of who wrote what that are looked at."""


def is_holder(one: Manifest | AppliedObject) -> bool:
    """Whether there is more in it than an Addon applied."""
    if isinstance(one, AppliedObject):
        return (one.group, one.kind) in _HOLDERS
    group = str(one["apiVersion"]).rpartition("/")[0]
    return (group, one["kind"]) in _HOLDERS


def is_namespace(manifest: Manifest) -> bool:
    """Whether it is a Namespace."""
    return (manifest["apiVersion"], manifest["kind"]) == ("v1", "Namespace")


def marked(want: Manifest, addon: str) -> Manifest:
    """The same, as it is written when the Addon makes it."""
    meta = want["metadata"]
    notes = {**(meta.get("annotations") or {}), ANNOTATION_MADE_BY: addon}
    return {**want, "metadata": {**meta, "annotations": notes}}


def as_marked(live: Manifest, want: Manifest, addon: str, gone: Collection[str] = ()) -> Manifest:
    """What is to be applied over a live object: the mark of one that this Addon made stays.

    `gone`: Addons that are no more, whose objects this one takes over.
    """
    made_by = _made_by(live)
    if is_holder(want) and made_by is not None and (made_by == addon or made_by in gone):
        return marked(want, addon)
    return want


def was_made(live: Manifest, addon: str) -> bool:
    """Whether the Addon made it. One without any mark was made before there were marks, if nobody
    else ever wrote anything of it."""
    made_by = _made_by(live)
    return made_by == addon if made_by is not None else not wrote_others(live)


def wrote_others(live: Manifest) -> bool:
    """Whether somebody else set anything of it but its status."""
    return any(
        one.get("manager") != FIELD_MANAGER and not one.get("subresource")
        for one in _records(live)[:_MANAGERS]
    )


async def begin(kube: Kube, want: Manifest, addon: str) -> Manifest:
    """What is to be applied in order to make it. Raises `Conflict` where it is there by now.

    A Namespace is made at once, with nothing but its mark: an apply would not tell whether somebody else
    did so a moment before.
    """
    if is_namespace(want):
        about = {"name": want["metadata"]["name"], "labels": {LABEL_ADDON: addon}}
        first = {"apiVersion": want["apiVersion"], "kind": want["kind"], "metadata": about}
        try:
            await kube.create(marked(first, addon))
        except AlreadyExists as error:
            raise Conflict(error.status, error.reason, error.message) from None
    return marked(want, addon)


async def confirmed(kube: Kube, live: Manifest, want: Manifest) -> Manifest:
    """A definition as it is after its first apply: without a mark where somebody else made it meanwhile."""
    meta = want["metadata"]
    notes = dict(meta.get("annotations") or {})
    if is_namespace(want) or notes.pop(ANNOTATION_MADE_BY, None) is None or not wrote_others(live):
        return live
    without = {**want, "metadata": {**meta, "annotations": notes}}
    return await kube.apply(without, force=False)


async def release(kube: Kube, kind: Kind, live: Manifest) -> None:
    """Takes off all that says it was an Addon's; what it is stays. Raises `Conflict`, `NotFound`."""
    meta = live["metadata"]
    others = [one for one in _records(live) if one.get("manager") != FIELD_MANAGER]
    less = {
        "resourceVersion": meta["resourceVersion"],
        "labels": {LABEL_ADDON: None},
        "annotations": {INTENT: None, ANNOTATION_MADE_BY: None},
        # An empty list would count as none given.
        "managedFields": others or [{}],
    }
    await kube.patch(kind, str(meta["name"]), None, {"metadata": less})


def _made_by(live: Manifest) -> str | None:
    found = (live["metadata"].get("annotations") or {}).get(ANNOTATION_MADE_BY)
    return None if found is None else str(found)


def _records(live: Manifest) -> list[Mapping[str, Any]]:
    found = live["metadata"].get("managedFields")
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []
