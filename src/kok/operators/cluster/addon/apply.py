"""Applies an addon's objects to the business cluster, and removes what is left over."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from kok.api.cluster.addon import Addon, AppliedObject
from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.concurrency import all_of
from kok.kube.errors import Conflict, KubeError, NotFound, TooLarge, Unreachable
from kok.operators.cluster import reasons
from kok.operators.cluster.addon.health import Workload, workload_of
from kok.operators.cluster.businesscluster.apply import Refused, apply_each, named
from kok.operators.cluster.naming import LABEL_ADDON
from kok.runtime.controller.errors import Invalid, Wait
from kok.runtime.controller.reasons import ANSWER_TOO_LARGE
from kok.runtime.controller.reconciler import Pass
from kok.runtime.pods.messages import quoted

_NAME = 254
"""Characters of what should be an Addon's name: of any that is too long enough to tell that."""
KIND_LATER = 5.0
"""Seconds until a kind is looked for again that the business cluster does not know yet."""


async def inventory_entries(
    kube: Kube, manifests: Sequence[Manifest], namespace: str = "default"
) -> list[AppliedObject | None]:
    """The inventory's entries of manifests; None for kinds that are not there (yet).

    `namespace` is that of what names none, and of kinds that have one.
    """
    return await all_of(_inventory_entry(kube, manifest, namespace) for manifest in manifests)


async def _inventory_entry(kube: Kube, manifest: Manifest, namespace: str) -> AppliedObject | None:
    try:
        return inventory_entry(manifest, await kube.resolve(manifest), namespace)
    except NotFound:
        return None


class ObjectTaken(Invalid):
    """An object carries the name of another Addon."""

    def __init__(self, intent: Manifest, other: str) -> None:
        super().__init__(
            reasons.OBJECT_TAKEN,
            f"{named(intent)} already belongs to Addon {quoted(other)}; leave it out of one of the "
            "two",
        )
        self.other = other[:_NAME]
        """Cut: as long as a server likes, and kept once for each object until the last has come."""


async def install(
    kube: Kube, manifests: Sequence[Manifest], addon: str, gone: Collection[str] = ()
) -> list[Workload]:
    """Applies all in waves; the workloads among them, as they are now.

    Raises `Wait` for the first that is refused, `Taken` for one that another Addon applies, unless
    that is known to be `gone`.
    """

    def keep(intent: Manifest, live: Manifest) -> Workload | None:
        other = (live["metadata"].get("labels") or {}).get(LABEL_ADDON)
        if other is not None and other != addon and other not in gone:
            raise ObjectTaken(intent, other)
        # What it is was asked for, whatever it says itself.
        return workload_of({**live, "kind": intent["kind"]})

    done: list[Workload] = []
    for wave in apply_waves(manifests):
        for result in await apply_each(kube, wave, keep):
            if isinstance(result, Refused):
                raise Wait(
                    reasons.APPLY_FAILED, f"the business cluster refused {result}", KIND_LATER
                )
            if result is not None:
                done.append(result)
    return done


@dataclass(frozen=True, slots=True)
class _LiveObject:
    """What matters of an object that is to go."""

    uid: str
    ours: bool
    going: bool
    held: bool
    """By finalizers."""


async def remove(kube: Kube, gone: Sequence[AppliedObject], addon: str) -> list[AppliedObject]:
    """Asks for the removal of objects; those that are still there.

    What carries another Addon's label by now, or none, is not ours any more and is left alone.
    """
    left = await all_of(_remove(kube, applied, addon) for applied in gone)
    return [applied for applied, there in zip(gone, left, strict=True) if there]


async def _remove(kube: Kube, applied: AppliedObject, addon: str) -> bool:
    kind = kind_of_entry(applied)
    try:
        found = await _look(kube, applied, addon)
    except NotFound:
        # No such kind: gone with its definition, or not served yet by a young API server.
        return await kube.get(kinds.CUSTOMRESOURCEDEFINITION, kind.crd_name) is not None
    if found is None or not found.ours or found.going:
        return found is not None and found.ours
    try:
        await kube.delete(kind, applied.name, applied.namespace or None, uid=found.uid)
    except Conflict:
        return True
    return found.held


async def _look(kube: Kube, applied: AppliedObject, addon: str) -> _LiveObject | None:
    live = await kube.get(kind_of_entry(applied), applied.name, applied.namespace or None)
    if live is None:
        return None
    meta = live["metadata"]
    return _LiveObject(
        uid=str(meta.get("uid") or ""),
        ours=(meta.get("labels") or {}).get(LABEL_ADDON) == addon,
        going=bool(meta.get("deletionTimestamp")),
        held=bool(meta.get("finalizers")),
    )


_FIRST = ("Namespace", "CustomResourceDefinition", "PriorityClass")
"""Kinds that others need to be there."""


def inventory_entry(manifest: Manifest, kind: Kind, namespace: str = "default") -> AppliedObject:
    """The inventory's entry of a manifest; `namespace` is that of one that names none."""
    meta = manifest["metadata"]
    return AppliedObject(
        group=kind.group,
        version=kind.version,
        kind=kind.kind,
        plural=kind.plural,
        namespace=str(meta.get("namespace") or namespace) if kind.namespaced else "",
        name=str(meta["name"]),
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
    """What was applied before and is not wanted any more, in the order to remove it."""
    keep = {entry_identity(a) for a in wanted}
    return removal_order([a for a in known if entry_identity(a) not in keep])


def removal_order(inventory_entries: Iterable[AppliedObject]) -> list[AppliedObject]:
    """What others live in goes last."""
    return sorted(inventory_entries, key=lambda a: (a.kind in _FIRST, entry_identity(a)))


def apply_waves(manifests: Sequence[Manifest]) -> list[list[Manifest]]:
    """In which order to apply: what others need first, then all else at once."""
    first = [m for m in manifests if m["kind"] in _FIRST]
    rest = [m for m in manifests if m["kind"] not in _FIRST]
    return [wave for wave in (first, rest) if wave]


@contextmanager
def unreachable_as_wait(p: Pass[Addon]) -> Iterator[None]:
    """A business cluster that is away is no error of ours.

    The Cluster's own condition says so, and wakes us when it is back.
    """
    try:
        yield
    except KubeError as error:
        reason = reasons.APPLY_FAILED
        if isinstance(error, Unreachable):
            large = isinstance(error, TooLarge)
            reason = ANSWER_TOO_LARGE if large else reasons.CLUSTER_UNREACHABLE
        text = f"Cluster {p.obj.namespace}/{p.obj.spec.cluster} {error.told}"
        raise Wait(reason, text, 10.0) from error
