"""Applies a set of objects to a business cluster, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kok.api.meta import Manifest
from kok.kube.apply import ensure, stamped
from kok.kube.client import Kube
from kok.kube.errors import KubeError, Unreachable
from kok.operators.cluster.children import all_of


@dataclass(frozen=True, slots=True)
class Refused:
    """An object that the business cluster did not take."""

    intent: Manifest
    error: KubeError

    def __str__(self) -> str:
        """Object and reason, for a condition."""
        return f"{named(self.intent)}: {self.error.message}"


Veto = Callable[[Manifest], None]
"""Told a live object before it is changed; may raise."""


async def bring(
    kube: Kube, intents: Sequence[Manifest], *, fresh: bool = False, veto: Veto | None = None
) -> list[Manifest | Refused]:
    """Makes the objects as intended; one result each, in order.

    `fresh`: they are believed not to be there, so nothing is read first. Raises `Unreachable`
    if the cluster does not answer, and what `veto` raises.
    """
    return await all_of(_bring(kube, intent, fresh, veto) for intent in intents)


async def _bring(
    kube: Kube, intent: Manifest, fresh: bool, veto: Veto | None
) -> Manifest | Refused:
    try:
        if fresh:
            return await kube.apply(stamped(intent))
        live = await kube.get(await kube.resolve(intent), *_where(intent))
        if live is not None and veto is not None:
            veto(live)
        # Whoever is admin there may add to what addons apply; what addons set they keep.
        return (await ensure(kube, intent, live, whole=False))[0]
    except Unreachable:
        raise
    except KubeError as error:
        return Refused(intent, error)


def _where(intent: Manifest) -> tuple[str, str | None]:
    meta = intent["metadata"]
    return str(meta["name"]), meta.get("namespace") or "default"


def named(manifest: Manifest) -> str:
    """`Kind namespace/name`, or without namespace."""
    meta = manifest["metadata"]
    place = f"{meta['namespace']}/" if meta.get("namespace") else ""
    return f"{manifest['kind']} {place}{meta['name']}"
