"""What may be made, what must not, and what stands in the way. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

from kok.api import names
from kok.api.etcdcluster import EtcdCluster, EtcdClusterStatus
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.ownership import owned_by
from kok.operators.etcd import layout, reasons
from kok.operators.etcd.observe import World, expected
from kok.operators.etcd.render import Facts, Start
from kok.versions import UnknownVersion, check_etcd_upgrade, etcd


@dataclass(frozen=True, slots=True)
class Problem:
    """What stands in the way: a reason of `reasons` and a sentence that says what to do."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Adoption:
    """Retained volumes that the user wants to go on with: cluster ID, and member IDs by name."""

    cluster_id: str
    member_ids: dict[str, str]


def members_of(obj: EtcdCluster) -> tuple[str, ...]:
    """The members that there are, once recorded; until then those that there will be."""
    if obj.status.seed is not None and obj.status.members:
        return tuple(member.name for member in obj.status.members)
    return layout.member_names(obj.name, obj.spec.members)


def seed_of(status: EtcdClusterStatus) -> tuple[str, ...]:
    """The recorded members that form the cluster together."""
    return tuple(status.seed.split(",")) if status.seed else ()


# --- what stands in the way


def obstacle(obj: EtcdCluster, world: World) -> Problem | Adoption | None:
    """Why nothing may be made for now, or what has to be recorded before anything is."""
    try:
        etcd(obj.spec.version)
    except UnknownVersion as error:
        return Problem(reasons.UNSUPPORTED_VERSION, f"spec.version: {error}")
    if obj.status.seed is not None:
        return None
    found = leftovers(obj, world)
    if found is not None:
        return found
    return name_problem(obj, world)


def leftovers(obj: EtcdCluster, world: World) -> Problem | Adoption | None:
    """What an earlier EtcdCluster of this name left: never built upon unless asked to."""
    old = [
        claim
        for claim in world.all(kinds.PVC)
        if _is_leftover(claim, obj) and _has_our_labels(claim["metadata"], obj)
    ]
    if not old:
        return None
    if any(_is_going(claim) for claim in old):
        text = (
            f"the volumes of an earlier EtcdCluster {obj.name} are still being removed "
            f"({_list(old)}); new ones can take their names only then"
        )
        return Problem(reasons.VOLUMES_TERMINATING, text)
    ids = {_note(claim, layout.ANNOTATION_CLUSTER_ID) for claim in old}
    wanted = obj.metadata.annotations.get(layout.ANNOTATION_ADOPT, "").strip().lower()
    cluster_id = next(iter(ids)) if len(ids) == 1 else None
    if cluster_id is None:
        text = (
            f"volumes are left of earlier EtcdClusters {obj.name} ({_list(old)}), but not of one "
            "formed cluster; delete them, or choose another name"
        )
        return Problem(reasons.RETAINED_VOLUMES, text)
    if wanted != cluster_id:
        but = f"; {layout.ANNOTATION_ADOPT}={wanted} is not their cluster ID" if wanted else ""
        text = (
            f"the data of an earlier EtcdCluster {obj.name} was retained ({_list(old)}){but}. To "
            f"go on with it, annotate the EtcdCluster with {layout.ANNOTATION_ADOPT}={cluster_id}; "
            "to start empty, delete these volumes or choose another name"
        )
        return Problem(reasons.RETAINED_VOLUMES, text)
    return _adopt(obj, old, cluster_id)


def _adopt(obj: EtcdCluster, old: list[Manifest], cluster_id: str) -> Problem | Adoption:
    ids = {
        str(claim["metadata"]["name"]): _note(claim, layout.ANNOTATION_MEMBER_ID) for claim in old
    }
    wanted = set(layout.member_names(obj.name, obj.spec.members))
    if set(ids) != wanted or not all(ids.values()):
        text = (
            f"the retained volumes are {_list(old)}, but spec.members: {obj.spec.members} needs "
            f"exactly {', '.join(sorted(wanted))}, each of a member that had started; create the "
            "EtcdCluster with as many members as there were"
        )
        return Problem(reasons.RETAINED_VOLUMES, text)
    for claim in old:
        version = _note(claim, layout.ANNOTATION_VERSION) or obj.spec.version
        problem = check_etcd_upgrade(version, obj.spec.version)
        if problem is not None:
            text = f"the retained volumes were written by etcd {version}: {problem}"
            return Problem(reasons.RETAINED_VOLUMES, text)
    return Adoption(cluster_id, {name: one for name, one in ids.items() if one})


def taken(obj: EtcdCluster, world: World) -> list[tuple[str, str]]:
    """Kinds and names that we need and that objects have which are not ours."""
    return [
        (kind.kind, name)
        for kind, name in expected(obj, members_of(obj))
        if (live := world.get(kind, name)) is not None and not is_ours(live, obj)
    ]


def is_ours(live: Manifest, obj: EtcdCluster) -> bool:
    """Whether an object of a name that we need belongs to this very EtcdCluster.

    One without an owner does if it carries our labels, or if it is the recorded CA put back by
    hand (whether it really is the recorded one is judged by its fingerprint).
    """
    if owned_by(live, obj):
        return True
    meta = live["metadata"]
    if any(reference.get("controller") for reference in meta.get("ownerReferences") or ()):
        return False
    if live["kind"] == kinds.PVC.kind:
        return not _is_leftover(live, obj) or (
            obj.status.cluster_id is not None
            and _note(live, layout.ANNOTATION_CLUSTER_ID) == obj.status.cluster_id
        )
    ca = live["kind"] == kinds.SECRET.kind and meta["name"] == names.etcd_ca_secret(obj.name)
    return _has_our_labels(meta, obj) or (ca and obj.status.ca_fingerprint is not None)


def name_problem(obj: EtcdCluster, world: World) -> Problem | None:
    """The sentence for names that are taken, if any are."""
    others = taken(obj, world)
    if not others:
        return None
    listed = ", ".join(f"{kind} {name}" for kind, name in others)
    old = all(
        any(
            r.get("kind") == obj.info.kind.kind and r.get("name") == obj.name
            for r in world.children[key]["metadata"].get("ownerReferences") or ()
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
    return Problem(reasons.NAME_TAKEN, text)


# --- what each member is and may


def has_started(obj: EtcdCluster, world: World, member: str) -> bool:
    """Whether a member was ever seen taking part, by our record or by the note on its volume."""
    recorded = next((m for m in obj.status.members if m.name == member), None)
    if recorded is not None and recorded.id is not None:
        return True
    claim = world.get(kinds.PVC, member)
    return (
        claim is not None
        and is_ours(claim, obj)
        and _note(claim, layout.ANNOTATION_MEMBER_ID) is not None
    )


def volume_is_gone(obj: EtcdCluster, world: World, member: str) -> bool:
    """Whether a member had a volume and has none any more.

    Volumes are made before StatefulSets: where there is a StatefulSet, there was a volume. It is
    never made anew, not even in the doubtful case that the member never started: an empty member
    that once confirmed a write would make others forget it.
    """
    if world.get(kinds.PVC, member) is not None:
        return False
    return has_started(obj, world, member) or world.get(kinds.STATEFULSET, member) is not None


def start_of(obj: EtcdCluster, world: World, member: str) -> Start:
    """What the member's pod may do with an empty volume."""
    if has_started(obj, world, member) or volume_is_gone(obj, world, member):
        return Start()
    seed = seed_of(obj.status)
    return Start(seed if member in seed else ())


def facts_of(status: EtcdClusterStatus, member: str) -> Facts:
    """What is to be noted on a member's volume."""
    recorded = next((m for m in status.members if m.name == member), None)
    started = recorded is not None and recorded.id is not None
    return Facts(status.cluster_id, recorded.id) if recorded and started else Facts()


def pods_with_another_ca(world: World) -> list[Manifest]:
    """Pods that trust another CA than their StatefulSet now says; etcd reads its CA once."""
    stale: list[Manifest] = []
    for pod in world.all(kinds.POD):
        member = (pod["metadata"].get("labels") or {}).get(layout.LABEL_MEMBER, "")
        owner = world.get(kinds.STATEFULSET, member)
        if owner is None or pod["metadata"].get("deletionTimestamp"):
            continue
        has = _note(pod, layout.ANNOTATION_CA)
        wants = _note(owner["spec"]["template"], layout.ANNOTATION_CA)
        if has and wants and has != wants:
            stale.append(pod)
    return stale


def pods_with_other_settings(world: World) -> list[str]:
    """Names of pods that were made from an earlier template."""
    stale: list[str] = []
    for pod in world.all(kinds.POD):
        member = (pod["metadata"].get("labels") or {}).get(layout.LABEL_MEMBER, "")
        owner = world.get(kinds.STATEFULSET, member)
        if owner is None:
            continue
        has = _note(pod, layout.ANNOTATION_SETTINGS)
        wants = _note(owner["spec"]["template"], layout.ANNOTATION_SETTINGS)
        if has and wants and has != wants:
            stale.append(str(pod["metadata"]["name"]))
    return stale


def _is_leftover(claim: Manifest, obj: EtcdCluster) -> bool:
    labels = claim["metadata"].get("labels") or {}
    return bool(labels.get(layout.LABEL_OWNER_UID) != obj.metadata.uid)


def _is_going(claim: Manifest) -> bool:
    """Being removed, or owned by an EtcdCluster that is no more: the garbage collector's next."""
    meta = claim["metadata"]
    return bool(meta.get("deletionTimestamp") or meta.get("ownerReferences"))


def _has_our_labels(meta: Manifest, obj: EtcdCluster) -> bool:
    labels = meta.get("labels") or {}
    return (
        labels.get(names.LABEL_OWNER_KIND) == obj.info.kind.kind
        and labels.get(names.LABEL_OWNER_NAME) == obj.name
    )


def _note(manifest: Manifest, key: str) -> str | None:
    value = ((manifest.get("metadata") or {}).get("annotations") or {}).get(key)
    return str(value) if value else None


def _list(claims: list[Manifest]) -> str:
    found = sorted(str(claim["metadata"]["name"]) for claim in claims)
    return f"PersistentVolumeClaim{'s' if len(found) > 1 else ''} {', '.join(found)}"
