"""What stands in the way of an EtcdCluster: earlier ones' volumes, names that others have, what the
administrator of the meta cluster does not allow. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.objects.ownership import refers_to
from kok.operators.etcd import naming, reasons
from kok.operators.etcd.etcdcluster.members.roles import (
    has_our_labels,
    is_fenced,
    is_leftover,
    is_ours,
    members_of,
    note,
)
from kok.operators.etcd.etcdcluster.observed.children import expected
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.runtime.policy import (
    Policies,
    wrong_image,
    wrong_selector,
    wrong_toleration,
    wrong_url,
)
from kok.versions import UnknownVersion, check_etcd_upgrade, etcd


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What stands in the way: a reason of `reasons` and a sentence that says what to do."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Adoption:
    """Retained volumes that the user wants to go on with: cluster ID, and member IDs by name."""

    cluster_id: str
    member_ids: dict[str, str]


def obstacle(obj: EtcdCluster, observed: Observed) -> Obstacle | Adoption | None:
    """Why nothing may be made for now, or what has to be recorded before anything is."""
    try:
        etcd(obj.spec.version)
    except UnknownVersion as error:
        return Obstacle(reasons.UNSUPPORTED_VERSION, f"spec.version: {error}")
    if obj.status.seed is not None:
        return None
    return forgotten(obj, observed) or leftovers(obj, observed) or names_taken(obj, observed)


def forgotten(obj: EtcdCluster, observed: Observed) -> Obstacle | Adoption | None:
    """What our own volumes tell where the status was lost: which members there are.

    To take it for a new cluster would form one of empty members beside those that hold the data:
    members that were replaced do not have the names that a new cluster's have.
    """
    ours = [
        claim
        for claim in observed.all(kinds.PVC)
        if not is_leftover(claim, obj) and has_our_labels(claim["metadata"], obj)
        if not claim["metadata"].get("deletionTimestamp") and not is_fenced(claim)
    ]
    ids = {
        str(claim["metadata"]["name"]): note(claim, naming.ANNOTATION_MEMBER_ID) for claim in ours
    }
    known = {name: one for name, one in ids.items() if one}
    clusters = {one for claim in ours if (one := note(claim, naming.ANNOTATION_CLUSTER_ID))}
    if not known or not clusters:
        return None
    if len(clusters) == 1:
        return Adoption(clusters.pop(), known)
    text = (
        f"{_list(ours)} hold data of several etcd clusters ({', '.join(sorted(clusters))}); delete "
        "those that do not belong to this EtcdCluster"
    )
    return Obstacle(reasons.RETAINED_VOLUMES, text)


def leftovers(obj: EtcdCluster, observed: Observed) -> Obstacle | Adoption | None:
    """What an earlier EtcdCluster of this name left: never built upon unless asked to."""
    old = [
        claim
        for claim in observed.all(kinds.PVC)
        if is_leftover(claim, obj) and has_our_labels(claim["metadata"], obj)
    ]
    if not old:
        return None
    if any(_is_going(claim) for claim in old):
        text = (
            f"the volumes of an earlier EtcdCluster {obj.name} are still being removed "
            f"({_list(old)}); new ones can take their names only then"
        )
        return Obstacle(reasons.VOLUMES_TERMINATING, text)
    # Beside the one that went on alone these would be a second cluster of the same ID.
    out = [claim for claim in old if is_fenced(claim)]
    old = [claim for claim in old if claim not in out] or old
    ids = {note(claim, naming.ANNOTATION_CLUSTER_ID) for claim in old}
    wanted = obj.metadata.annotations.get(naming.ANNOTATION_ADOPT, "").strip().lower()
    cluster_id = next(iter(ids)) if len(ids) == 1 else None
    if cluster_id is None:
        text = (
            f"volumes are left of earlier EtcdClusters {obj.name} ({_list(old)}), but not of one "
            "formed cluster; delete them, or choose another name"
        )
        return Obstacle(reasons.RETAINED_VOLUMES, text)
    if wanted != cluster_id:
        but = f"; {naming.ANNOTATION_ADOPT}={wanted} is not their cluster ID" if wanted else ""
        text = (
            f"the data of an earlier EtcdCluster {obj.name} was retained ({_list(old)}){but}. To "
            f"go on with it, annotate the EtcdCluster with {naming.ANNOTATION_ADOPT}={cluster_id}; "
            "to start empty, delete these volumes or choose another name"
        )
        return Obstacle(reasons.RETAINED_VOLUMES, text)
    return _adopt(obj, old, cluster_id, out)


def _adopt(
    obj: EtcdCluster, old: list[Manifest], cluster_id: str, out: list[Manifest]
) -> Obstacle | Adoption:
    ids = {
        str(claim["metadata"]["name"]): note(claim, naming.ANNOTATION_MEMBER_ID) for claim in old
    }
    if len(ids) != obj.spec.members or not all(ids.values()):
        text = (
            f"the retained volumes are {_list(old)}, but spec.members: {obj.spec.members} needs "
            f"exactly {obj.spec.members}, each of a member that had started; create the "
            "EtcdCluster with as many members as there were"
        )
        if out:
            text = f"{text}. {_list(out)} do not count: without them one member went on alone"
        return Obstacle(reasons.RETAINED_VOLUMES, text)
    for claim in old:
        version = note(claim, naming.ANNOTATION_VERSION) or obj.spec.version
        problem = check_etcd_upgrade(version, obj.spec.version)
        if problem is not None:
            text = f"the retained volumes were written by etcd {version}: {problem}"
            return Obstacle(reasons.RETAINED_VOLUMES, text)
    return Adoption(cluster_id, {name: one for name, one in ids.items() if one})


def taken(obj: EtcdCluster, observed: Observed) -> list[tuple[str, str]]:
    """Kinds and names that we need and that objects have which are not ours."""
    return [
        (kind.kind, name)
        for kind, name in expected(obj, members_of(obj))
        if (live := observed.get(kind, name)) is not None and not is_ours(live, obj)
    ]


def names_taken(obj: EtcdCluster, observed: Observed) -> Obstacle | None:
    """The sentence for names that are taken, if any are."""
    others = taken(obj, observed)
    if not others:
        return None
    listed = ", ".join(f"{kind} {name}" for kind, name in others)
    old = all(
        any(
            refers_to(r, obj.info.kind) and r.get("name") == obj.name
            for r in observed.children[key]["metadata"].get("ownerReferences") or ()
        )
        for key in others
    )
    if old:
        text = f"{listed} of an earlier EtcdCluster {obj.name} are still being removed"
    else:
        text = (
            f"{listed} in namespace {obj.namespace} exist already and do not belong to this "
            "EtcdCluster; remove them or choose another name for the EtcdCluster"
        )
    return Obstacle(reasons.NAME_TAKEN, text)


def _is_going(claim: Manifest) -> bool:
    """Being removed, or owned by an EtcdCluster that is no more: the garbage collector's next."""
    meta = claim["metadata"]
    return bool(meta.get("deletionTimestamp") or meta.get("ownerReferences"))


def _list(claims: list[Manifest]) -> str:
    found = sorted(str(claim["metadata"]["name"]) for claim in claims)
    return f"PersistentVolumeClaim{'s' if len(found) > 1 else ''} {', '.join(found)}"


def judge(obj: EtcdCluster, observed: Observed, policies: Policies) -> Obstacle | Adoption | None:
    """What stands in the way: what `obstacle` finds, else the first field that is not allowed."""
    found = obstacle(obj, observed)
    if isinstance(found, Obstacle):
        return found
    forbidden = _forbidden(obj, policies)
    return Obstacle(reasons.FORBIDDEN_BY_POLICY, forbidden) if forbidden else found


def _forbidden(obj: EtcdCluster, policies: Policies) -> str | None:
    spec, field = obj.spec, "spec.placement"
    store = spec.backup.store.s3 if spec.backup is not None else None
    return (
        wrong_image(
            policies, etcd(spec.version).image(spec.images.registry), "spec.images.registry"
        )
        or wrong_selector(policies, spec.placement.node_selector, f"{field}.nodeSelector")
        or wrong_toleration(policies, spec.placement.tolerations, f"{field}.tolerations")
        or (wrong_url(policies, store.endpoint, "spec.backup.store.s3.endpoint") if store else None)
    )
