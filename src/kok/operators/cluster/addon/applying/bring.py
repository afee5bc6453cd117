"""Brings one object of an addon into a business cluster, beside others who write there too.

What is new is made, what was changed is put right, and what is as it should be is not written. Three
things are left to others: fields that `spec.ignore` names, objects that carry another Addon's name, and
fields that another manager set before the object was ours. Who changes ours again and again gets his
way for a while, and is named: two who write against each other would keep the API busy for ever.

Of each answer next to nothing is kept, however many objects there are and however large.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from kok.api.cluster.addon import IgnoredFields
from kok.api.meta import Manifest
from kok.api.printable import plain
from kok.kube.apply.serverside import INTENT, intent_hash
from kok.kube.client import Kube
from kok.kube.errors import Conflict, KubeError, Unreachable, without_traceback
from kok.kube.objects.drift import DIFFERENCES, differences
from kok.operators.cluster import reasons
from kok.operators.cluster.addon.applying.holders import as_marked, begin, confirmed, is_holder
from kok.operators.cluster.addon.applying.ignored import (
    Pointer,
    pointers_for,
    with_values_of,
    without,
)
from kok.operators.cluster.addon.health import ObjectHealth, health_of
from kok.operators.cluster.businesscluster.apply import Refused, named
from kok.operators.cluster.naming import FIELD_MANAGER, LABEL_ADDON
from kok.runtime.controller.errors import Invalid, ReconcileStop, Wait
from kok.runtime.pods.messages import quoted

_NAME = 254
"""Characters of what should be an Addon's name: of any that is too long enough to tell that."""
_SHOWN: Final = 3
"""Managers and fields that a sentence names."""
_MANAGERS: Final = 64
"""Records of who wrote what that are looked at."""
_CONFLICT = re.compile(r'conflicts? with "([^"]{1,128})')
OWNED_LATER: Final = 60.0
"""Seconds until an object that somebody else owns is looked at again."""


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


class ObjectOwned(Wait):
    """An object was there before, and somebody else sets the same fields of it."""

    def __init__(self, intent: Manifest, addon: str, error: Conflict) -> None:
        causes = error.details.get("causes") or ()
        found = {m[1] for one in causes if (m := _CONFLICT.search(one["message"]))}
        fields = [one["field"] for one in causes if one["field"]]
        super().__init__(
            reasons.OBJECT_OWNED,
            f"{named(intent)} was there before, and {_managers(found)} sets {_listed(fields)} of it; "
            f"delete the object, leave it out, name these fields in spec.ignore, or hand it over by "
            f"giving it the label {LABEL_ADDON}={addon}",
            OWNED_LATER,
        )


@dataclass(frozen=True, slots=True)
class Terms:
    """For whom objects are brought, and what is left to others."""

    addon: str
    gone: Collection[str] = ()
    """Addons that are no more, whose objects are taken over."""
    ignored: Sequence[IgnoredFields] = ()
    settled: bool = False
    """All of it was applied once as it is rendered now."""

    def owns(self, intent: Manifest, live: Manifest) -> bool:
        """Whether the object is this Addon's. Raises `ObjectTaken`."""
        other = (live["metadata"].get("labels") or {}).get(LABEL_ADDON)
        if other is not None and other != self.addon and other not in self.gone:
            raise ObjectTaken(intent, other)
        return other is not None


@dataclass(frozen=True, slots=True)
class Brought:
    """What is known of one object afterwards."""

    health: ObjectHealth | None = None
    """None where there is nothing to wait for."""
    fought: str | None = None
    """Who changes what of it again and again, as a sentence."""
    patience: float = 0.0
    """Seconds after which it is put right again."""


@dataclass(slots=True)
class _Seen:
    """What is kept of an object while it is thought about."""

    health: ObjectHealth | None
    ours: bool
    fine: bool
    uid: str
    want: Manifest
    """What is to be sent."""
    drifted: Sequence[str] = ()
    """Fields of what was applied that somebody changed."""
    managers: Sequence[str] = field(default_factory=list)


async def bring(kube: Kube, intent: Manifest, terms: Terms) -> Brought | Refused:
    """Raises `Unreachable`, `ObjectTaken` and `ObjectOwned`."""
    try:
        try:
            return await _bring(kube, intent, terms)
        except Conflict:
            # It was changed since it was looked at.
            return await _bring(kube, intent, terms)
    except Unreachable:
        raise
    except KubeError as error:
        return Refused(intent, error)
    except ReconcileStop as stop:
        raise without_traceback(stop) from None


async def _bring(kube: Kube, intent: Manifest, terms: Terms) -> Brought:
    pointers = pointers_for(intent, terms.ignored)
    seen = await _look(kube, intent, terms, pointers)
    if seen is None:
        if terms.settled and _ends_by_itself(intent):
            return Brought()
        want = _stamped(intent, pointers or ())
        if is_holder(intent):
            want = await begin(kube, want, terms.addon)
        return Brought(await _sent(kube, want, intent, terms, ours=False))
    if seen.fine or pointers is None:
        return Brought(seen.health)
    if seen.drifted and not kube.repairs.allows(seen.uid):
        return _fought(intent, seen, kube.repairs.patience(seen.uid))
    health = await _sent(kube, seen.want, intent, terms, ours=seen.ours)
    patience = kube.repairs.patience(seen.uid) if seen.drifted else 0.0
    return _fought(intent, seen, patience) if patience > 0 else Brought(health)


async def _look(
    kube: Kube, intent: Manifest, terms: Terms, pointers: Sequence[Pointer] | None
) -> _Seen | None:
    """What matters of the object as it is now; None if it is not there."""
    kind, meta = await kube.resolve(intent), intent["metadata"]
    live = await kube.get(kind, str(meta["name"]), str(meta.get("namespace") or "default"))
    return None if live is None else _seen(kube, live, intent, terms, pointers)


def _seen(
    kube: Kube,
    live: Manifest,
    intent: Manifest,
    terms: Terms,
    pointers: Sequence[Pointer] | None,
) -> _Seen:
    ours, meta = terms.owns(intent, live), live["metadata"]
    uid = str(meta.get("uid") or "")
    # What it is was asked for, whatever it says itself.
    health = health_of({**live, **_identity(intent)})
    if meta.get("deletionTimestamp"):
        # What is left to do about it is done once it is gone.
        return _Seen(health, ours, True, uid, intent)
    want = _stamped(intent, pointers or ())
    if ours:
        want = as_marked(live, want, terms.addon, terms.gone)
    if pointers:
        want = with_values_of(live, want, pointers)
        # What was changed meanwhile must not be set back.
        version = {"resourceVersion": meta.get("resourceVersion")}
        want = {**want, "metadata": {**want["metadata"], **version}}
    known = kube.accepted.get(uid, frozenset())
    found = list(islice(_told_apart(live, want, known), DIFFERENCES))
    same = (meta.get("annotations") or {}).get(INTENT) == want["metadata"]["annotations"][INTENT]
    drifted = found if ours and same else ()
    managers = _others(live) if drifted else ()
    return _Seen(health, ours, not found, uid, want, tuple(drifted[:_SHOWN]), managers)


def _told_apart(live: Manifest, want: Manifest, known: Collection[str]) -> Iterator[str]:
    meta = {key: value for key, value in want["metadata"].items() if key != "resourceVersion"}
    return (one for one in differences(live, {**want, "metadata": meta}) if one not in known)


async def _sent(
    kube: Kube, want: Manifest, intent: Manifest, terms: Terms, *, ours: bool
) -> ObjectHealth | None:
    """Applies it; only what is ours already is taken from others."""
    try:
        live = await kube.apply(want, force=ours)
        if not ours and is_holder(want):
            live = await confirmed(kube, live, want)
    except Conflict as error:
        if ours or not error.details.get("causes"):
            raise
        raise ObjectOwned(intent, terms.addon, error) from None
    # What the server itself changes is not fought.
    uid = str(live["metadata"].get("uid") or "")
    kube.accepted.pop(uid, None)
    left = frozenset(islice(_told_apart(live, want, ()), DIFFERENCES))
    if left:
        kube.accepted[uid] = left
    return health_of({**live, **_identity(intent)})


def _stamped(intent: Manifest, pointers: Sequence[Pointer]) -> Manifest:
    """The intent with its own hash, which what is left to others does not change."""
    meta = intent["metadata"]
    notes = {**(meta.get("annotations") or {}), INTENT: intent_hash(without(intent, pointers))}
    return {**intent, "metadata": {**meta, "annotations": notes}}


def _identity(intent: Manifest) -> dict[str, Any]:
    return {"apiVersion": intent["apiVersion"], "kind": intent["kind"]}


def _ends_by_itself(intent: Manifest) -> bool:
    """Whether it goes once it has done its work: made again, it would do that once more."""
    spec = intent.get("spec")
    return (
        intent["kind"] == "Job" and isinstance(spec, Mapping) and "ttlSecondsAfterFinished" in spec
    )


def _fought(intent: Manifest, seen: _Seen, patience: float) -> Brought:
    text = (
        f"{_managers(seen.managers)} changes {_listed(seen.drifted)} of {named(intent)} again and "
        "again, and it is put right only now and then; stop that, or name the fields in spec.ignore"
    )
    return Brought(seen.health, text, patience)


def _others(live: Manifest) -> list[str]:
    """Who wrote last, besides us."""
    records = live["metadata"].get("managedFields")
    found = [
        (str(one.get("time") or "")[:64], str(one.get("manager"))[:128])
        for one in (records if isinstance(records, list) else [])[:_MANAGERS]
        if isinstance(one, Mapping)
        and one.get("manager") != FIELD_MANAGER
        and one.get("subresource") != "status"
    ]
    return list(dict.fromkeys(name for _, name in sorted(found, reverse=True)))[:1]


def _managers(found: Collection[str]) -> str:
    if not found:
        return "somebody"
    return " and ".join(f'"{plain(name)}"' for name in sorted(found)[:_SHOWN])


def _listed(fields: Sequence[str]) -> str:
    shown = ", ".join(plain(one[:64]) for one in fields[:_SHOWN])
    more = len(fields) - _SHOWN
    return (shown or "fields") + (f" and {more} more" if more > 0 else "")
