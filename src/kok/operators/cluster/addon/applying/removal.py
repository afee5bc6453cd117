"""Removes what an addon applied from the business cluster, the other way round."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from kok.api.cluster.addon import AppliedObject
from kok.api.meta import Kind
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.concurrency import all_of
from kok.kube.errors import Conflict, NotFound
from kok.operators.cluster.addon.applying.holders import is_holder, release, was_made
from kok.operators.cluster.addon.applying.inventory import kind_of_entry
from kok.operators.cluster.addon.applying.order import removal_steps
from kok.operators.cluster.naming import LABEL_ADDON

_NAMED = 5
"""Objects that a sentence names."""
_KEEP = ("helm.sh/resource-policy", "keep")
"""The annotation by which charts have an object outlive them."""


@dataclass(frozen=True, slots=True)
class _LiveObject:
    """What matters of an object that is to go."""

    uid: str
    ours: bool
    going: bool
    held: bool
    """By finalizers."""


@dataclass(slots=True)
class Removed:
    """How far a removal came."""

    left: list[AppliedObject] = field(default_factory=list)
    """What is still there."""
    released: list[AppliedObject] = field(default_factory=list)
    """What was there before, and stays."""

    @property
    def told(self) -> str:
        """Of what was released, as a sentence."""
        named = ", ".join(f"{one.kind} {one.name}" for one in self.released[:_NAMED])
        more = len(self.released) - _NAMED
        named += f" and {more} more" if more > 0 else ""
        return f"{named}: there before this Addon, and left as it is with all that is in it"


async def remove(kube: Kube, gone: Sequence[AppliedObject], addon: str, *, due: int = 1) -> Removed:
    """Asks for the removal of objects, the last ones that were applied first.

    Of the steps that this takes, one waits for the one before, but for as many as are `due`: these
    are begun whatever holds the others up. What carries another Addon's label by now, or none, is not
    ours any more and is left alone. Namespaces and definitions that no Addon made are released.
    """
    done = Removed()
    for number, step in enumerate(removal_steps(gone)):
        if done.left and number >= due:
            done.left += step
            continue
        there = await all_of(_remove(kube, applied, addon, done) for applied in step)
        done.left += [applied for applied, still in zip(step, there, strict=True) if still]
    return done


async def _remove(kube: Kube, applied: AppliedObject, addon: str, done: Removed) -> bool:
    """Whether it is still there to be removed."""
    kind = kind_of_entry(applied)
    try:
        return await _remove_as(kube, applied, kind, addon, done)
    except NotFound:
        # Versions come and go, by upgrades or in a definition; the object is the same in each.
        other = await kube.other_version(kind)
    try:
        if other is not None:
            return await _remove_as(kube, applied, other, addon, done)
    except NotFound:
        return True
    # No such kind: gone with its definition, or not served yet by a young API server.
    return await kube.get(kinds.CUSTOMRESOURCEDEFINITION, kind.crd_name) is not None


async def _remove_as(
    kube: Kube, applied: AppliedObject, kind: Kind, addon: str, done: Removed
) -> bool:
    """The same, by one version of its kind. Raises `NotFound` for one that is not served."""
    try:
        if is_holder(applied) and await _released(kube, applied, kind, addon):
            done.released.append(applied)
            return False
        found = await _look(kube, applied, kind, addon)
    except Conflict:
        return True
    if found is None or not found.ours:
        return False
    if not found.going:
        try:
            await kube.delete(kind, applied.name, applied.namespace or None, uid=found.uid)
        except Conflict:
            return True
    # A Namespace goes by itself, however long that takes: what was applied in it is gone already.
    return found.held or kind == kinds.POD


async def _released(kube: Kube, applied: AppliedObject, kind: Kind, addon: str) -> bool:
    """Whether it was there before this Addon; then nothing of it is left there."""
    live = await kube.get(kind, applied.name)
    if live is None or (live["metadata"].get("labels") or {}).get(LABEL_ADDON) != addon:
        return False
    if was_made(live, addon) or live["metadata"].get("deletionTimestamp"):
        return False
    await release(kube, kind, live)
    return True


async def _look(kube: Kube, applied: AppliedObject, kind: Kind, addon: str) -> _LiveObject | None:
    live = await kube.get(kind, applied.name, applied.namespace or None)
    if live is None:
        return None
    meta = live["metadata"]
    name, value = _KEEP
    kept = (meta.get("annotations") or {}).get(name) == value
    return _LiveObject(
        uid=str(meta.get("uid") or ""),
        ours=(meta.get("labels") or {}).get(LABEL_ADDON) == addon and not kept,
        going=bool(meta.get("deletionTimestamp")),
        held=bool(meta.get("finalizers")),
    )
