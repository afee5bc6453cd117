"""Reads an EtcdCluster's children, of which anybody may make lists by the hundred."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import partial

from kok.api import names
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Kind, Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.concurrency import asking
from kok.kube.objects.children import SURPLUS, children_of, reference_to, whole_of
from kok.kube.objects.ownership import owned_by, owner_labels
from kok.kube.objects.pods import pod_gist
from kok.operators.etcd import naming
from kok.operators.etcd.etcdcluster.certificates import trust
from kok.pki import CA_CRT, TLS_CRT, TLS_KEY

CHILD_KINDS = (
    kinds.STATEFULSET,
    kinds.POD,
    kinds.PVC,
    kinds.SECRET,
    kinds.CONFIGMAP,
    kinds.SERVICE,
    kinds.PDB,
    kinds.NETWORKPOLICY,
)


async def read_children(
    obj: EtcdCluster,
    members: Iterable[str],
    kube: Kube,
    *,
    isolated: bool = False,
    most: int = SURPLUS,
    volumes: int,
) -> dict[tuple[str, str], Manifest]:
    """All children by label, and whatever else has a name that a child is to have.

    `isolated` tells whether NetworkPolicies are among the latter; `most`, how many without such a
    name are looked at of each kind, and of them no more than whose they are; `volumes`, of how many
    volumes of members that are not known, if that is more.
    """
    labels, members = owner_labels(obj), tuple(members)
    named = expected(obj, members)
    keeps = {
        kind: known(kind, obj, named, max(most, volumes) if kind == kinds.PVC else most)
        for kind in CHILD_KINDS
    }
    async with asking() as group:
        found = [
            group.create_task(kube.list(kind, obj.namespace, labels=labels, keep=keep))
            for kind, keep in keeps.items()
        ]
    children = {
        (kind.kind, str(item["metadata"]["name"])): item
        for kind, items in zip(CHILD_KINDS, found, strict=True)
        for item in items.result()
        if item
    }
    missing = [
        (kind, name)
        for kind, name in named
        if (kind.kind, name) not in children and (isolated or kind != kinds.NETWORKPOLICY)
    ]
    async with asking() as group:
        others = [
            group.create_task(kube.get(kind, name, obj.namespace, keep=stranger(kind, obj)))
            for kind, name in missing
        ]
    for (kind, name), one in zip(missing, others, strict=True):
        if (other := one.result()) is not None:
            children[kind.kind, name] = other
    return children


def expected(obj: EtcdCluster, members: Iterable[str]) -> list[tuple[Kind, str]]:
    """Kind and name of every child that we make."""
    next_ca = [naming.next_ca_secret(obj.name)] if trust.under_way(obj.status) else []
    return [
        *((kinds.SECRET, name) for name in (names.etcd_ca_secret(obj.name), *next_ca)),
        *((kinds.SECRET, name) for name in naming.leaf_secrets(obj.name)),
        (kinds.CONFIGMAP, naming.start_map(obj.name)),
        (kinds.SERVICE, naming.peer_service(obj.name)),
        (kinds.SERVICE, names.etcd_client_service(obj.name)),
        (kinds.PDB, obj.name),
        (kinds.NETWORKPOLICY, obj.name),
        (kinds.NETWORKPOLICY, naming.workers_policy(obj.name)),
        *((kind, name) for name in members for kind in (kinds.PVC, kinds.STATEFULSET)),
    ]


ENTRIES = frozenset({CA_CRT, TLS_CRT, TLS_KEY})
"""Entries of children's Secrets that are read; those of keys from a backup are others'."""


def known(
    kind: Kind, obj: EtcdCluster, named: Collection[tuple[Kind, str]], most: int
) -> Callable[[Manifest], Manifest]:
    """For `keep` of a list of a kind: what is expected by name, and enough of `most` others to tell
    whose they are, and to remove them.
    """
    mine = {name for of, name in named if of == kind}
    members = {name for of, name in named if of == kinds.STATEFULSET} | set(_earlier(obj))
    if kind == kinds.POD:
        # Their owners are StatefulSets. What only has our labels goes as well.
        pods = {naming.pod_name(name) for name in members}
        return children_of(obj, pods, whole=_POD, gist=_member, mine=lambda _: True, most=most)
    if kind == kinds.PVC:
        return children_of(
            obj,
            members,
            gist=_volume,
            mine=partial(_counts, obj),
            most=most,
        )
    if kind == kinds.STATEFULSET:
        return children_of(obj, members, gist=_member, most=most)
    if kind == kinds.SECRET:
        mine |= {naming.next_ca_secret(obj.name), names.etcd_keys_secret(obj.name)}
        return children_of(obj, mine, most=most, entries=ENTRIES)
    return children_of(obj, mine, most=most)


def stranger(kind: Kind, obj: EtcdCluster) -> Callable[[Manifest], Manifest]:
    """For `keep` of what has a name of ours without being marked as ours."""
    entries = ENTRIES if kind == kinds.SECRET else None
    return partial(whole_of, obj, entries=entries)


_member = partial(reference_to, labels=(naming.LABEL_MEMBER,))
_POD = pod_gist(
    (naming.LABEL_MEMBER, naming.LABEL_WORKER),
    (naming.ANNOTATION_CA, naming.ANNOTATION_SETTINGS, naming.ANNOTATION_NUDGED),
)


def _counts(obj: EtcdCluster, claim: Manifest) -> bool:
    """Whether a volume that is no known member's is to be seen: those of an earlier EtcdCluster and
    of one whose status was lost; at the end those that are yet to be removed, or to be freed.
    """
    meta = claim["metadata"]
    if not obj.deleting:
        return naming.number_of(obj.name, meta["name"]) is not None or owned_by(claim, obj)
    label = (meta.get("labels") or {}).get(naming.LABEL_OWNER_UID)
    ours = owned_by(claim, obj) or label == obj.metadata.uid
    free = obj.spec.deletion_policy == "Retain" and not meta.get("ownerReferences")
    return ours and not free


def _earlier(obj: EtcdCluster) -> tuple[str, ...]:
    """Members whose volumes a restore keeps until it is through, and the one that it fills."""
    restore = obj.status.restore
    return () if restore is None else (*restore.before, restore.member or "")


def _volume(claim: Manifest) -> Manifest:
    """A volume as far as it tells whose data it holds, and how large it is."""
    meta, spec, status = claim["metadata"], claim.get("spec") or {}, claim.get("status") or {}
    found = reference_to(claim, (naming.LABEL_MEMBER, naming.LABEL_OWNER_UID))
    theirs = meta.get("annotations") or {}
    notes = {key: str(theirs[key])[:_NOTE] for key in _NOTES if key in theirs}
    found["metadata"]["annotations"] = notes
    if meta.get("ownerReferences") and not found["metadata"]["ownerReferences"]:
        # Whoever it is, the garbage collector minds him.
        found["metadata"]["ownerReferences"] = [{"controller": False}]
    asked = (spec.get("resources") or {}).get("requests") or {}
    found["spec"] = {"resources": {"requests": {k: asked[k] for k in _SIZE if k in asked}}}
    if "storageClassName" in spec:
        found["spec"]["storageClassName"] = spec["storageClassName"]
    room = status.get("capacity") or {}
    found["status"] = {
        "phase": status.get("phase"),
        "capacity": {k: room[k] for k in _SIZE if k in room},
    }
    return found


_NOTE = 253
_NOTES = (
    naming.ANNOTATION_CLUSTER_ID,
    naming.ANNOTATION_MEMBER_ID,
    naming.ANNOTATION_VERSION,
    naming.ANNOTATION_FENCED,
)
_SIZE = ("storage",)
