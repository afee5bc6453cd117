"""Objects for tests of the cluster operator, as small as they may be."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from kok import pki
from kok.api import names
from kok.api.cluster.cluster import Cluster
from kok.api.meta import Manifest
from kok.kube.objects.ownership import owned
from kok.operators.cluster import naming
from kok.operators.cluster.cluster.observe import ClusterView, OtherAddons
from kok.operators.cluster.endpoint import MetaNode

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
VERSION = "1.37.1"
META_1 = MetaNode("meta-1", ("192.0.2.10",), usable=True)
META_2 = MetaNode("meta-2", ("192.0.2.11",), usable=True)


def a_cluster(
    name: str = "shop",
    *,
    status: dict[str, Any] | None = None,
    annotations: dict[str, str] | None = None,
    **spec: Any,
) -> Cluster:
    """A Cluster as the API server would give it; fields of the spec in their JSON spelling."""
    manifest = {
        "apiVersion": "kok.dev/v1alpha1",
        "kind": "Cluster",
        "metadata": {
            "name": name,
            "namespace": "team-a",
            "uid": "uid-1",
            "generation": 1,
            "annotations": annotations or {},
        },
        "spec": {"version": VERSION, "profile": "edge", **spec},
        "status": status or {},
    }
    return Cluster.parse(manifest)


def a_service(kind: str = "NodePort", *, node_port: int = 31443, **status: Any) -> Manifest:
    """The API servers' Service as the meta cluster keeps it."""
    port: dict[str, Any] = {"port": 6443}
    if kind != "ClusterIP":
        port["nodePort"] = node_port
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "shop-apiserver", "namespace": "team-a"},
        "spec": {"type": kind, "clusterIP": "10.96.7.7", "ports": [port]},
        "status": status,
    }


def a_deployment(
    component: str,
    *,
    version: str = VERSION,
    ready: int = 1,
    desired: int = 1,
    updated: int | None = None,
    total: int | None = None,
    cluster: str = "shop",
) -> Manifest:
    """A component's Deployment; by default all is well as soon as `ready` is `desired`."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": naming.deployment(cluster, component),
            "namespace": "team-a",
            "generation": 2,
        },
        "spec": {
            "replicas": desired,
            "template": {"metadata": {"labels": {naming.LABEL_VERSION: version}}},
        },
        "status": {
            "observedGeneration": 2,
            "replicas": desired if total is None else total,
            "readyReplicas": ready,
            "updatedReplicas": desired if updated is None else updated,
        },
    }


def an_etcd(*, ready: bool = True, available: bool | None = None, **spec: Any) -> Manifest:
    """The EtcdCluster."""
    conditions = [_condition("Ready", ready)]
    if available is not None:
        conditions.append(_condition("Available", available))
    return {
        "apiVersion": "kok.dev/v1alpha1",
        "kind": "EtcdCluster",
        "metadata": {"name": names.etcd_cluster("shop"), "namespace": "team-a"},
        "spec": spec,
        "status": {"conditions": conditions},
    }


def an_addon(
    name: str, *, applied: bool = True, healthy: bool = True, reason: str = "AsWanted"
) -> Manifest:
    """One of the Cluster's own Addons."""
    conditions = [
        _condition("Applied", applied, reason),
        _condition("Healthy", healthy, reason),
        _condition("Ready", applied and healthy, reason),
    ]
    return {
        "apiVersion": "kok.dev/v1alpha1",
        "kind": "Addon",
        "metadata": {"name": f"shop-{name}", "namespace": "team-a", "generation": 1},
        "spec": {"cluster": "shop", "source": {"builtin": name}},
        "status": {"observedGeneration": 1, "version": "v1", "conditions": conditions},
    }


def _condition(type_: str, holds: bool, reason: str = "Because") -> dict[str, Any]:
    return {
        "type": type_,
        "status": str(holds),
        "reason": reason,
        "message": f"{type_} is {holds}",
        "lastTransitionTime": "2026-11-22T11:00:00Z",
    }


def a_view(*children: Manifest, etcd_secret: bool = True, **rest: Any) -> ClusterView:
    """What is there."""
    found = {(str(m["kind"]), str(m["metadata"]["name"])): m for m in children}
    return ClusterView(
        found, etcd_secret, **{"nodes": (META_1, META_2), "others": OtherAddons(), **rest}
    )


def all_running(version: str = VERSION, **changes: Any) -> list[Manifest]:
    """All three Deployments."""
    return [a_deployment(component, version=version, **changes) for component in naming.COMPONENTS]


def quick_pair() -> pki.KeyPair:
    """Service account keys of a kind that is made in no time."""
    private = pki.new_ca("quick", NOW).key_pem
    return pki.KeyPair(private, pki.public_pem_of(private))


def applied(cluster: Cluster, manifests: list[Manifest]) -> dict[str, Manifest]:
    """Manifests by name, as if they had been applied."""
    return {m["metadata"]["name"]: owned(m, cluster) for m in manifests}


def a_node(name: str, *addresses: str, ready: bool = True, cordoned: bool = False) -> Manifest:
    """A node, of the meta cluster or of a business cluster."""
    return {
        "kind": "Node",
        "metadata": {"name": name},
        "spec": {"unschedulable": cordoned},
        "status": {
            "addresses": [{"type": "InternalIP", "address": a} for a in addresses],
            "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }
