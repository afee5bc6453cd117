"""The Machine of one host, and which Machines may be changed now. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kok.api import names
from kok.api.fields import SSHAccess
from kok.api.host import Host
from kok.api.kubenode import KubeNode, NodeHost
from kok.api.machine import Machine, MachineComponent
from kok.api.meta import Manifest
from kok.api.names import ANNOTATION_TRUST_HOST_KEY
from kok.kube.drift import covers
from kok.kube.ownership import owned

_DISTURBING = ("components", "artifacts", "addresses")
"""Fields of a Machine's spec that change what is on the host."""


@dataclass(frozen=True, slots=True)
class Place:
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


def inline(host: NodeHost, ssh: SSHAccess) -> Place:
    """A host of the list in the spec."""
    return Place(
        host.name, host.address, host.port, ssh, host.host_key, addresses=tuple(host.addresses)
    )


def pooled(host: Host) -> Place:
    """A host of the pool; its key is the pinned one, the one trusted by hand, or the recorded."""
    trusted = host.metadata.annotations.get(ANNOTATION_TRUST_HOST_KEY, "")
    key = trusted or host.spec.host_key or host.status.host_key or ""
    spec = host.spec
    return Place(
        host.name, spec.address, spec.port, spec.ssh, key, host.name, tuple(spec.addresses)
    )


def machine(kubenode: KubeNode, place: Place, components: Sequence[MachineComponent]) -> Manifest:
    """The Machine for a host."""
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


def _component(component: MachineComponent) -> dict[str, Any]:
    made = component.manifest()
    return made if made.get("params") else {k: v for k, v in made.items() if k != "params"}


def changeable(
    intents: Mapping[str, Manifest], lives: Mapping[str, Manifest]
) -> dict[str, Manifest]:
    """The Machines, by name, that may be made or changed now.

    Software changes on one Ready Machine at a time, and only while all others that were changed
    are Ready again. What does not disturb a node is changed everywhere at once.
    """
    now: dict[str, Manifest] = {}
    waiting: list[str] = []
    for name, intent in intents.items():
        live = lives.get(name)
        if live is None or not disturbs(intent, live) or not _settled(live):
            now[name] = intent
        else:
            waiting.append(name)
            now[name] = _without_disturbance(intent, live)
    busy = any(not _settled(live) for name, live in lives.items() if name in intents)
    if waiting and not busy:
        first = min(waiting)
        now[first] = intents[first]
    return now


def disturbs(intent: Manifest, live: Manifest) -> bool:
    """Whether the intent changes what is on the host."""
    return not all(
        covers({"spec": live["spec"].get(field)}, {"spec": intent["spec"].get(field)})
        and bool(live["spec"].get(field)) == bool(intent["spec"].get(field))
        for field in _DISTURBING
    )


def _settled(live: Manifest) -> bool:
    """Whether a Machine is Ready with what its spec says."""
    parsed = Machine.parse(live)
    status = parsed.status
    return (
        status.is_true("Ready")
        and status.is_true("UpToDate")
        and status.observed_generation == parsed.metadata.generation
    )


def _without_disturbance(intent: Manifest, live: Manifest) -> Manifest:
    kept = {field: live["spec"][field] for field in _DISTURBING if field in live["spec"]}
    rest = {key: value for key, value in intent["spec"].items() if key not in _DISTURBING}
    return {**intent, "spec": {**rest, **kept}}
