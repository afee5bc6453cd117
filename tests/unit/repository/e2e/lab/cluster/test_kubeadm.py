"""kubeadm's configuration."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import Any

import yaml
from e2e.lab.cluster import kubeadm
from e2e.lab.cluster.hosts import Host
from e2e.lab.cluster.state import State

STATE = State(
    name="kok",
    subnet=IPv4Network("172.20.1.0/24"),
    pod_cidr=IPv4Network("10.200.0.0/16"),
    service_cidr=IPv4Network("10.201.0.0/16"),
    password="secret",
)
HOST = Host("meta-1", "meta", IPv4Address("172.20.1.11"), "kok-meta-1")


def _documents(text: str) -> dict[str, dict[str, Any]]:
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


def test_the_cluster_has_the_versions_and_networks_of_the_lab() -> None:
    cluster = _documents(kubeadm.init_config(STATE, HOST))["ClusterConfiguration"]
    assert cluster["kubernetesVersion"] == "v1.37.1"
    assert cluster["etcd"]["local"]["imageTag"] == "3.6.10-0"
    assert cluster["dns"]["imageTag"] == "v1.14.7"
    assert cluster["networking"] == {
        "podSubnet": "10.200.0.0/16",
        "serviceSubnet": "10.201.0.0/16",
    }


def test_the_kubelet_does_not_mind_what_else_is_on_the_machines_disk() -> None:
    kubelet = _documents(kubeadm.init_config(STATE, HOST))["KubeletConfiguration"]
    assert all("%" not in value for value in kubelet["evictionHard"].values())
    assert kubelet["imageGCHighThresholdPercent"] == 100


def test_pods_may_run_on_the_first_host() -> None:
    node = _documents(kubeadm.init_config(STATE, HOST))["InitConfiguration"]["nodeRegistration"]
    assert node["taints"] == []


def test_a_host_joins_the_cluster_whose_ca_it_was_told() -> None:
    text = kubeadm.join_config(HOST, "172.20.1.11:6443", "abcdef.0123456789abcdef", "sha256:00")
    token = _documents(text)["JoinConfiguration"]["discovery"]["bootstrapToken"]
    assert token["apiServerEndpoint"] == "172.20.1.11:6443"
    assert token["caCertHashes"] == ["sha256:00"]


def test_the_lab_password_is_not_part_of_it() -> None:
    assert STATE.password not in kubeadm.init_config(STATE, HOST)
