"""Applies an addon's objects to the business cluster, step by step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from kok.api.cluster.addon import Addon, AppliedObject
from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.kube.concurrency import all_of
from kok.kube.errors import KubeError, NotFound, TooLarge, Unreachable
from kok.operators.cluster import reasons
from kok.operators.cluster.addon.applying.bring import Terms, bring
from kok.operators.cluster.addon.applying.inventory import inventory_entry
from kok.operators.cluster.addon.applying.order import BEFORE_ALL, steps, wave_of
from kok.operators.cluster.addon.health import Lagging, ObjectHealth, missing
from kok.operators.cluster.businesscluster.apply import Refused
from kok.runtime.controller.errors import Wait
from kok.runtime.controller.reasons import ANSWER_TOO_LARGE
from kok.runtime.controller.reconciler import Pass

KIND_LATER = 5.0
"""Seconds until a kind is looked for again that the business cluster does not know yet."""


async def inventory_entries(
    kube: Kube, manifests: Sequence[Manifest], namespace: str = "default"
) -> list[AppliedObject | None]:
    """The inventory's entries of manifests; None for kinds that are not there (yet).

    `namespace` is that of what names none, and of kinds that have one. Raises `Invalid` for a wave
    that is none.
    """
    waves = [wave_of(manifest) for manifest in manifests]
    both = zip(manifests, waves, strict=True)
    return await all_of(_inventory_entry(kube, one, wave, namespace) for one, wave in both)


async def _inventory_entry(
    kube: Kube, manifest: Manifest, wave: int, namespace: str
) -> AppliedObject | None:
    try:
        return inventory_entry(manifest, await kube.resolve(manifest), wave, namespace)
    except NotFound:
        return None


@dataclass(slots=True)
class Installed:
    """How far an addon came, and how its objects are."""

    found: list[ObjectHealth] = field(default_factory=list)
    waits: str | None = None
    """Which wave waits for what is before it, and is not applied; None if all are."""
    fought: str | None = None
    """Who changes what again and again, as a sentence."""
    patience: float = 0.0
    """Seconds after which that is put right again."""
    revision: str = ""
    """Hash of the objects; of a single step of them empty."""


async def install(kube: Kube, manifests: Sequence[Manifest], terms: Terms) -> Installed:
    """Applies all, step by step; a wave waits for the one before unless all were applied once.

    Raises `Wait` for the first that is refused, or that is needed by others and not usable yet, and
    what `bring` raises.
    """
    done = Installed()
    wave: int | None = None
    for step in steps(manifests):
        if wave not in (None, step.wave, BEFORE_ALL) and not terms.settled and missing(done.found):
            done.waits = f"wave {step.wave} waits for what comes before it"
            return done
        wave, before = step.wave, len(done.found)
        for one in await all_of(bring(kube, manifest, terms) for manifest in step.manifests):
            if isinstance(one, Refused):
                raise Wait(reasons.APPLY_FAILED, f"the business cluster refused {one}", KIND_LATER)
            if one.health is not None:
                done.found.append(one.health)
            if one.fought is not None:
                done.fought = done.fought or one.fought
                done.patience = max(done.patience, one.patience)
        if step.needed:
            _require(done.found[before:])
    return done


def _require(found: Sequence[ObjectHealth]) -> None:
    """Raises `Wait` for what other objects need and is not usable."""
    lacking = [one for one in found if isinstance(one, Lagging)]
    if lacking:
        text = f"{missing(lacking)}; the other objects of this Addon wait for that"
        raise Wait(reasons.NOT_ESTABLISHED, text, KIND_LATER)


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
