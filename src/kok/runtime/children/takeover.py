"""Whether an object that is there already may be taken for a child. Pure."""

from __future__ import annotations

from kok.api import names
from kok.api.meta import Kind, Manifest, Resource
from kok.kube.objects.ownership import (
    brought,
    is_owned_by_label,
    label_owner,
    owned_by,
    owner_labels,
    refers_to,
)
from kok.runtime.children.rules import ChildRules
from kok.runtime.controller.errors import Invalid, Wait


def is_child(rules: ChildRules, live: Manifest, owner: Resource) -> bool:
    """Whether an object is this very owner's: by its reference, or by labels where it outlives it."""
    return owned_by(live, owner) or (rules.outlives(live, owner) and is_owned_by_label(live, owner))


def check_takeover(rules: ChildRules, kind: Kind, found: Manifest, owner: Resource) -> None:
    """Whether an object of a child's name may be taken over: only if it was this owner's.

    Raises `Invalid` or `Wait` with a sentence that says what to do. An object that nobody controls
    may still be somebody's: what is made by hand, by Helm or by GitOps has no controller. Its
    content would be replaced, and it would be deleted with its new owner.
    """
    if is_child(rules, found, owner):
        return
    meta = found["metadata"]
    name = f"{kind.kind} {meta['namespace']}/{meta['name']}"
    for reference in meta.get("ownerReferences") or ():
        if not reference.get("controller"):
            continue
        if refers_to(reference, owner.info.kind) and reference["name"] == owner.name:
            raise Wait(rules.stale, f"{name} of an earlier {owner} is still being removed", 1.0)
        raise _taken(rules, name, reference["kind"], reference["name"])
    whose = label_owner(found)
    if whose is not None and is_anothers(rules, found, owner):
        raise _taken(rules, name, *whose)
    if not left_behind(rules, found, owner):
        marks = ",".join(f"{key}={value}" for key, value in owner_labels(owner).items())
        raise Wait(
            rules.taken,
            f"{name} exists already and does not belong to {owner}; remove it, or give the "
            f"{owner.info.kind.kind} another name. If it may be overwritten, and deleted with the "
            f"{owner.info.kind.kind}, label it {marks}",
            30.0,
        )


def _taken(rules: ChildRules, name: str, kind: str, called: str) -> Invalid:
    text = f"{name} belongs to {kind} {called}; give one of the two another name"
    return Invalid(rules.taken, text)


def is_anothers(rules: ChildRules, live: Manifest, owner: Resource) -> bool:
    """Whether it was made to outlive an owner of another name: of some, derived names are the same.

    That of an earlier object of the same name is not: it was left behind, or restored. Nor is what
    somebody else wrote, as a copy with all its labels: that is his own.
    """
    marks = owner_labels(owner)
    ours = (marks[names.LABEL_OWNER_KIND], marks[names.LABEL_OWNER_NAME])
    entries = rules.own_entries(live["metadata"]["name"])
    return label_owner(live) not in {None, ours} and not brought(live, rules.manager, entries)


def left_behind(rules: ChildRules, found: Manifest, owner: Resource) -> bool:
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
    # What it says of an object in its status is no sign that it made it.
    wrote = any(
        one.get("manager") == rules.manager and not one.get("subresource")
        for one in meta.get("managedFields") or ()
    )
    return wrote and theirs.items() <= wanted.items()
