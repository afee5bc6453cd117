"""What is kept of an owner's children in memory: anybody can make them by the thousand. Pure."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from functools import partial
from itertools import islice

from kok.api.meta import Manifest, Resource
from kok.api.names import (
    LABEL_CLUSTER,
    LABEL_MANAGED_BY,
    LABEL_OWNER_KIND,
    LABEL_OWNER_NAME,
    LABEL_OWNER_UID,
)
from kok.kube import kinds
from kok.kube.decoding.strip import slim
from kok.kube.objects.foreign_fields import WHOLE
from kok.kube.objects.ownership import DATA, controlled, controls, owned_by

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
        for one in islice(filter(controls, meta.get("ownerReferences") or ()), 1)
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

    Of the record of who wrote what that is additions to what is ours, see `kok.kube.objects.foreign_fields`, and
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
        theirs = {part: dict.fromkeys(entries & (fields.get(part) or {}).keys()) for part in DATA}
        if any(theirs.values()):
            yield {"manager": str(one.get("manager"))[:_TEXT], "fieldsV1": theirs}
