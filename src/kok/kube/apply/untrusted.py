"""Brings an object to a server that is not trusted, and keeps next to nothing of its answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from kok.api.meta import Manifest
from kok.kube.apply.serverside import stamped
from kok.kube.client import Kube
from kok.kube.objects.drift import DIFFERENCES, differences

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Seen(Generic[T]):
    kept: T
    fine: bool
    """Whether nothing has to be done about the object."""


async def apply_untrusted(
    kube: Kube, intent: Manifest, keep: Callable[[Manifest], T], *, fresh: bool = False
) -> T:
    """Makes the object cover the intent, whatever else is in it; what `keep` makes of it then.

    Like `kok.kube.apply.serverside.ensure` it sends nothing that is there already, but of an answer nothing
    is left when the next one is waited for. `keep` is told also of the object as it was, and may
    raise. With `fresh` it is believed not to be there, and not looked at first. Raises `KubeError`.
    """
    want = stamped(intent)

    def look(live: Manifest) -> _Seen[T]:
        known = kube.accepted.get(_uid(live), frozenset())
        going = bool(live["metadata"].get("deletionTimestamp"))
        # What is left to do about one that is being deleted is done once it is gone.
        return _Seen(keep(live), going or all(one in known for one in differences(live, want)))

    def made(live: Manifest) -> T:
        kube.accepted.pop(_uid(live), None)
        # As of `ensure`: what the server itself changes is not fought.
        left = frozenset(islice(differences(live, want), DIFFERENCES))
        if left:
            kube.accepted[_uid(live)] = left
        return keep(live)

    seen = None if fresh else await _now(kube, intent, look)
    if seen is not None and seen.fine:
        return seen.kept
    return made(await kube.apply(want))


async def _now(kube: Kube, intent: Manifest, keep: Callable[[Manifest], T]) -> T | None:
    """What is made of the object as it is now; None if it is not there."""
    kind, meta = await kube.resolve(intent), intent["metadata"]
    live = await kube.get(kind, str(meta["name"]), str(meta.get("namespace") or "default"))
    return None if live is None else keep(live)


def _uid(live: Manifest) -> str:
    return str(live["metadata"].get("uid", ""))
