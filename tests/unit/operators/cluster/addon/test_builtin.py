"""What single built-in addons promise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from tests.unit.operators.cluster.builders import a_cluster

from kok.addons import NAMES, builtin_addon
from kok.api.meta import Manifest
from kok.operators.cluster.addon.context import context_of
from kok.operators.cluster.addon.render import builtin, merged_values, render

STATUS = {"endpoint": "https://192.0.2.10:31443"}


def rendered(name: str, values: dict[str, Any] | None = None, **spec: Any) -> list[Manifest]:
    context = context_of(a_cluster(status=STATUS, **spec))
    assert context is not None
    template, defaults = builtin(name)
    return render([template], context, merged_values(name, defaults, values or {}), name)


def pick(manifests: list[Manifest], kind: str) -> Manifest:
    return next(m for m in manifests if m["kind"] == kind)


def pods(manifests: list[Manifest]) -> Iterator[Manifest]:
    for manifest in manifests:
        if manifest["kind"] in {"Deployment", "DaemonSet", "StatefulSet"}:
            yield manifest["spec"]["template"]["spec"]


@pytest.mark.parametrize("name", NAMES)
def test_every_pod_says_what_it_needs_and_outlives_those_of_users(name: str) -> None:
    for pod in pods(rendered(name)):
        assert pod["priorityClassName"].startswith("system-")
        for container in pod["containers"]:
            assert container["resources"]["requests"]


@pytest.mark.parametrize("name", ["konnectivity-agent", "local-path", "metrics-server", "traefik"])
def test_what_needs_nothing_of_a_node_is_allowed_nothing_there(name: str) -> None:
    (pod,) = pods(rendered(name))
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert not pod.get("hostNetwork")
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("kube-proxy", {"mode": "userspace"}),
        ("kube-network-policies", {"failOpen": "perhaps"}),
        ("local-path", {"path": "var/lib"}),
        ("local-path", {"path": "/"}),
        ("local-path", {"path": "/var/../etc"}),
        ("metrics-server", {"resolutionSeconds": 1}),
        ("metrics-server", {"replicas": -1}),
        ("traefik", {"serviceType": "HostPort"}),
        ("traefik", {"nodePort": 70000}),
        ("traefik", {"ingressClass": "Mine"}),
        ("traefik", {"nodeSelector": {"a": True}}),
    ],
)
def test_a_schema_refuses_what_an_addon_cannot_take(name: str, wrong: dict[str, Any]) -> None:
    addon = builtin_addon(name)
    assert addon.values_schema is not None
    (problem,) = Draft202012Validator(addon.values_schema).iter_errors({**addon.values, **wrong})
    assert problem.path[0] == next(iter(wrong))


@pytest.mark.parametrize("name", ["metrics-server", "traefik"])
def test_several_pods_are_not_all_evicted_and_one_can_be(name: str) -> None:
    def budgets(replicas: int) -> list[Manifest]:
        made = rendered(name, {"replicas": replicas})
        return [m for m in made if m["kind"] == "PodDisruptionBudget"]

    assert budgets(1) == []
    (budget,) = budgets(2)
    assert budget["spec"]["maxUnavailable"] == 1


def test_metrics_server_believes_only_kubelets_that_the_cluster_knows() -> None:
    (pod,) = pods(rendered("metrics-server"))
    (container,) = pod["containers"]
    ca = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"
    assert f"--kubelet-certificate-authority={ca}" in container["args"]
    assert not [arg for arg in container["args"] if "insecure" in arg]


def test_volumes_are_directories_below_the_path_of_the_values() -> None:
    made = rendered("local-path", {"path": "/data/x", "defaultClass": False})
    data = pick(made, "ConfigMap")["data"]
    assert json.loads(data["config.json"])["nodePathMap"][0]["paths"] == ["/data/x"]
    (annotation,) = pick(made, "StorageClass")["metadata"]["annotations"].values()
    assert annotation == "false"


def test_what_makes_directories_is_pulled_from_the_clusters_registry() -> None:
    made = rendered("local-path", images={"registry": "mirror.example/all"})
    helper = json.loads(pick(made, "ConfigMap")["data"]["helperPod.yaml"])
    image = helper["spec"]["containers"][0]["image"]
    assert image == "mirror.example/all/rancher/local-path-provisioner:v0.0.30"


def traefik_ports(**values: Any) -> dict[str, int | None]:
    service = pick(rendered("traefik", values), "Service")
    return {port["name"]: port.get("nodePort") for port in service["spec"]["ports"]}


def test_traefik_has_the_ports_of_nodes_that_the_values_name() -> None:
    assert traefik_ports() == {"http": None, "https": None}
    assert traefik_ports(nodePort=30080) == {"http": 30080, "https": None}
    # Where there are none, none is named.
    assert traefik_ports(nodePort=30080, serviceType="ClusterIP") == {"http": None, "https": None}


def test_traefik_has_what_it_is_configured_with_and_restarts_for_it() -> None:
    def mark(made: list[Manifest]) -> str:
        template = pick(made, "Deployment")["spec"]["template"]
        return str(template["metadata"]["annotations"]["kok.dev/config"])

    usual = rendered("traefik")
    other = rendered("traefik", {"config": {"accessLog": {}, "log": {"level": "DEBUG"}}})
    config = yaml.safe_load(pick(other, "ConfigMap")["data"]["traefik.yaml"])
    assert (config["accessLog"], config["log"]) == ({}, {"level": "DEBUG"})
    assert config["providers"]["kubernetesIngress"]["ingressClass"] == "traefik"
    assert mark(usual) != mark(other)


def test_what_judges_packets_takes_its_rules_along_and_does_not_wait_for_services() -> None:
    (pod,) = pods(rendered("kube-network-policies", {"failOpen": True}))
    (rules,) = pod["initContainers"]
    # It goes on beside the other, and is asked to end as well.
    assert rules["restartPolicy"] == "Always"
    ending = rules["lifecycle"]["preStop"]["exec"]["command"]
    assert ending == [
        "nft",
        "add table inet kube-network-policies; delete table inet kube-network-policies",
    ]
    (judge,) = pod["containers"]
    assert "--fail-open=true" in judge["args"]
    variables = {e["name"]: e.get("value") for e in judge["env"]}
    assert variables["KUBERNETES_SERVICE_HOST"] == "192.0.2.10"
