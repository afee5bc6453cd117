"""Reading what a pass over a KubeNode looks at, in one frozen picture."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from kok.api import names
from kok.api.cluster.cluster import Cluster
from kok.api.machine.component import Component
from kok.api.machine.kubenode import KubeNode
from kok.api.machine.machine import Machine
from kok.api.meta import Manifest
from kok.api.unreadable import Unreadable
from kok.kube import kinds
from kok.kube.concurrency import asking
from kok.kube.decoding.strip import unrecorded
from kok.kube.decoding.truncation import FREE_FORM, refuse_truncated
from kok.kube.lists.tolerant import Listed, listed
from kok.kube.objects.machines import picked
from kok.kube.objects.ownership import owned_by, owner_labels
from kok.operators.machine.kubenode import claims
from kok.operators.machine.machine.observe import OPERATOR, endpoint_of, machine_identity
from kok.operators.machine.machine_lists import MachineLists
from kok.runtime.controller.reconciler import Pass
from kok.workload.identity import Identity

CLUSTER, MACHINE, COMPONENT = Cluster.info.kind, Machine.info.kind, Component.info.kind
_STATUS: Final = (
    "observedGeneration",
    "firstReady",
    "phase",
    "removal",
    "kubelet",
    "operation",
    "remediation",
    "lastGood",
    "adopted",
)
_CONDITIONS: Final = frozenset({"Ready", "NodeReady", "UpToDate", "ComponentsReady"})
"""What is looked at of the status of a Machine."""


@dataclass(frozen=True, slots=True)
class KubeNodeView:
    """What a pass sees."""

    cluster: Cluster | None
    machines: tuple[Machine, ...]
    """All of the namespace, with no more than whose hosts they are and what software they use."""
    mine: tuple[Machine, ...]
    """The KubeNode's own, by name."""
    own: Mapping[str, Manifest]
    """The same as they are."""
    components: Mapping[str, Manifest]
    """Metadata of all of the namespace."""
    odd: tuple[Unreadable, ...] = ()
    """Machines of the namespace that cannot be read."""
    access_hash: str = ""
    """Of the address and the CA by which nodes reach the cluster; empty while they are not known."""
    identity: Identity | None = field(default=None, repr=False)
    """Ours inside the cluster."""

    @property
    def odd_mine(self) -> list[Unreadable]:
        """Of the KubeNode's own Machines those that cannot be read."""
        return [odd for odd in self.odd if odd.name in self.own]


async def observe(p: Pass[KubeNode], lists: MachineLists) -> KubeNodeView:
    """Reads the picture. Raises `KubeError`."""
    namespace, kube = p.obj.namespace, p.kube
    name = p.obj.spec.cluster
    async with asking() as group:
        ask = group.create_task
        asked = ask(kube.get(CLUSTER, name, namespace, unread=FREE_FORM, keep=unrecorded))
        mine_ = ask(
            kube.list(
                MACHINE,
                namespace,
                labels=owner_labels(p.obj),
                keep=partial(_own, p.obj),
                unread=FREE_FORM,
            )
        )
        all_ = ask(lists.now(kube, namespace))
        there = ask(kube.list(COMPONENT, namespace, bare=True, keep=unrecorded))
        identity = ask(kube.get(kinds.SECRET, names.operator_secret(name, OPERATOR), namespace))
    found, everybody, components = asked.result(), all_.result(), there.result()
    own = [m for m in mine_.result() if m]
    own += await _unlabelled(p, everybody, {m["metadata"]["name"] for m in own})
    cluster = Cluster.parse(found) if found is not None else None
    ours = machine_identity(identity.result(), cluster)[0]
    access = endpoint_of(cluster, ours)
    mine = listed(Machine, own)
    by_name = {m["metadata"]["name"]: m for m in own}
    return KubeNodeView(
        cluster=cluster,
        machines=everybody.objects,
        mine=tuple(sorted(mine.objects, key=lambda m: m.name)),
        odd=(*mine.odd, *(odd for odd in everybody.odd if odd.name not in by_name)),
        own=by_name,
        components={m["metadata"]["name"]: m for m in components},
        access_hash=access.digest if access is not None else "",
        identity=ours,
    )


async def _unlabelled(
    p: Pass[KubeNode], everybody: Listed[Machine], known: Collection[str]
) -> list[Manifest]:
    """Our own Machines of which somebody took the labels away: they are found by their owner."""
    mine = [
        *(m.name for m in everybody.objects if claims.owned(m, p.obj)),
        *(odd.name for odd in everybody.odd if owned_by(odd.manifest, p.obj)),
    ]
    kept: list[Manifest] = []
    for name in sorted(set(mine) - set(known)):
        own = partial(_own, p.obj)
        found = await p.kube.get(MACHINE, name, p.obj.namespace, unread=FREE_FORM, keep=own)
        kept += [found] if found else []
    return kept


def _own(kubenode: KubeNode, manifest: Manifest) -> Manifest:
    """A KubeNode's own Machine, as it is kept for as long as a pass may last; {} of another's.

    Without who wrote what, and what only the Machine's own passes need of its status.
    """
    if not owned_by(manifest, kubenode):
        return {}
    refuse_truncated(manifest)
    conditions = manifest.get("status") or {}
    told = [c for c in conditions.get("conditions") or () if c.get("type") in _CONDITIONS]
    return {
        **unrecorded(manifest),
        "status": {**picked(conditions, _STATUS), "conditions": told},
    }
