"""The PersistentVolumeClaim of a member, made once in the member's life."""

from __future__ import annotations

from dataclasses import dataclass

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Manifest
from kok.kube.objects.ownership import owned_by_label
from kok.operators.etcd import naming


@dataclass(frozen=True, slots=True)
class VolumeNotes:
    """What is written on a volume for a later EtcdCluster that finds it retained."""

    cluster_id: str | None = None
    member_id: str | None = None
    version: str | None = None
    """The version that wrote it; that of the spec if nobody told."""
    fenced: bool = False
    """Whether another member goes on alone, as a cluster beside which this one must not start."""


def volume(
    obj: EtcdCluster, member: str, facts: VolumeNotes, live: Manifest | None, *, grow: bool = False
) -> Manifest:
    """Without an owner, whatever `deletionPolicy` says: by foreground deletion of the EtcdCluster the
    garbage collector removes all that has it for an owner, and waits for no finalizer. What is to go
    is deleted by our own (`delete`, `members.cleanup`); whose it is its labels tell.

    `live` is the claim as it is: what cannot change any more, or was enlarged by hand, is left so.
    With `grow` it is enlarged to what the spec says.
    """
    wants = _spec(obj)
    if live is not None:
        asks = {"resources": wants["resources"]} if grow else {}
        wants = {**_kept(live), **asks}
    notes = {
        naming.ANNOTATION_CLUSTER_ID: facts.cluster_id,
        naming.ANNOTATION_MEMBER_ID: facts.member_id,
        naming.ANNOTATION_VERSION: (facts.version or obj.spec.version)
        if facts.cluster_id
        else None,
        naming.ANNOTATION_FENCED: "true" if facts.fenced else None,
    }
    return owned_by_label(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": member,
                "labels": {
                    naming.LABEL_NAME: "etcd",
                    naming.LABEL_MEMBER: member,
                },
                "annotations": {key: value for key, value in notes.items() if value},
            },
            "spec": wants,
        },
        obj,
    )


def _spec(obj: EtcdCluster) -> Manifest:
    storage = obj.spec.storage
    spec: Manifest = {
        "accessModes": ["ReadWriteOnce"],
        "volumeMode": "Filesystem",
        "resources": {"requests": {"storage": storage.size}},
    }
    if storage.class_name:
        spec["storageClassName"] = storage.class_name
    return spec


def _kept(live: Manifest) -> Manifest:
    kept = ("accessModes", "volumeMode", "resources", "storageClassName")
    return {key: live["spec"][key] for key in kept if key in live["spec"]}
