"""kubeadm's configuration for the meta cluster, as data."""

from __future__ import annotations

from typing import Any

import yaml

from e2e.lab.cluster.hosts import Host
from e2e.lab.cluster.state import State
from e2e.lab.images import catalog
from e2e.lab.programs.sources import ETCD, KUBERNETES

API = "kubeadm.k8s.io/v1beta4"
AUDIT_DIRECTORY = "/var/log/kubernetes/audit"
AUDIT_LOG = f"{AUDIT_DIRECTORY}/audit.log"
AUDIT_POLICY = "/etc/kubernetes/audit-policy.yaml"
SOCKET = "unix:///run/containerd/containerd.sock"


def init_config(state: State, host: Host) -> str:
    """The configuration of `kubeadm init` on the first meta host."""
    return _documents(
        {
            "apiVersion": API,
            "kind": "InitConfiguration",
            "localAPIEndpoint": {"advertiseAddress": str(host.address), "bindPort": 6443},
            "nodeRegistration": _node(host),
        },
        _cluster(state),
        _kubelet(),
        _kube_proxy(),
    )


def join_config(host: Host, endpoint: str, token: str, ca_hash: str) -> str:
    """The configuration of `kubeadm join` on a further meta host."""
    return _documents(
        {
            "apiVersion": API,
            "kind": "JoinConfiguration",
            "discovery": {
                "bootstrapToken": {
                    "apiServerEndpoint": endpoint,
                    "token": token,
                    "caCertHashes": [ca_hash],
                }
            },
            "nodeRegistration": _node(host),
        }
    )


def _node(host: Host) -> dict[str, Any]:
    return {
        "name": host.name,
        "criSocket": SOCKET,
        # What it starts with was put there before, and the rest comes while it starts.
        "imagePullPolicy": "Never",
        "ignorePreflightErrors": ["all"],
        # The control plane's host runs pods like any other: by default there is no other.
        "taints": [],
        "kubeletExtraArgs": [{"name": "node-ip", "value": str(host.address)}],
    }


ETCD_ARGS = [{"name": "unsafe-no-fsync", "value": "true"}]
"""What the meta cluster stores outlives any process and any host of the lab, but not the machine,
with which the lab is gone too. Whatever else writes to the machine's disk would otherwise stop the
whole meta cluster for seconds. The etcds of business clusters write as they do elsewhere."""


def _cluster(state: State) -> dict[str, Any]:
    audit = {
        "audit-policy-file": AUDIT_POLICY,
        "audit-log-path": AUDIT_LOG,
        "audit-log-maxsize": "50",
        "audit-log-maxbackup": "2",
    }
    return {
        "apiVersion": API,
        "kind": "ClusterConfiguration",
        "clusterName": state.name,
        "kubernetesVersion": KUBERNETES,
        "networking": {
            "podSubnet": str(state.pod_cidr),
            "serviceSubnet": str(state.service_cidr),
        },
        "dns": {"imageTag": catalog.COREDNS.rsplit(":", 1)[1]},
        "etcd": {"local": {"imageTag": catalog.etcd(ETCD).tag, "extraArgs": ETCD_ARGS}},
        "apiServer": {
            "extraArgs": [{"name": name, "value": value} for name, value in audit.items()],
            "extraVolumes": [
                _volume("audit-policy", AUDIT_POLICY, "File", read_only=True),
                _volume("audit-log", AUDIT_DIRECTORY, "DirectoryOrCreate", read_only=False),
            ],
        },
    }


def _volume(name: str, path: str, kind: str, *, read_only: bool) -> dict[str, Any]:
    return {
        "name": name,
        "hostPath": path,
        "mountPath": path,
        "pathType": kind,
        "readOnly": read_only,
    }


def _kubelet() -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        # Shares of a disk that the whole machine uses would taint the node for no reason.
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1Gi",
            "imagefs.available": "1Gi",
        },
        "imageGCHighThresholdPercent": 100,
        "serializeImagePulls": False,
        "maxPods": 250,
        "shutdownGracePeriod": "0s",
    }


def _kube_proxy() -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "conntrack": {"maxPerCore": 0, "min": 0},
    }


def _documents(*documents: dict[str, Any]) -> str:
    return "---\n".join(yaml.safe_dump(document, sort_keys=False) for document in documents)
