"""What every business cluster needs inside before a node can join: pure rendering.

The set that kubeadm makes, under kubeadm's names, so that `kubeadm join` works as well as the
machine operator; and the EndpointSlice of the `kubernetes` Service.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kok import versions
from kok.api.cluster import podrange
from kok.api.meta import Manifest
from kok.api.names import MACHINE_BOOTSTRAPPERS
from kok.operators.cluster.businesscluster import rbac
from kok.operators.cluster.cluster.pki.credentials import ADMINS, KUBELET_CLIENT
from kok.operators.cluster.cluster.spec.resolved import ResolvedCluster
from kok.operators.cluster.endpoint import Endpoint
from kok.pki import dump_yaml, encode

RBAC = "rbac.authorization.k8s.io"
SYSTEM, PUBLIC = "kube-system", "kube-public"
JOINING = "system:bootstrappers:kubeadm:default-node-token"
NODES = "system:nodes"
ANONYMOUS = "system:anonymous"


@dataclass(frozen=True, slots=True)
class BootstrapInputs:
    """What the objects depend on."""

    resolved: ResolvedCluster
    version: str
    """The Kubernetes version that nodes are to go by."""
    endpoint: Endpoint
    ca_pem: bytes
    addresses: tuple[str, ...]
    """Where the `kubernetes` Service leads to; empty: leave its EndpointSlice alone."""
    problem: str | None = None
    """Why it cannot lead anywhere, as a sentence."""


def objects(inputs: BootstrapInputs) -> list[Manifest]:
    """All of them; they depend on each other only through names and may be applied at once."""
    out = [
        *_cluster_info(inputs),
        *_configuration(inputs),
        *_joining(),
        _cluster_binding("kubeadm:cluster-admins", "cluster-admin", [_group(ADMINS)]),
        _cluster_binding(
            "kubeadm:apiserver-kubelet-client",
            "system:kubelet-api-admin",
            [_user(KUBELET_CLIENT)],
        ),
        *rbac.objects(),
    ]
    if inputs.addresses:
        out.append(endpoint_slice(inputs.addresses, inputs.endpoint.port))
    return out


def _cluster_info(inputs: BootstrapInputs) -> list[Manifest]:
    """Who to trust and where to go, for all to read; the controller manager signs it."""
    cluster = {
        "certificate-authority-data": encode({"ca": inputs.ca_pem})["ca"],
        "server": inputs.endpoint.url,
    }
    kubeconfig: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"cluster": cluster, "name": ""}],
        "contexts": None,
        "current-context": "",
        "preferences": {},
        "users": None,
    }
    name = "kubeadm:bootstrap-signer-clusterinfo"
    return [
        _config_map(PUBLIC, "cluster-info", {"kubeconfig": dump_yaml(kubeconfig)}),
        _role(PUBLIC, name, "cluster-info"),
        _binding(PUBLIC, name, [_user(ANONYMOUS)]),
    ]


def _configuration(inputs: BootstrapInputs) -> list[Manifest]:
    """What `kubeadm join` and the kubelets that it sets up are configured by."""
    readers = [_group(JOINING), _group(NODES)]
    return [
        _config_map(
            SYSTEM, "kubeadm-config", {"ClusterConfiguration": dump_yaml(_kubeadm_config(inputs))}
        ),
        _role(SYSTEM, "kubeadm:nodes-kubeadm-config", "kubeadm-config"),
        _binding(SYSTEM, "kubeadm:nodes-kubeadm-config", readers),
        _config_map(SYSTEM, "kubelet-config", {"kubelet": dump_yaml(_kubelet_config(inputs))}),
        _role(SYSTEM, "kubeadm:kubelet-config", "kubelet-config"),
        _binding(SYSTEM, "kubeadm:kubelet-config", readers),
    ]


def _joining() -> list[Manifest]:
    """What a bootstrap token may do, and which certificate requests are granted by themselves."""
    joining, nodes = [_group(JOINING)], [_group(NODES)]
    csr = "system:certificates.k8s.io:certificatesigningrequests"
    return [
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "kubeadm:get-nodes"},
            "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["nodes"]}],
        },
        _cluster_binding("kubeadm:get-nodes", "kubeadm:get-nodes", joining),
        _cluster_binding("kubeadm:kubelet-bootstrap", "system:node-bootstrapper", joining),
        _cluster_binding(
            "kok:machine-bootstrap", "system:node-bootstrapper", [_group(MACHINE_BOOTSTRAPPERS)]
        ),
        _cluster_binding("kubeadm:node-autoapprove-bootstrap", f"{csr}:nodeclient", joining),
        _cluster_binding(
            "kubeadm:node-autoapprove-certificate-rotation", f"{csr}:selfnodeclient", nodes
        ),
    ]


def _kubeadm_config(inputs: BootstrapInputs) -> dict[str, Any]:
    resolved = inputs.resolved
    out = {
        "apiVersion": versions.kubernetes(inputs.version).facts.config_apis.kubeadm,
        "kind": "ClusterConfiguration",
        "clusterName": resolved.name,
        "certificatesDir": "/etc/kubernetes/pki",
        "controlPlaneEndpoint": inputs.endpoint.authority,
        "kubernetesVersion": f"v{inputs.version}",
        "networking": {
            "dnsDomain": resolved.dns_domain,
            "podSubnet": ",".join(resolved.pod_cidrs),
            "serviceSubnet": ",".join(resolved.service_cidrs),
        },
    }
    return {**out, "imageRepository": resolved.registry} if resolved.registry else out


def _kubelet_config(inputs: BootstrapInputs) -> dict[str, Any]:
    small = podrange.scarce(inputs.resolved.cluster.spec)
    out = {
        "apiVersion": versions.kubernetes(inputs.version).facts.config_apis.kubelet,
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": "/etc/kubernetes/pki/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "clusterDNS": [inputs.resolved.dns_address],
        "clusterDomain": inputs.resolved.dns_domain,
        "rotateCertificates": True,
        # The API server checks kubelets' certificates against the cluster's CA.
        "serverTLSBootstrap": True,
        "staticPodPath": "/etc/kubernetes/manifests",
    }
    # Beyond their addresses pods hang for ever instead of going to another node.
    return {**out, "maxPods": small.pods} if small is not None else out


def endpoint_slice(addresses: Sequence[str], port: int) -> Manifest:
    """Where pods of the business cluster find its API."""
    version = ipaddress.ip_address(addresses[0]).version
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {
                "kubernetes.io/service-name": "kubernetes",
                "endpointslice.kubernetes.io/managed-by": "kok-cluster-operator",
            },
        },
        "addressType": f"IPv{version}",
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        "endpoints": [
            {"addresses": [address], "conditions": {"ready": True}} for address in addresses
        ],
    }


def _config_map(namespace: str, name: str, data: dict[str, str]) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": data,
    }


def _role(namespace: str, name: str, config_map: str) -> Manifest:
    rule = {
        "verbs": ["get"],
        "apiGroups": [""],
        "resources": ["configmaps"],
        "resourceNames": [config_map],
    }
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "Role",
        "metadata": {"name": name, "namespace": namespace},
        "rules": [rule],
    }


def _binding(namespace: str, name: str, subjects: list[dict[str, str]]) -> Manifest:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, "namespace": namespace},
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": name},
        "subjects": subjects,
    }


def _cluster_binding(name: str, role: str, subjects: list[dict[str, str]]) -> Manifest:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
        "subjects": subjects,
    }


def _group(name: str) -> dict[str, str]:
    return {"apiGroup": RBAC, "kind": "Group", "name": name}


def _user(name: str) -> dict[str, str]:
    return {"apiGroup": RBAC, "kind": "User", "name": name}
