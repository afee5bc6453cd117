"""Which members are to be elsewhere, and why. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping

from kok.api.etcd.etcdcluster import EtcdCluster, EtcdMoves
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.operators.etcd import naming
from kok.operators.etcd.etcdcluster.observed.model import Observed

ALL = "all"


def take_request(obj: EtcdCluster) -> bool:
    """Records which members the annotation asks to move; whether there was anything new.

    The members are recorded by name, so that their successors are not moved again. A request ends
    with the annotation; another value of it is another request.
    """
    status = obj.status
    if status.cluster_id is None:
        return False
    wanted = obj.metadata.annotations.get(naming.ANNOTATION_MOVE, "").strip()
    before = status.moves.model_copy(deep=True) if status.moves is not None else None
    there = [member.name for member in status.members if member.state == "Member"]
    if not wanted:
        status.moves = None
    elif status.moves is None or status.moves.request != wanted:
        named = {part.strip() for part in wanted.split(",")}
        chosen = there if named == {ALL} else [name for name in there if name in named]
        status.moves = EtcdMoves(request=wanted, members=chosen)
    if status.moves is not None:
        known = {m.name for m in status.members if m.state in {"Member", "Leaving"}}
        status.moves.members = [name for name in status.moves.members if name in known]
    return status.moves != before


def misfits(obj: EtcdCluster, observed: Observed) -> dict[str, str]:
    """Members that have to give their place to a new one, by name, each with the reason.

    What cannot be known (a node that may not be read) counts as fitting.
    """
    found: dict[str, str] = {}
    crowded = _crowded(obj, observed)
    for member in obj.status.members:
        if member.state not in {"Member", "Leaving"}:
            continue
        name = member.name
        why = _asked(obj, name) or _volume(obj, observed, name) or _node(obj, observed, name)
        if why is None:
            why = crowded.get(name)
        if why is not None:
            found[name] = why
    return found


def _asked(obj: EtcdCluster, name: str) -> str | None:
    moves = obj.status.moves
    if moves is None or name not in moves.members:
        return None
    return f"the annotation {naming.ANNOTATION_MOVE} asks for it"


def _volume(obj: EtcdCluster, observed: Observed, name: str) -> str | None:
    claim = observed.get(kinds.PVC, name)
    if claim is None:
        return None
    if claim["metadata"].get("deletionTimestamp"):
        return (
            f"PersistentVolumeClaim {name} was deleted, and goes as soon as the member is stopped"
        )
    wanted, has = obj.spec.storage.class_name, claim["spec"].get("storageClassName")
    if wanted and has and has != wanted:
        return f"its volume is of StorageClass {has}, and spec.storage.className is {wanted}"
    return None


def _node(obj: EtcdCluster, observed: Observed, name: str) -> str | None:
    labels, node = _labels(observed, name), _node_of(observed, name)
    wanted = obj.spec.placement.node_selector
    if labels is None or all(labels.get(key) == value for key, value in wanted.items()):
        return None
    missing = ", ".join(f"{k}={v}" for k, v in sorted(wanted.items()) if labels.get(k) != v)
    return f"node {node} does not carry {missing}, as spec.placement.nodeSelector wants"


def _crowded(obj: EtcdCluster, observed: Observed) -> dict[str, str]:
    """Members that share what `requireSpread` wants to be different, all but the first of each."""
    if not obj.spec.placement.require_spread:
        return {}
    key = obj.spec.placement.spread
    first: dict[str, str] = {}
    found: dict[str, str] = {}
    for member in obj.status.members:
        value = (_labels(observed, member.name) or {}).get(key)
        if member.state != "Member" or value is None:
            continue
        other = first.setdefault(value, member.name)
        if other != member.name:
            found[member.name] = f"it shares {key}={value} with {other}"
    return found


def _labels(observed: Observed, name: str) -> Mapping[str, str] | None:
    node = _node_of(observed, name)
    return observed.nodes.get(node) if node is not None else None


def _node_of(observed: Observed, name: str) -> str | None:
    pod: Manifest = observed.get(kinds.POD, naming.pod_name(name)) or {}
    return (pod.get("spec") or {}).get("nodeName")
