"""Brings a Cluster's children into the meta cluster, never taking over what is somebody else's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping
from typing import TypeVar
from weakref import WeakValueDictionary

from kok.api import names
from kok.api.meta import Kind, Manifest, Resource
from kok.kube import kinds
from kok.kube.apply.serverside import ensure, stamped
from kok.kube.client import Kube
from kok.kube.errors import AlreadyExists
from kok.kube.objects.ownership import (
    brought,
    held,
    held_by,
    holder,
    loosen,
    owned,
    owned_by,
    owner_labels,
    refers_to,
    whole_of,
)
from kok.operators.cluster import reasons
from kok.operators.cluster.cluster.children import ENTRIES
from kok.operators.cluster.naming import FIELD_MANAGER, key_entries, key_secrets
from kok.runtime.controller.errors import Invalid, Wait

T = TypeVar("T")


async def ensure_children(
    kube: Kube,
    owner: Resource,
    intents: Iterable[Manifest],
    lives: Mapping[tuple[str, str], Manifest],
) -> list[Manifest]:
    """Makes all children as intended, side by side; returns them as they are now.

    `intents` are without owner. All are tried before the first error is raised: `KubeError`,
    `Invalid` for a name that somebody else's object has, `Wait` while an earlier owner's object
    of that name is going.
    """
    return await _ensure_all(kube, owner, intents, lives)


async def make_once(
    kube: Kube,
    owner: Resource,
    intents: Iterable[Manifest],
    lives: Mapping[tuple[str, str], Manifest],
) -> list[Manifest]:
    """`ensure_children` for what cannot be made twice.

    Nothing is written over an object that `lives` does not know: what it holds has to be looked
    at first. `Wait` then, too.
    """
    return await _ensure_all(kube, owner, intents, lives, once=True)


async def _ensure_all(
    kube: Kube,
    owner: Resource,
    intents: Iterable[Manifest],
    lives: Mapping[tuple[str, str], Manifest],
    *,
    once: bool = False,
) -> list[Manifest]:
    wanted = [
        (_child(one, owner), lives.get((one["kind"], one["metadata"]["name"]))) for one in intents
    ]
    return await all_of(
        _kept(owner, _ensure(kube, owner, want, live, once=once)) for want, live in wanted
    )


async def _kept(owner: Resource, work: Awaitable[Manifest]) -> Manifest:
    """An answer has all in it that others hung on the object; a pass would keep it to its end."""
    return whole_of(owner, await work, entries=ENTRIES)


def _child(intent: Manifest, owner: Resource) -> Manifest:
    """Keys have no reference to their owner: those of retained data must not go with it."""
    return held(intent, owner) if _is_key(intent, owner) else owned(intent, owner)


def _is_key(manifest: Manifest, owner: Resource) -> bool:
    secret = manifest["kind"] == kinds.SECRET.kind
    return secret and manifest["metadata"]["name"] in key_secrets(owner.name)


def is_child(live: Manifest, owner: Resource) -> bool:
    """Whether an object is this very owner's. Of a kind that has no keys the reference tells."""
    return owned_by(live, owner) or (_is_key(live, owner) and held_by(live, owner))


async def loosen_keys(kube: Kube, owner: Resource, keys: Iterable[Manifest]) -> list[Manifest]:
    """Takes the owner off keys that earlier releases made with one; returns these as they are now.

    What the garbage collector has asked to go already, nothing keeps. Raises `KubeError`.
    """
    return await all_of(
        _kept(owner, loosen(kube, kinds.SECRET, live, owner))
        for live in keys
        if owned_by(live, owner) and not live["metadata"].get("deletionTimestamp")
    )


async def all_of(works: Iterable[Awaitable[T]]) -> list[T]:
    """Results of all, in order; all are carried through before the first error is raised."""
    results = await asyncio.gather(*works, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return [r for r in results if not isinstance(r, BaseException)]


async def _ensure(
    kube: Kube, owner: Resource, want: Manifest, live: Manifest | None, *, once: bool = False
) -> Manifest:
    if live is not None:
        return (await ensure(kube, want, live))[0]
    kind, meta = await kube.resolve(want), want["metadata"]
    # Two Clusters whose derived names collide are both ours, so that server-side apply sees no
    # conflict between them: whoever comes first makes the object, the other one finds it.
    async with _birth(kind, meta["namespace"], meta["name"]):
        found = await kube.get(kind, meta["name"], meta["namespace"])
        if found is None and not once:
            return await kube.apply(stamped(want), force=False)
        if found is None:
            return await _create(kube, want)
    judge(kind, found, owner)
    if once:
        raise _meanwhile(want)
    return (await ensure(kube, want, found))[0]


async def _create(kube: Kube, want: Manifest) -> Manifest:
    """Unlike an apply this is no merge with what somebody makes at the same moment."""
    try:
        return await kube.create(stamped(want))
    except AlreadyExists as error:
        raise _meanwhile(want) from error


def _meanwhile(want: Manifest) -> Wait:
    meta = want["metadata"]
    where = f"{want['kind']} {meta['namespace']}/{meta['name']}"
    return Wait(reasons.CREATING, f"{where} was made meanwhile; looking again", 0.1)


_births: WeakValueDictionary[tuple[str, str, str], asyncio.Lock] = WeakValueDictionary()


def _birth(kind: Kind, namespace: str, name: str) -> asyncio.Lock:
    """Held while an object of that name is looked for and made."""
    return _births.setdefault((kind.crd_name, namespace, name), asyncio.Lock())


def judge(kind: Kind, found: Manifest, owner: Resource) -> None:
    """Whether an object of a child's name may be taken over: only if it was this owner's. Pure.

    Raises `Invalid` or `Wait` with a sentence that says what to do. An object that nobody controls
    may still be somebody's: what is made by hand, by Helm or by GitOps has no controller. Its
    content would be replaced, and it would be deleted with the Cluster.
    """
    if is_child(found, owner):
        return
    meta = found["metadata"]
    name = f"{kind.kind} {meta['namespace']}/{meta['name']}"
    for reference in meta.get("ownerReferences") or ():
        if not reference.get("controller"):
            continue
        if refers_to(reference, owner.info.kind) and reference["name"] == owner.name:
            raise Wait(
                reasons.STALE_CHILD, f"{name} of an earlier {owner} is still being removed", 1.0
            )
        raise _taken(name, reference["kind"], reference["name"])
    whose = holder(found)
    if whose is not None and is_anothers(found, owner):
        raise _taken(name, *whose)
    if not left_behind(found, owner):
        marks = ",".join(f"{key}={value}" for key, value in owner_labels(owner).items())
        raise Wait(
            reasons.NAME_TAKEN,
            f"{name} exists already and does not belong to {owner}; remove it, or give the "
            f"{owner.info.kind.kind} another name. If it may be overwritten, and deleted with the "
            f"{owner.info.kind.kind}, label it {marks}",
            30.0,
        )


def _taken(name: str, kind: str, called: str) -> Invalid:
    text = f"{name} belongs to {kind} {called}; give one of the two another name"
    return Invalid(reasons.NAME_TAKEN, text)


def is_anothers(live: Manifest, owner: Resource) -> bool:
    """Whether it is the key of a Cluster of another name: of some, derived names are the same.

    That of an earlier object of the same name is not: it was left behind, or restored. Nor is what
    somebody else wrote, as a copy with all its labels: that is his own.
    """
    marks = owner_labels(owner)
    ours = (marks[names.LABEL_OWNER_KIND], marks[names.LABEL_OWNER_NAME])
    entries = key_entries(live["metadata"]["name"])
    return holder(live) not in {None, ours} and not brought(live, FIELD_MANAGER, entries)


def left_behind(found: Manifest, owner: Resource) -> bool:
    """Whether an object without a controller was made for this owner.

    Its labels tell, which deletion without children and restores of the meta cluster's objects
    leave; or the record of who wrote it, if somebody took them off. Where labels name another
    owner, that record may be of what was made for him.
    """
    meta = found["metadata"]
    labels, wanted = meta.get("labels") or {}, owner_labels(owner)
    theirs = {key: labels[key] for key in wanted if key in labels}
    if theirs == wanted:
        return True
    wrote = any(one.get("manager") == FIELD_MANAGER for one in meta.get("managedFields") or ())
    return wrote and theirs.items() <= wanted.items()
