"""Reads everything in the meta cluster that a pass over a Cluster looks at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from kok.api import conditions, names
from kok.api.cluster.addon import Addon
from kok.api.cluster.cluster import Cluster
from kok.api.etcd.contract import EtcdContract
from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Kind, Manifest
from kok.api.unreadable import Unreadable
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.concurrency import asking
from kok.kube.decoding.strip import slim, unrecorded
from kok.kube.errors import Forbidden
from kok.kube.lists.tolerant import Listed, listed
from kok.kube.objects.children import few, is_whole, reference_to
from kok.kube.objects.ownership import controlled, owned_by, owner_labels
from kok.kube.objects.pods import pod_gist
from kok.operators.cluster.cluster.caches import MachineAddressCache, MetaNodeCache
from kok.operators.cluster.cluster.children import RULES, keep_children, keep_whole
from kok.operators.cluster.endpoint import MetaNode
from kok.operators.cluster.naming import (
    ANNOTATION_ETCD_CA,
    API_SERVER,
    COMPONENTS,
    LABEL_PROBE,
    LABEL_PROBED,
    LABEL_VERSION,
    PROBE,
    deployment,
    key_secrets,
    pod_labels,
)
from kok.operators.cluster.releases import Known
from kok.runtime.children.takeover import is_anothers, is_child
from kok.runtime.clock import Clock
from kok.runtime.pods.messages import EventSummary, events_about, latest_complaint

PODS = 64
"""Pods of a control plane that are looked at; those that stop count apart."""
_POD = pod_gist((names.LABEL_COMPONENT,), ())
_PROBE = pod_gist((LABEL_PROBED, LABEL_VERSION), ())
START = 30.0
"""Seconds that a container may take until it is ready before somebody asks why."""

ETCD: Kind = EtcdCluster.info.kind
ADDON: Kind = Addon.info.kind
CHILDREN: tuple[Kind, ...] = (
    kinds.SECRET,
    kinds.SERVICE,
    kinds.DEPLOYMENT,
    kinds.PDB,
    kinds.NETWORKPOLICY,
    ETCD,
    ADDON,
)
"""Kinds of a Cluster's children."""

Children = Mapping[tuple[str, str], Manifest]
"""By kind and name."""


@dataclass(frozen=True, slots=True)
class Running:
    """One component's Deployment as last seen."""

    component: str
    version: str
    """The version that its pod template asks for."""
    desired: int
    ready: int
    complete: bool
    """Whether all pods are of the newest template and ready, and no older one is left."""
    updated: int = 0
    """Pods of the newest template."""
    ending: int = 0
    """Pods that were asked to end and have not yet, where the meta cluster counts them."""


@dataclass(frozen=True, slots=True)
class BackupSeen:
    """The EtcdBackup that is made before an upgrade, as far as the upgrade is concerned."""

    name: str
    proven: bool
    """Whether a trial showed that it can be restored."""
    failed: bool
    """Whether it will not be, unless somebody mends something."""
    message: str
    """How it is, as a sentence."""
    steps: int
    """How far it has come: 0 begun, 1 stored, 2 proven."""


@dataclass(frozen=True, slots=True)
class OtherAddons:
    """Addons for a Cluster that people, or an Addon for many Clusters, made; gists of them."""

    found: Listed[Addon] = field(default_factory=Listed)
    more: bool = False
    """Whether there are more than are looked at."""


@dataclass(frozen=True, slots=True)
class ClusterView:
    """What was observed; `merged` gives it with what a pass has changed since."""

    children: Children
    etcd_secret: bool
    """Whether the Secret exists by which the API server reaches etcd."""
    nodes: tuple[MetaNode, ...] = ()
    """Of the meta cluster; empty where the Cluster's endpoint does not need them."""
    meta_ranges: tuple[str, ...] = ()
    """Addresses of the meta cluster's nodes, and ranges of its pods."""
    machines: tuple[str, ...] = ()
    """Addresses of the Cluster's Machines; empty where no NetworkPolicies are made."""
    pods: tuple[Manifest, ...] = ()
    """Of the control plane; read only when something is not ready."""
    complaints: Mapping[str, EventSummary] = field(default_factory=dict)
    """What the kubelet complains of, by the name of a pod that is not ready in good time."""
    missing_secrets: tuple[str, ...] = ()
    """Secrets that the spec names and that do not exist."""
    known: Known = field(default_factory=Known)
    """What is known of releases."""
    upgrade_backup: BackupSeen | None = None
    """That of `status.upgrade.backup`."""
    probes: tuple[Manifest, ...] = ()
    """Pods that an upgrade's preflight has made; looked for as long as there may be some."""
    others: OtherAddons | None = None
    """Addons for the Cluster that are not its own; None where nobody asked, see `upgrade_addons`."""
    backup_keys: Manifest | None = None
    """The Secret of the keys that came with the backup which etcd began with."""

    def merged(self, changed: Iterable[Manifest]) -> ClusterView:
        """The same view with children that were just written."""
        fresh = {(str(m["kind"]), str(m["metadata"]["name"])): m for m in changed}
        return replace(self, children={**self.children, **fresh})

    def get(self, kind: Kind, name: str) -> Manifest | None:
        """One child."""
        return self.children.get((kind.kind, name))

    def addons(self) -> Listed[Addon]:
        """The Cluster's own Addons, in the order of their names."""
        return listed(Addon, (m for _, m in sorted(self.of(ADDON).items()) if is_whole(m)))

    def of(self, kind: Kind) -> dict[str, Manifest]:
        """All children of a kind, by name; of those that have no name of ours no more than whose
        they are.
        """
        return {name: m for (k, name), m in self.children.items() if k == kind.kind}

    def etcd(self, cluster: str) -> Manifest | None:
        """The EtcdCluster."""
        return self.get(ETCD, names.etcd_cluster(cluster))

    def etcd_contract(self, cluster: str) -> EtcdContract:
        """What the etcd operator says of it."""
        return EtcdContract.of(self.etcd(cluster))

    def etcd_serves(self, cluster: str) -> bool:
        """Whether an API server that starts now finds etcd at its first try.

        One that starts earlier asks again only after one second, then 1.6, 2.6..., exits after 20
        seconds, and kubelet then waits longer from try to try: volumes may take longer than that.
        Measured, starting it earlier gains nothing even where the volume is there at once.
        """
        return self.etcd_secret and self.etcd_contract(cluster).serves

    def etcd_trusted(self, cluster: str) -> str | None:
        """What all API servers that run were started with; as last confirmed while that changes."""
        live = self.get(kinds.DEPLOYMENT, deployment(cluster, API_SERVER)) or {}
        state = self.running(cluster, API_SERVER)
        if state is not None and state.complete:
            source = live["spec"]["template"]["metadata"]
            return (source.get("annotations") or {}).get(ANNOTATION_ETCD_CA)
        source = (self.etcd(cluster) or {}).get("metadata") or {}
        return (source.get("annotations") or {}).get(names.ANNOTATION_CA_TRUSTED)

    def service(self, cluster: str) -> Manifest | None:
        """The API servers' Service."""
        return self.get(kinds.SERVICE, names.api_service(cluster))

    def running(self, cluster: str, component: str) -> Running | None:
        """A component's Deployment; None if there is none (or it is going)."""
        live = self.get(kinds.DEPLOYMENT, deployment(cluster, component))
        if live is None or live["metadata"].get("deletionTimestamp"):
            return None
        return running(component, live)


def running(component: str, live: Manifest) -> Running:
    """What a Deployment says of itself."""
    spec, status = live["spec"], live.get("status") or {}
    desired = int(spec.get("replicas", 1))
    seen = int(status.get("observedGeneration", 0)) >= int(live["metadata"].get("generation", 0))
    ready, updated = int(status.get("readyReplicas", 0)), int(status.get("updatedReplicas", 0))
    total = int(status.get("replicas", 0))
    labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    return Running(
        component,
        version=str(labels.get(LABEL_VERSION, "")),
        desired=desired,
        ready=ready,
        complete=seen and ready >= desired and updated >= desired and total == updated,
        updated=updated if seen else 0,
        ending=int(status.get("terminatingReplicas") or 0),
    )


async def observe(
    kube: Kube,
    cluster: Cluster,
    nodes: MetaNodeCache,
    clock: Clock,
    machines: MachineAddressCache | None = None,
) -> ClusterView:
    """Reads it all side by side. Raises `KubeError`.

    Without `machines` nobody asks where Machines are.
    """
    namespace, labels = cluster.namespace, owner_labels(cluster)
    etcd = names.etcd_cluster(cluster.name)
    always = machines is not None or cluster.spec.nodes.foreign == "Approve"
    async with asking() as group:
        ask = group.create_task
        lists = [
            ask(kube.list(kind, namespace, labels=labels, keep=keep_children(cluster, kind)))
            for kind in CHILDREN
        ]
        secret = ask(_is_there(kube, names.etcd_client_secret(etcd), namespace))
        seen = ask(_meta_nodes(kube, cluster, nodes, clock, always=always))
        missing = ask(_missing_secrets(kube, cluster))
        places = ask(_places(kube, cluster, machines, clock))
        restored_keys = ask(_backup_keys(kube, cluster))
        backup = ask(_upgrade_backup(kube, cluster))
        probes = ask(_probes(kube, cluster))
    meta_nodes = seen.result()
    children = {
        (str(m["kind"]), str(m["metadata"]["name"])): m
        for listed in lists
        for m in listed.result()
        if m and is_child(RULES, m, cluster)
    }
    children.update(await _lost_keys(kube, cluster, children))
    reachable = tuple(node for node in meta_nodes if node.addresses)
    view = ClusterView(
        children,
        secret.result(),
        reachable if cluster.spec.endpoint.type == "NodePort" else (),
        meta_ranges=tuple(r for node in meta_nodes for r in (*node.closed, *node.pod_cidrs)),
        machines=places.result(),
        missing_secrets=missing.result(),
        upgrade_backup=backup.result(),
        probes=probes.result(),
        backup_keys=_made_by(children.get((ETCD.kind, etcd)), restored_keys.result()),
    )
    pods = await _pods(kube, cluster, view)
    return replace(view, pods=pods, complaints=await _complaints(kube, pods, clock.now()))


async def _lost_keys(kube: Kube, cluster: Cluster, children: Children) -> Children:
    """Secrets of keys that exist without being marked as ours.

    Somebody took off the labels, put a lost one back, prepared a CA beforehand, or the Secret was
    kept from an earlier Cluster: it must be seen, or a new key would be made over it.
    """
    missing = [n for n in key_secrets(cluster.name) if (kinds.SECRET.kind, n) not in children]
    whole = keep_whole(cluster)
    async with asking() as group:
        found = [
            group.create_task(kube.get(kinds.SECRET, name, cluster.namespace, keep=whole))
            for name in missing
        ]
    return {
        (kinds.SECRET.kind, name): live
        for name, one in zip(missing, found, strict=True)
        if (live := one.result()) is not None
        and not controlled(live)
        and not is_anothers(RULES, live, cluster)
    }


async def _is_there(kube: Kube, secret: str, namespace: str) -> bool:
    """Whether there is a Secret; what is in it is not kept."""
    return await kube.get(kinds.SECRET, secret, namespace, keep=reference_to) is not None


async def _meta_nodes(
    kube: Kube, cluster: Cluster, nodes: MetaNodeCache, clock: Clock, *, always: bool
) -> tuple[MetaNode, ...]:
    wanted = always or cluster.spec.endpoint.type == "NodePort"
    return await nodes.all(kube, clock) if wanted else ()


async def _places(
    kube: Kube, cluster: Cluster, machines: MachineAddressCache | None, clock: Clock
) -> tuple[str, ...]:
    if machines is None:
        return ()
    return await machines.of(kube, (cluster.namespace, cluster.name), clock)


async def _missing_secrets(kube: Kube, cluster: Cluster) -> tuple[str, ...]:
    wanted = cluster.spec.images.pull_secrets
    async with asking() as group:
        found = [group.create_task(_is_there(kube, name, cluster.namespace)) for name in wanted]
    return tuple(name for name, there in zip(wanted, found, strict=True) if not there.result())


async def _backup_keys(kube: Kube, cluster: Cluster) -> Manifest | None:
    """Looked for only until the Cluster has recorded all its keys."""
    recorded = cluster.status.ca_fingerprints
    if cluster.spec.etcd.restore_from is None or all(
        name in recorded for name in key_secrets(cluster.name)
    ):
        return None
    etcd = names.etcd_cluster(cluster.name)
    secret = names.etcd_keys_secret(etcd)
    return await kube.get(kinds.SECRET, secret, cluster.namespace, keep=slim)


async def _upgrade_backup(kube: Kube, cluster: Cluster) -> BackupSeen | None:
    """Looked for only while an upgrade has one made."""
    upgrade = cluster.status.upgrade
    if upgrade is None or upgrade.backup is None or upgrade.step != "Backup":
        return None
    live = await kube.get(EtcdBackup.info.kind, upgrade.backup, cluster.namespace, keep=unrecorded)
    return backup_seen(live) if live is not None else None


async def _probes(kube: Kube, cluster: Cluster) -> tuple[Manifest, ...]:
    if cluster.status.probes is None:
        return ()
    keep = few(_PROBE, partial(owned_by, owner=cluster), PODS)
    labels = {**owner_labels(cluster), LABEL_PROBE: PROBE}
    found = await kube.list(kinds.POD, cluster.namespace, labels=labels, keep=keep)
    return tuple(pod for pod in found if pod)


def backup_seen(live: Manifest) -> BackupSeen:
    """What an EtcdBackup says of itself; one that cannot be read is one that failed."""
    name = str(live["metadata"]["name"])
    try:
        backup = EtcdBackup.parse(live)
    except Unreadable as odd:
        return BackupSeen(name, proven=False, failed=True, message=str(odd), steps=0)
    status, ready = backup.status, backup.status.condition(conditions.READY)
    stored, proof = status.completed_at is not None, status.verification
    message = ready.message if ready is not None and ready.message else "it has begun"
    if stored and proof is not None and proof.result != "Passed":
        message = f"it is restored for a trial: {proof.message or proof.result}"
    failed = status.phase == "Failed" or (proof is not None and proof.result == "Failed")
    proven = status.proven_at is not None
    return BackupSeen(name, proven, failed, message, steps=int(stored) + int(proven))


def _made_by(etcd: Manifest | None, live: Manifest | None) -> Manifest | None:
    """The Secret if this very EtcdCluster controls it: whoever else made one is not believed."""
    if etcd is None or live is None:
        return None
    controllers = [r for r in live["metadata"].get("ownerReferences") or () if r.get("controller")]
    return live if any(r["uid"] == etcd["metadata"]["uid"] for r in controllers) else None


async def _pods(kube: Kube, cluster: Cluster, view: ClusterView) -> tuple[Manifest, ...]:
    """Pods tell why something is not ready; when all is well nobody needs to ask them.

    Those that are to stop are no part of their Deployments any more, but go on for a while.
    """
    states = [view.running(cluster.name, c) for c in COMPONENTS]
    if not cluster.spec.hibernate and all(s is None or s.complete for s in states):
        return ()
    selector: dict[str, Any] = {names.LABEL_CLUSTER: cluster.name}
    ours = [pod_labels(cluster.name, c).items() for c in COMPONENTS]
    keep = few(
        _POD,
        lambda pod: any(labels <= (pod["metadata"].get("labels") or {}).items() for labels in ours),
        PODS,
    )
    found = await kube.list(kinds.POD, cluster.namespace, labels=selector, keep=keep)
    return tuple(pod for pod in found if pod)


async def _complaints(
    kube: Kube, pods: Iterable[Manifest], now: datetime
) -> dict[str, EventSummary]:
    """What the kubelet says of pods that should be ready by now."""
    late = [pod for pod in pods if is_late(pod, now)]
    async with asking() as group:
        told = [group.create_task(_complaint(kube, pod)) for pod in late]
    return {
        str(pod["metadata"]["name"]): word
        for pod, one in zip(late, told, strict=True)
        if (word := one.result()) is not None
    }


async def _complaint(kube: Kube, pod: Manifest) -> EventSummary | None:
    try:
        return latest_complaint(await events_about(kube, pod))
    except Forbidden:
        # An operator that was installed with lesser rights has less to say.
        return None


def is_late(pod: Manifest, now: datetime) -> bool:
    """Whether a pod was started, is not ready, and had the time for it or a try before."""
    status = pod.get("status") or {}
    containers = status.get("containerStatuses") or ()
    if pod["metadata"].get("deletionTimestamp") or not status.get("startTime"):
        return False
    if all(container.get("ready") for container in containers) and containers:
        return False
    started = datetime.fromisoformat(str(status["startTime"]))
    again = any(container.get("restartCount") for container in containers)
    return again or (now - started).total_seconds() > START
