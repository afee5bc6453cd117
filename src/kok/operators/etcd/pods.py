"""What all pods with etcd in them have in common, and where one answers."""

from __future__ import annotations

import hashlib

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import ApiModel, Manifest
from kok.operators.etcd import naming


def is_ready(pod: Manifest | None) -> bool:
    """Whether the pod passes its readiness probe and is not on its way out."""
    if pod is None or pod["metadata"].get("deletionTimestamp"):
        return False
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def pod_address(pod: Manifest | None) -> str | None:
    """The address of a pod that may answer."""
    if pod is None:
        return None
    status = pod.get("status") or {}
    if status.get("phase") not in {"Pending", "Running"}:
        return None
    return str(status["podIP"]) if status.get("podIP") else None


DATA = "/var/lib/etcd"
"""Where the volume is mounted; the data lies in a directory of etcd's own, mode 0700, below."""
USER = 65532


def short(text: str) -> str:
    """A short hash to tell texts apart."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def placed(obj: EtcdCluster) -> Manifest:
    """The part of a pod that says on which nodes it may run, as far as the spec does."""
    placement, found = obj.spec.placement, Manifest()
    if placement.node_selector:
        found["nodeSelector"] = dict(sorted(placement.node_selector.items()))
    if placement.tolerations:
        found["tolerations"] = [plain(one) for one in placement.tolerations]
    return found


def affinity(obj: EtcdCluster) -> Manifest:
    """Keeps members apart, as far as the spec wants it."""
    placement = obj.spec.placement
    term = {
        "topologyKey": placement.spread,
        "labelSelector": {"matchLabels": naming.pod_labels(obj)},
    }
    if placement.require_spread:
        return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    preferred = {"weight": 100, "podAffinityTerm": term}
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [preferred]}}


def plain(model: ApiModel) -> Manifest:
    """A part of our API that has Kubernetes' own form."""
    return {key: value for key, value in model.manifest().items() if value not in ({}, [], "")}
