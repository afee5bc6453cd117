"""The ConfigMap that tells each member how to start if it finds no data.

It is read anew whenever a container starts, also within the same pod. So from the moment a member
is known to have started, no restart of any kind can make it begin as an empty new member, and yet
its pod template never has to change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Manifest
from kok.kube.objects.ownership import owned
from kok.operators.etcd import naming

NOBODY = "a-member-that-lost-its-data-must-not-start=https://127.0.0.1:1"
"""A list without the member itself: etcd refuses it at once, whatever other members say."""


@dataclass(frozen=True, slots=True)
class Start:
    """How a member starts if it finds its volume empty.

    With `seed`, the names of all members that form a new cluster together, it takes part in that.
    With `existing`, names and peer URLs of all members that etcd lists, itself among them, it
    joins these. Without either it refuses to start: it was a member before, and without its data
    it would confirm what it does not have.
    """

    seed: tuple[str, ...] = ()
    existing: tuple[tuple[str, str], ...] = ()


def start_map(obj: EtcdCluster, starts: Mapping[str, Start | None]) -> Manifest:
    """`starts` by member name. etcd ignores all of it where it finds data.

    For None nothing is said, and the kubelet does not start the container without it.
    """
    data: dict[str, str] = {}
    for member, start in sorted(starts.items()):
        if start is None:
            continue
        cluster, state = NOBODY, "existing"
        if start.seed:
            cluster = naming.initial_cluster(obj.name, obj.namespace, start.seed)
            state = "new"
        elif start.existing:
            cluster = ",".join(f"{name}={url}" for name, url in start.existing)
        data[cluster_key(member)], data[state_key(member)] = cluster, state
    return owned(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": naming.start_map(obj.name),
                "labels": {naming.LABEL_NAME: "etcd"},
            },
            "data": data,
        },
        obj,
    )


def cluster_key(member: str) -> str:
    """Key of a member's `--initial-cluster`."""
    return f"{member}.initial-cluster"


def state_key(member: str) -> str:
    """Key of a member's `--initial-cluster-state`."""
    return f"{member}.initial-cluster-state"
