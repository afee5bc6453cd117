"""Applies an addon's objects to the business cluster, and removes what is left over."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from kok.api.addon import AppliedObject
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import Conflict, NotFound
from kok.operators.cluster import reasons
from kok.operators.cluster.addons.inventory import entry, kind_of_entry, waves
from kok.operators.cluster.business.applying import Refused, bring, named
from kok.operators.cluster.children import all_of
from kok.operators.cluster.parts import LABEL_ADDON
from kok.runtime.errors import Invalid, Wait

KIND_LATER = 5.0
"""Seconds until a kind is looked for again that the business cluster does not know yet."""


async def entries(kube: Kube, manifests: Sequence[Manifest]) -> list[AppliedObject | None]:
    """The inventory's entries of manifests; None for kinds that are not there (yet)."""
    return await all_of(_entry(kube, manifest) for manifest in manifests)


async def _entry(kube: Kube, manifest: Manifest) -> AppliedObject | None:
    try:
        return entry(manifest, await kube.resolve(manifest))
    except NotFound:
        return None


class Taken(Invalid):
    """An object carries the name of another Addon."""

    def __init__(self, live: Manifest, other: str) -> None:
        super().__init__(
            reasons.OBJECT_TAKEN,
            f"{named(live)} already belongs to Addon {other}; leave it out of one of the two",
        )
        self.other = other


async def install(
    kube: Kube, manifests: Sequence[Manifest], addon: str, gone: Collection[str] = ()
) -> list[Manifest]:
    """Applies all in waves; the live objects.

    Raises `Wait` for the first that is refused, `Taken` for one that another Addon applies, unless
    that is known to be `gone`.
    """

    def keep_off(live: Manifest) -> None:
        other = (live["metadata"].get("labels") or {}).get(LABEL_ADDON)
        if other is not None and other != addon and other not in gone:
            raise Taken(live, other)

    done: list[Manifest] = []
    for wave in waves(manifests):
        results = await bring(kube, wave, veto=keep_off)
        for result in results:
            if isinstance(result, Refused):
                raise Wait(
                    reasons.APPLY_FAILED, f"the business cluster refused {result}", KIND_LATER
                )
            done.append(result)
    return done


async def remove(kube: Kube, gone: Sequence[AppliedObject], addon: str) -> list[AppliedObject]:
    """Asks for the removal of objects; those that are still there.

    What carries another Addon's label by now, or none, is not ours any more and is left alone.
    """
    left = await all_of(_remove(kube, applied, addon) for applied in gone)
    return [applied for applied, there in zip(gone, left, strict=True) if there]


async def _remove(kube: Kube, applied: AppliedObject, addon: str) -> bool:
    kind = kind_of_entry(applied)
    try:
        live = await kube.get(kind, applied.name, applied.namespace or None)
    except NotFound:
        # No such kind: gone with its definition, or not served yet by a young API server.
        return await kube.get(kinds.CUSTOMRESOURCEDEFINITION, kind.crd_name) is not None
    if live is None:
        return False
    meta = live["metadata"]
    if (meta.get("labels") or {}).get(LABEL_ADDON) != addon:
        return False
    if meta.get("deletionTimestamp"):
        return True
    try:
        await kube.delete(kind, applied.name, applied.namespace or None, uid=meta["uid"])
    except Conflict:
        return True
    return bool(meta.get("finalizers"))
