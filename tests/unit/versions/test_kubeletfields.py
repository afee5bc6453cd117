"""What kubelets and kube-proxies can read of their configuration."""

from __future__ import annotations

from typing import Any

import pytest

from kok import versions
from kok.versions import kube_proxy_config_problem, kubelet_config_problem


@pytest.mark.parametrize("minor", [str(minor) for minor in versions.kubernetes_minors()])
def test_the_fields_of_every_minor_are_known(minor: str) -> None:
    version = f"{minor}.1"
    assert kubelet_config_problem(version, {"maxPods": 30}) is None
    assert kubelet_config_problem(version, {"maxPodz": 30}) == (
        f"maxPodz is no field of the KubeletConfiguration of {minor}; did you mean maxPods?"
    )


@pytest.mark.parametrize(
    "config",
    [
        {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration"},
        {"evictionHard": {"memory.available": "100Mi"}, "failCgroupV1": False},
        {"memorySwap": {"swapBehavior": "LimitedSwap"}, "clusterDNS": ["10.65.0.10"]},
        {"syncFrequency": "1m30s", "nodeStatusUpdateFrequency": "0", "podPidsLimit": 4096},
        {"authentication": {"x509": {"clientCAFile": "/x"}}, "logging": {"format": "json"}},
        {"registerWithTaints": [{"key": "a", "effect": "NoSchedule"}], "maxPods": None},
    ],
)
def test_what_a_kubelet_reads_is_right(config: dict[str, Any]) -> None:
    assert kubelet_config_problem("1.37.1", config) is None


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"maxPods": "thirty"}, 'maxPods must be a whole number, not "thirty"'),
        ({"maxPods": True}, "maxPods must be a whole number, not true"),
        ({"maxPods": 1.5}, "maxPods must be a whole number, not 1.5"),
        ({"failCgroupV1": "no"}, 'failCgroupV1 must be true or false, not "no"'),
        ({"syncFrequency": 60}, "syncFrequency must be a duration such as 10s or 5m, not 60"),
        ({"syncFrequency": "1 min"}, 'syncFrequency must be a duration such as 10s or 5m, not "1 '),
        ({"clusterDNS": "10.65.0.10"}, "clusterDNS must be a list"),
        ({"clusterDNS": [1]}, "clusterDNS[0] must be a text, not 1"),
        ({"evictionHard": {"memory.available": 1}}, "evictionHard.memory.available must be a text"),
        ({"memorySwap": "LimitedSwap"}, "memorySwap must be a map of fields"),
        ({"memorySwap": {"swapBehaviour": "x"}}, "memorySwap.swapBehaviour is no field"),
        ({"completelyElse": 1}, "1.37; leave it out"),
    ],
)
def test_what_a_kubelet_cannot_read_is_named_with_its_place(
    config: dict[str, Any], problem: str
) -> None:
    assert problem in str(kubelet_config_problem("1.37.1", config))


def test_of_unknown_versions_nothing_is_said() -> None:
    assert kubelet_config_problem("1.99.0", {"x": 1}) is None


@pytest.mark.parametrize("minor", [str(minor) for minor in versions.kubernetes_minors()])
def test_the_fields_of_every_kube_proxy_are_known(minor: str) -> None:
    version = f"{minor}.1"
    right = {"mode": "nftables", "iptables": {"syncPeriod": "30s"}, "nodePortAddresses": ["a"]}
    assert kube_proxy_config_problem(version, right) is None
    assert kube_proxy_config_problem(version, {"nftables": {"syncPeriods": "1s"}}) == (
        f"nftables.syncPeriods is no field of the KubeProxyConfiguration of {minor}; "
        "did you mean syncPeriod?"
    )
    assert kube_proxy_config_problem(version, {"maxPods": 30}) is not None


def test_of_an_unknown_kube_proxy_nothing_is_said() -> None:
    assert kube_proxy_config_problem("1.99.0", {"x": 1}) is None
