"""Which Kubernetes version and which software a KubeNode means. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kok import versions
from kok.api import names
from kok.api.cluster import podrange
from kok.api.cluster.cluster import Cluster
from kok.api.machine.kubenode import KubeNode
from kok.api.machine.machine import Machine, MachineComponent
from kok.operators.machine import cluster_version, reasons
from kok.operators.machine.component import catalog, derived
from kok.operators.machine.remote import host_paths
from kok.runtime.controller.errors import Invalid


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
    spec, context = kubenode.spec, _context(kubenode, cluster, version)
    own = {c.name: c for c in spec.components}
    ours = _versions(context, version, machines)
    context["runtime"] = derived.runtime(ours)
    chosen = ours | {name: c.version for name, c in own.items()}
    if host_paths.KUBELET in own:
        _check_kubelet(chosen[host_paths.KUBELET], cluster)
    _check_config(kubenode, chosen[host_paths.KUBELET])
    for name in sorted(ours):
        problem = derived.problem(name, chosen[name], context)
        if problem:
            raise Invalid(reasons.RUNTIME_UNSUPPORTED, problem)
    return [
        MachineComponent(
            name=name,
            version=chosen[name],
            params={
                **(derived.params(name, chosen[name], context) if name in ours else {}),
                **(own[name].params if name in own else {}),
            },
        )
        for name in sorted(chosen)
    ]


def _versions(
    context: derived.Context, version: str, machines: Iterable[Machine]
) -> dict[str, str]:
    """The built-in software that is wanted: what the spec asks for, what runs, or the defaults."""
    defaults = versions.kubernetes(version).facts.host_components
    running = _running(version, machines)
    return {
        name: derived.pinned(name, context) or running.get(name) or derived.version(name, defaults)
        for name in derived.wanted(context)
    }


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


def _context(kubenode: KubeNode, cluster: Cluster, version: str) -> dict[str, Any]:
    """What the templates of the built-in software see, see `derived`."""
    network, small = cluster.spec.network, podrange.scarce(cluster.spec)
    known = versions.kubernetes(version)
    major, minor = catalog.numbers(version)[:2]
    return {
        "kubenode": kubenode.spec.model_dump(mode="json", by_alias=True),
        "cluster": cluster.spec.model_dump(mode="json", by_alias=True),
        "kubernetes": {"version": version, "major": major, "minor": minor},
        "images": {"pause": known.image("pause", cluster.spec.images.registry)},
        "network": {
            "dns": [names.nth_address(cidr, 10) for cidr in network.service_cidrs[:1]],
            "domain": network.dns_domain,
            # Beyond it pods hang in ContainerCreating for ever instead of going to another node, or
            # waiting for one.
            "maxPods": small.pods if small is not None else None,
        },
    }


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
