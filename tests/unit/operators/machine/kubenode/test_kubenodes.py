"""Which version of Kubernetes and which software KubeNodes mean."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operators.machine import builders

from kok.api.machine.machine import Machine
from kok.operators.machine.component.render import rendered
from kok.operators.machine.kubenode import software
from kok.runtime.controller.errors import Invalid


def version(control: str, wanted: str | None = None, runs: str | None = None) -> str:
    cluster = builders.cluster(version=control, status={"version": runs} if runs else {})
    spec = {"version": wanted} if wanted else {}
    return software.kubernetes_version(builders.kubenode(**spec), cluster)


def test_nodes_follow_the_control_plane_once_it_runs() -> None:
    assert version("1.37.1") == "1.37.1"
    # While the control plane is being upgraded the nodes stay where all of it is.
    assert version("1.37.1", runs="1.36.4") == "1.36.4"
    assert version("1.37.1", "1.35.4", runs="1.37.1") == "1.35.4"


def test_nodes_do_not_follow_before_the_control_plane_is_through() -> None:
    status = {"version": "1.37.1", "nodesVersion": "1.36.4"}
    cluster = builders.cluster(version="1.37.1", status=status)
    assert software.kubernetes_version(builders.kubenode(), cluster) == "1.36.4"
    # Whoever names a version may have all that fits what the control plane runs.
    pinned = builders.kubenode(version="1.37.1")
    assert software.kubernetes_version(pinned, cluster) == "1.37.1"


def test_a_version_that_does_not_fit_is_refused_with_a_sentence() -> None:
    with pytest.raises(Invalid) as newer:
        version("1.37.1", "1.37.0", runs="1.36.4")
    assert newer.value.reason == "VersionSkew"
    assert newer.value.message == (
        "spec.version: kubelet 1.37.0 is newer than the control plane's 1.36.4; write 1.36.x or "
        "older, or upgrade the Cluster first"
    )
    with pytest.raises(Invalid) as unknown:
        version("1.37.1", "1.12.0")
    assert unknown.value.reason == "VersionUnknown"


def chosen(machines: list[Machine] | None = None, **spec: Any) -> dict[str, Any]:
    found = software.software(
        builders.kubenode(**spec), builders.cluster(), "1.37.1", machines or []
    )
    return {c.name: (c.version, c.params) for c in found}


def test_a_plain_kubenode_gets_the_software_of_its_version() -> None:
    found = chosen()
    assert {name: v for name, (v, _) in found.items()} == builders.VERSIONS
    assert found["kubelet"][1] == {
        "config": {"clusterDNS": ["10.65.0.10"], "clusterDomain": "cluster.local"}
    }
    assert found["containerd"][1] == {"sandboxImage": "registry.k8s.io/pause:3.10.1"}


def test_parameters_reach_runtime_and_kubelet() -> None:
    found = chosen(
        registry={"mirrors": {"*": ["http://mirror:5000"]}},
        kubelet={"cgroupDriver": "cgroupfs", "maxPods": 50},
    )
    assert found["kubelet"][1]["config"]["maxPods"] == 50
    # Runtime and kubelet agree on the driver without anybody saying it twice.
    assert found["containerd"][1]["cgroupDriver"] == "cgroupfs"
    assert found["containerd"][1]["mirrors"] == {"*": ["http://mirror:5000"]}


def test_ones_own_components_and_versions() -> None:
    found = chosen(
        runtime={"version": "2.4.0"},
        components=[
            {"name": "agent", "version": "1.0", "params": {"a": 1}},
            {"name": "runc", "version": "1.2.0"},
        ],
    )
    assert found["containerd"][0] == "2.4.0"
    assert found["runc"][0] == "1.2.0"
    assert found["agent"] == ("1.0", {"a": 1})


def test_what_runs_stays_when_the_operator_knows_newer_defaults() -> None:
    old = [
        {"name": "containerd", "version": "2.2.0"},
        {"name": "host-prep", "version": "0"},
        {"name": "agent", "version": "1.0"},
        {"name": "kubelet", "version": "1.37.1"},
    ]
    found = chosen([builders.machine(components=old)])
    assert found["containerd"][0] == "2.2.0"
    assert found["host-prep"][0] == "0"
    assert "agent" not in found
    # Another Kubernetes version brings the defaults that belong to it.
    other = [{"name": "containerd", "version": "2.2.0"}, {"name": "kubelet", "version": "1.36.4"}]
    assert chosen([builders.machine(components=other)])["containerd"][0] == "2.3.7"


def test_gpus_bring_toolkit_and_driver_with_their_parameters() -> None:
    found = chosen(nvidia={"driver": {"version": "595.91.07", "kernelModules": "proprietary"}})
    assert found["nvidia-driver"] == (
        "595.91.07",
        {"kernelModules": "proprietary", "kernelHeaders": "Install"},
    )
    assert found["nvidia-toolkit"] == (
        "1.20.2",
        {"runtime": "containerd", "defaultRuntime": True},
    )


@pytest.mark.parametrize(
    ("version", "repeats"), [("1.7.27", True), ("2.0.5", True), ("2.1.0", False), (None, False)]
)
def test_a_containerd_that_replaces_whole_sections_has_the_toolkit_repeat_them(
    version: str | None, *, repeats: bool
) -> None:
    cluster = builders.cluster(version="1.35.4")
    kubenode = builders.kubenode(runtime={"version": version} if version else {}, nvidia={})
    listed = software.software(kubenode, cluster, "1.35.4", [])
    params = next(c.params for c in listed if c.name == "nvidia-toolkit")
    image = {"sandboxImage": "registry.k8s.io/pause:3.10.1"} if repeats else {}
    assert params == {"runtime": "containerd", "defaultRuntime": True, **image}


def test_what_the_toolkit_repeats_of_the_runtime_changes_with_it() -> None:
    found = chosen(nvidia={}, kubelet={"cgroupDriver": "cgroupfs"})
    assert found["nvidia-toolkit"][1]["cgroupDriver"] == "cgroupfs"
    made = [
        rendered(builders.builtin("nvidia-toolkit"), builders.machine(), params, builders.survey())
        for params in ({"cgroupDriver": "cgroupfs"}, {})
    ]
    assert made[0].config != made[1].config


def test_without_a_driver_the_one_of_the_host_is_left_alone() -> None:
    assert "nvidia-driver" not in chosen(nvidia={})
    assert "nvidia-toolkit" in chosen(nvidia={})


def test_a_toolkit_that_runs_stays_and_goes_when_nobody_wants_it() -> None:
    old = [
        {"name": "nvidia-driver", "version": "580.95.05"},
        {"name": "nvidia-toolkit", "version": "1.19.0"},
        {"name": "kubelet", "version": "1.37.1"},
    ]
    machines = [builders.machine(components=old)]
    assert chosen(machines, nvidia={})["nvidia-toolkit"][0] == "1.19.0"
    assert "nvidia-driver" not in chosen(machines, nvidia={})
    assert "nvidia-toolkit" not in chosen(machines)


def test_a_toolkit_that_keeps_no_cdi_specification_is_refused() -> None:
    with pytest.raises(Invalid, match=r"1\.17\.9 is not supported.* write 1\.18\.0 or later"):
        chosen(nvidia={"toolkit": {"version": "1.17.9"}})


def test_a_kubelet_of_ones_own_choice_must_fit_the_control_plane_too() -> None:
    with pytest.raises(Invalid, match=r"spec.components: kubelet 1\.38\.0 is newer than"):
        chosen(components=[{"name": "kubelet", "version": "1.38.0-acme.1"}])
    found = chosen(components=[{"name": "kubelet", "version": "1.36.4-acme.1"}])
    assert found["kubelet"][0] == "1.36.4-acme.1"


def test_docker_comes_with_what_kubernetes_needs_of_it() -> None:
    mirrors = {"*": ["http://mirror:5000"]}
    found = chosen(
        runtime={"type": "docker", "version": "20.10.24"},
        registry={"mirrors": mirrors},
        kubelet={"cgroupDriver": "cgroupfs"},
    )
    assert "containerd" not in found
    assert found["docker"] == ("20.10.24", {"mirrors": mirrors, "cgroupDriver": "cgroupfs"})
    assert found["cri-dockerd"] == ("0.4.3", {"sandboxImage": "registry.k8s.io/pause:3.10.1"})
    config = found["kubelet"][1]["config"]
    assert config["containerRuntimeEndpoint"] == "unix:///run/cri-dockerd.sock"
    assert config["cgroupDriver"] == "cgroupfs"


def test_streams_come_through_cri_dockerd_which_kubelets_take_for_tls_otherwise() -> None:
    def gates(version: str, runtime: str = "docker", **spec: Any) -> Any:
        kubenode = builders.kubenode(runtime={"type": runtime}, **spec)
        found = software.software(kubenode, builders.cluster(), version, [])
        params = next(c.params for c in found if c.name == "kubelet")
        return params["config"].get("featureGates")

    assert gates("1.37.1") == {"ExtendWebSocketsToKubelet": False}
    # Gates of one's own come beside it; kubelets that do not know the gate do not start with it.
    own = {"featureGates": {"PLEGOnDemandRelist": True}}
    both = {"ExtendWebSocketsToKubelet": False, "PLEGOnDemandRelist": True}
    assert gates("1.36.4", kubelet=own) == both
    assert gates("1.35.4") is None
    older = [{"name": "kubelet", "version": "1.35.4-acme.1"}]
    assert gates("1.36.4", components=older) is None
    assert gates("1.37.1", "containerd") is None


def test_another_runtime_does_not_take_over_the_version_of_the_one_that_runs() -> None:
    old = [{"name": "containerd", "version": "2.2.0"}, {"name": "kubelet", "version": "1.37.1"}]
    found = chosen([builders.machine(components=old)], runtime={"type": "docker"})
    assert "containerd" not in found
    assert found["docker"][0].partition(".")[0] != "2"
    with pytest.raises(
        Invalid, match=r"Docker 2\.2\.0 is not supported; write 20\.10\.24 or later"
    ):
        chosen(runtime={"type": "docker", "version": "2.2.0"})


def test_mirrors_that_docker_would_never_ask_are_refused() -> None:
    mirrors = {"docker.io": ["https://a"], "quay.io": ["https://b"]}
    with pytest.raises(
        Invalid, match=r"mirrors for docker\.io alone, and none for quay\.io; write"
    ):
        chosen(runtime={"type": "docker"}, registry={"mirrors": mirrors})


def test_a_component_of_ones_own_is_not_given_what_is_derived_for_a_built_in_one() -> None:
    own = {"name": "docker", "version": "1.0", "params": {"a": 1}}
    assert chosen(components=[own], kubelet={"cgroupDriver": "cgroupfs"})["docker"][1] == {"a": 1}


def test_containerd_1_serves_as_long_as_the_kubelet_takes_it() -> None:
    def at(version: str) -> str:
        cluster = builders.cluster(version=version)
        kubenode = builders.kubenode(runtime={"version": "1.7.27"})
        listed = software.software(kubenode, cluster, version, [])
        return next(c.version for c in listed if c.name == "containerd")

    assert at("1.35.4") == "1.7.27"
    with pytest.raises(Invalid, match=r"with Kubernetes 1\.36\.4, whose kubelets ask .*2\.0\.0"):
        at("1.36.4")


def test_who_names_node_problem_detector_has_it() -> None:
    assert "node-problem-detector" not in chosen()
    named = [{"name": "node-problem-detector", "version": "1.34.0"}]
    assert chosen(components=named)["node-problem-detector"] == ("1.34.0", {})


def test_an_old_runtime_is_refused() -> None:
    with pytest.raises(Invalid, match=r"containerd 1\.5\.20 is not supported; write 2\.0\.0"):
        chosen(runtime={"version": "1.5.20"})


def kubelet(cidrs: list[str], *, flannel: bool = True, flags: Any = (), **spec: Any) -> Any:
    """The limit of pods for the kubelet, and what is said about that."""
    cluster = builders.cluster(
        network={"podCIDRs": cidrs},
        addons=[] if flannel else [{"name": "flannel", "enabled": False}],
        controllerManager={"extraArgs": list(flags)},
    )
    kubenode = builders.kubenode(**spec)
    found = software.software(kubenode, cluster, "1.37.1", [])
    params = next(c.params for c in found if c.name == "kubelet")["config"]
    return params.get("maxPods"), software.pod_addresses(kubenode, cluster, 3)


@pytest.mark.parametrize(
    ("cidrs", "most"),
    [
        (["10.64.0.0/16"], None),
        (["10.64.0.0/21"], None),
        # A node of /25 has addresses for more pods than a kubelet runs.
        (["10.64.0.0/22"], 61),
        (["10.64.0.0/24"], 13),
        (["fd00:64::/56"], None),
        # Each pod needs an address of both families.
        (["fd00:64::/56", "10.64.0.0/23"], 29),
    ],
)
def test_a_node_takes_no_more_pods_than_it_has_addresses(
    cidrs: list[str], most: int | None
) -> None:
    """They hung in ContainerCreating for ever while everything said Ready."""
    assert kubelet(cidrs)[0] == most


def test_few_pod_addresses_are_told() -> None:
    assert kubelet(["10.64.0.0/16"])[1] == ""
    few = "each node has only 13 pod addresses, a /28 of spec.network.podCIDRs 10.64.0.0/24 of "
    assert kubelet(["10.64.0.0/24"])[1] == (
        f"{few}Cluster shop, so that maxPods is 13 (110 is usual)"
    )
    # Whoever knows better has it so.
    assert kubelet(["10.64.0.0/24"], kubelet={"maxPods": 30}) == (
        30,
        f"{few}Cluster shop, so that pods beyond that never start although spec.kubelet.maxPods "
        "is 30 (110 is usual)",
    )
    assert kubelet(["10.64.0.0/24"], flannel=False) == (None, "")
    mask = [{"name": "node-cidr-mask-size", "value": "26"}]
    most, told = kubelet(["10.64.0.0/24"], flags=mask, replicas=5, pool={})
    assert most == 61
    assert told.startswith("each node has only 61 pod addresses, a /26 ")


def test_more_nodes_than_shares_are_told() -> None:
    cluster = builders.cluster(network={"podCIDRs": ["10.64.0.0/20"]})
    assert software.pod_addresses(builders.kubenode(), cluster, 16) == ""
    assert software.pod_addresses(builders.kubenode(), cluster, 17) == (
        "10.64.0.0/20 has room for 16 nodes of /24, and 17 are wanted: the others get no pods"
    )


def test_a_kubelet_that_could_not_start_is_told_before_any_host_is_touched() -> None:
    node = builders.kubenode(kubelet={"maxPods": "thirty"})
    with pytest.raises(Invalid) as error:
        software.software(node, builders.cluster(), "1.37.1", [])
    assert error.value.reason == "KubeletConfigInvalid"
    assert error.value.message == 'spec.kubelet: maxPods must be a whole number, not "thirty"'
