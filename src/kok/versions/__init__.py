"""What KOK knows of Kubernetes and etcd versions: one data file and its look-up.

`kubernetes("1.37.1")` and `etcd("3.6.10")` give the facts of a version or raise `UnknownVersion`
with a sentence for the user. `check_*` judge combinations and return a sentence or None.
The CEL rules of `kok.api` say the same already at `kubectl apply`.
"""

from kok.versions.errors import UnknownVersion
from kok.versions.kubeletfields import kube_proxy_config_problem, kubelet_config_problem
from kok.versions.models import RemovedAPI
from kok.versions.number import Minor, Version, is_above, parse, parsed
from kok.versions.policy import (
    check_etcd,
    check_etcd_upgrade,
    check_feature_gate,
    check_flag,
    check_skew,
    check_upgrade,
    next_step,
    removed_apis,
)
from kok.versions.releases import (
    EtcdRelease,
    KubernetesRelease,
    default_etcd,
    etcd,
    etcd_minors,
    image,
    kubernetes,
    kubernetes_minors,
    supported,
    supported_etcd,
)

__all__ = [
    "EtcdRelease",
    "KubernetesRelease",
    "Minor",
    "RemovedAPI",
    "UnknownVersion",
    "Version",
    "check_etcd",
    "check_etcd_upgrade",
    "check_feature_gate",
    "check_flag",
    "check_skew",
    "check_upgrade",
    "default_etcd",
    "etcd",
    "etcd_minors",
    "image",
    "is_above",
    "kube_proxy_config_problem",
    "kubelet_config_problem",
    "kubernetes",
    "kubernetes_minors",
    "next_step",
    "parse",
    "parsed",
    "removed_apis",
    "supported",
    "supported_etcd",
]
