"""Applies a set of objects to a business cluster, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from kok.api.meta import Manifest
from kok.kube.apply.untrusted import apply_untrusted
from kok.kube.client import Kube
from kok.kube.concurrency import all_of
from kok.kube.errors import KubeError, Unreachable, without_traceback
from kok.runtime.controller.errors import ReconcileStop

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Refused:
    """An object that the business cluster did not take."""

    intent: Manifest
    error: KubeError

    def __str__(self) -> str:
        """Object and reason, for a condition."""
        return f"{named(self.intent)}: {self.error.message}"


Keep = Callable[[Manifest, Manifest], T]
"""Told an intent and the live object before that is changed, and as it is in the end; makes of it
what is kept. May raise."""


async def apply_each(
    kube: Kube, intents: Sequence[Manifest], keep: Keep[T], *, fresh: bool = False
) -> list[T | Refused]:
    """Makes the objects as intended; what `keep` makes of each, in order.

    However many there are and however large, nothing else of them is in memory after each one.
    `fresh`: they are believed not to be there, so nothing is read first. Raises `Unreachable`
    if the cluster does not answer, and what `keep` raises.
    """
    return await all_of(_apply_one(kube, intent, keep, fresh) for intent in intents)


async def apply_all(
    kube: Kube, intents: Sequence[Manifest], *, fresh: bool = False
) -> list[Refused]:
    """The same where nothing but what was refused is of interest."""
    done = await apply_each(kube, intents, lambda _intent, _live: None, fresh=fresh)
    return [one for one in done if one is not None]


async def _apply_one(kube: Kube, intent: Manifest, keep: Keep[T], fresh: bool) -> T | Refused:
    try:
        # Whoever is admin there may add to what addons apply; what addons set they keep.
        return await apply_untrusted(kube, intent, partial(keep, intent), fresh=fresh)
    except Unreachable:
        raise
    except KubeError as error:
        return Refused(intent, error)
    except ReconcileStop as stop:
        raise without_traceback(stop) from None


def named(manifest: Manifest) -> str:
    """`Kind namespace/name`, or without namespace."""
    meta = manifest["metadata"]
    place = f"{meta['namespace']}/" if meta.get("namespace") else ""
    return f"{manifest['kind']} {place}{meta['name']}"
