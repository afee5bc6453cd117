"""Which Kubernetes version and which software a KubeNode means. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kok import versions
from kok.api import names
from kok.api.cluster import podrange
from kok.api.cluster.cluster import Cluster
from kok.api.machine.kubenode import KubeNode
from kok.api.machine.machine import Machine, MachineComponent
from kok.operators.machine import cluster_version, reasons
from kok.operators.machine.component import catalog
from kok.operators.machine.kubenode import nvidia
from kok.operators.machine.remote import host_paths
from kok.runtime.controller.errors import Invalid

HOST_PREP = "host-prep"


def kubernetes_version(kubenode: KubeNode, cluster: Cluster) -> str:
    """The version of the kubelets. Raises `Invalid` with a sentence.

    Without one in the spec nodes follow the control plane, once that is through with an upgrade.
    """
    control = cluster_version.control(cluster)
    version = kubenode.spec.version or cluster_version.followed(cluster)
    try:
        versions.kubernetes(version)
    except versions.UnknownVersion as error:
        raise Invalid(reasons.VERSION_UNKNOWN, f"spec.version: {error}") from None
    problem = versions.check_skew(version, control)
    if problem is not None:
        raise Invalid(reasons.SKEW, f"spec.version: {problem}")
    return version


def software(
    kubenode: KubeNode, cluster: Cluster, version: str, machines: Iterable[Machine]
) -> list[MachineComponent]:
    """All software with versions and parameters. Raises `Invalid` with a sentence.

    What already runs with this Kubernetes version stays at its version: a newer operator that
    knows newer defaults must not change nodes by itself.
    """
    spec = kubenode.spec
    chosen = {
        **_defaults(version),
        **_running(version, machines),
        host_paths.KUBELET: version,
    }
    if spec.runtime.version is not None:
        chosen[host_paths.CONTAINERD] = spec.runtime.version
    own = {c.name: c for c in spec.components}
    chosen = nvidia.chosen(spec, chosen)
    chosen |= {name: c.version for name, c in own.items()}
    _check_runtime(chosen[host_paths.CONTAINERD])
    if host_paths.KUBELET in own:
        _check_kubelet(chosen[host_paths.KUBELET], cluster)
    _check_config(kubenode, chosen[host_paths.KUBELET])
    params = {**_parameters(kubenode, cluster, version), **nvidia.params(spec)}
    return [
        MachineComponent(
            name=name,
            version=chosen[name],
            params={**params.get(name, {}), **(own[name].params if name in own else {})},
        )
        for name in sorted(chosen)
    ]


def _defaults(version: str) -> dict[str, str]:
    facts = versions.kubernetes(version).facts.host_components
    return {HOST_PREP: catalog.HOST_PREP_VERSION, **facts}


def _running(version: str, machines: Iterable[Machine]) -> dict[str, str]:
    """Built-in software of a Machine that has this Kubernetes version, the eldest one's."""
    for machine in sorted(machines, key=lambda m: (str(m.metadata.creation_timestamp), m.name)):
        listed = {c.name: c.version for c in machine.spec.components}
        if listed.get(host_paths.KUBELET) == version:
            return {name: v for name, v in listed.items() if name in catalog.builtin()}
    return {}


def _check_kubelet(version: str, cluster: Cluster) -> None:
    """One of the user's own, which may have more behind a dash."""
    control = cluster_version.control(cluster)
    problem = versions.check_skew(version.partition("-")[0], control)
    if problem is not None:
        raise Invalid(reasons.SKEW, f"spec.components: {problem}")


def _check_config(kubenode: KubeNode, version: str) -> None:
    """Before any host is touched: a kubelet that cannot read its configuration never starts."""
    problem = versions.kubelet_config_problem(version.partition("-")[0], kubenode.spec.kubelet)
    if problem is not None:
        raise Invalid(reasons.KUBELET_CONFIG_INVALID, f"spec.kubelet: {problem}")


def _check_runtime(version: str) -> None:
    major = version.partition(".")[0]
    if not major.isdecimal() or int(major) < 2:
        raise Invalid(
            reasons.RUNTIME_UNSUPPORTED,
            f"spec.runtime.version: containerd {version} is not supported; write 2.0.0 or later",
        )


def _parameters(kubenode: KubeNode, cluster: Cluster, version: str) -> dict[str, dict[str, Any]]:
    spec, network = kubenode.spec, cluster.spec.network
    image = versions.kubernetes(version).image("pause", cluster.spec.images.registry)
    containerd: dict[str, Any] = {"sandboxImage": image}
    if spec.registry.mirrors:
        containerd["mirrors"] = spec.registry.mirrors
    driver = spec.kubelet.get("cgroupDriver")
    if driver is not None:
        # Runtime and kubelet have to agree, and it is the kubelet's field that people know.
        containerd["cgroupDriver"] = driver
    config: Mapping[str, Any] = {
        "clusterDNS": [names.nth_address(cidr, 10) for cidr in network.service_cidrs[:1]],
        "clusterDomain": network.dns_domain,
        **_max_pods(cluster),
        **spec.kubelet,
    }
    return {host_paths.CONTAINERD: containerd, host_paths.KUBELET: {"config": dict(config)}}


def _max_pods(cluster: Cluster) -> dict[str, Any]:
    """The kubelet's limit of pods, where a node has fewer addresses than usual to give to them.

    Beyond it pods hang in ContainerCreating for ever instead of going to another node, or waiting
    for one.
    """
    small = podrange.scarce(cluster.spec)
    return {"maxPods": small.pods} if small is not None else {}


def pod_addresses(kubenode: KubeNode, cluster: Cluster, nodes: int) -> str:
    """What is smaller than usual about the pod addresses of these nodes, as a sentence, or nothing.

    `nodes`: how many the cluster has or is to have.
    """
    found = []
    small = podrange.scarce(cluster.spec)
    given = kubenode.spec.kubelet.get("maxPods")
    few = small is not None and not (isinstance(given, int) and given <= small.pods)
    if small is not None and few:
        text = f"maxPods is {small.pods}"
        if given is not None:
            text = f"pods beyond that never start although spec.kubelet.maxPods is {given}"
        found.append(
            f"each node has only {small.pods} pod addresses, a /{small.mask} of "
            f"spec.network.podCIDRs {small.cidr} of Cluster {cluster.name}, so that {text} "
            f"({podrange.USUAL_PODS} is usual)"
        )
    room = min(podrange.shares(cluster.spec), key=lambda share: share.nodes)
    if nodes > room.nodes:
        found.append(
            f"{room.cidr} has room for {room.nodes} nodes of /{room.mask}, and {nodes} are wanted: "
            "the others get no pods"
        )
    return "; ".join(found)
