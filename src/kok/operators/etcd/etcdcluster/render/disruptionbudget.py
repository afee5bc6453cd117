"""The PodDisruptionBudget: drains may take one member at a time."""

from __future__ import annotations

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Manifest
from kok.kube.objects.ownership import owned
from kok.operators.etcd import naming


def budget(obj: EtcdCluster, disruptions: int = 1) -> Manifest:
    """One disruption, which every size from 3 on survives; none while there are just two voters.

    A single member may be moved, too: its volume moves or waits with it, and a drain that nobody
    can finish helps no one. A pod that is not ready does not hold up a drain.
    """
    return owned(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": obj.name, "labels": {naming.LABEL_NAME: "etcd"}},
            "spec": {
                "maxUnavailable": disruptions,
                "unhealthyPodEvictionPolicy": "AlwaysAllow",
                "selector": {"matchLabels": naming.pod_labels(obj)},
            },
        },
        obj,
    )
