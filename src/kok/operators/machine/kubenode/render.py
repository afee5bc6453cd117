"""The Machine of one host. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from kok.api import names
from kok.api.machine.access import SSHAccess
from kok.api.machine.host import Host
from kok.api.machine.kubenode import KubeNode, NodeHost
from kok.api.machine.machine import Machine, MachineComponent
from kok.api.machine.remediation import Remediation
from kok.api.machine.rollout import MachineRollout, Rollout
from kok.api.meta import Manifest
from kok.api.names import ANNOTATION_TRUST_HOST_KEY
from kok.kube.objects.ownership import owned


@dataclass(frozen=True, slots=True)
class NodeHostSource:
    """One host: of the list in the spec, or of the pool."""

    name: str
    address: str
    port: int
    ssh: SSHAccess
    host_key: str
    host: str = ""
    """Name of the Host object."""
    addresses: tuple[str, ...] = ()
    """More of them, as its author says."""


def inline(host: NodeHost, ssh: SSHAccess) -> NodeHostSource:
    """A host of the list in the spec."""
    return NodeHostSource(
        host.name, host.address, host.port, ssh, host.host_key, addresses=tuple(host.addresses)
    )


def pooled(host: Host) -> NodeHostSource:
    """A host of the pool; its key is the pinned one, the one trusted by hand, or the recorded."""
    trusted = host.metadata.annotations.get(ANNOTATION_TRUST_HOST_KEY, "")
    key = trusted or host.spec.host_key or host.status.host_key or ""
    spec = host.spec
    return NodeHostSource(
        host.name, spec.address, spec.port, spec.ssh, key, host.name, tuple(spec.addresses)
    )


def machine(
    kubenode: KubeNode,
    place: NodeHostSource,
    components: Sequence[MachineComponent],
    access_hash: str = "",
) -> Manifest:
    """The Machine for a host; `access_hash` stands for the cluster's address and CA, if known."""
    spec, kind = kubenode.spec, Machine.info.kind
    labels = {names.LABEL_CLUSTER: spec.cluster, names.LABEL_KUBENODE: kubenode.name}
    if place.host:
        labels[names.LABEL_HOST] = place.host
    body: dict[str, Any] = {
        "cluster": spec.cluster,
        "node": place.name,
        "address": place.address,
        "port": place.port,
        "ssh": place.ssh.manifest(),
        "components": [_component(c) for c in components],
        "drainTimeout": spec.drain_timeout,
    }
    if (policy := spec.remediation.manifest()) != Remediation().manifest():
        body["remediation"] = policy
    if told := _rollout(spec.rollout):
        body["rollout"] = told
    body |= _taken_and_left(kubenode)
    if access_hash:
        body["accessHash"] = access_hash
    if place.addresses:
        body["addresses"] = list(place.addresses)
    if place.host_key:
        body["hostKey"] = place.host_key
    if spec.artifacts.base_url:
        body["artifacts"] = {"baseURL": spec.artifacts.base_url}
    if spec.labels:
        body["labels"] = spec.labels
    if spec.taints:
        body["taints"] = [taint.manifest() for taint in spec.taints]
    manifest = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {"name": names.machine(kubenode.name, place.name), "labels": labels},
        "spec": body,
    }
    return owned(manifest, kubenode)


def _taken_and_left(kubenode: KubeNode) -> dict[str, Any]:
    """How a host is taken at first, and left in the end, if that is said."""
    spec = kubenode.spec
    said: dict[str, Any] = {"adopt": True} if spec.adopt else {}
    return {**said, "onRemove": spec.on_remove} if spec.on_remove else said


def _rollout(policy: Rollout) -> dict[str, Any]:
    """What of the policy is another than usual, as far as a Machine has to know it."""
    forced: Literal["Stop", "Force"] = "Force" if policy.on_drain_timeout == "Force" else "Stop"
    told = MachineRollout(
        drain_timeout=policy.drain_timeout, on_drain_timeout=forced, soak=policy.soak
    )
    return told.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _component(component: MachineComponent) -> dict[str, Any]:
    made = component.manifest()
    return made if made.get("params") else {k: v for k, v in made.items() if k != "params"}
