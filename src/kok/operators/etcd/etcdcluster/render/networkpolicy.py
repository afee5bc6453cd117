"""The NetworkPolicies of an etcd cluster: of its members, and of the Jobs that move backups.

Jobs of a backup that outlived its etcd cluster have one of their own.
"""

from __future__ import annotations

from kok.api import names
from kok.api.cluster.cluster import Cluster
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Manifest
from kok.kube.objects import networkpolicy
from kok.kube.objects.ownership import owned
from kok.operators.etcd import naming
from kok.operators.etcd.jobs.networkpolicy import WORKERS
from kok.operators.etcd.jobs.networkpolicy import to_stores as _stores
from kok.runtime.policy import Policies

CLIENT = ("TCP", naming.CLIENT_PORT)
PEER = ("TCP", naming.PEER_PORT)
METRICS = ("TCP", naming.METRICS_PORT)


def network_policies(obj: EtcdCluster, policies: Policies, namespace: str) -> list[Manifest]:
    """Both policies, or none where they are switched off; `namespace` is the operators' own."""
    if not policies.isolates():
        return []
    made = [_members(obj, policies, namespace), _workers(obj, policies)]
    return [owned(one, obj) for one in made]


def _members(obj: EtcdCluster, policies: Policies, namespace: str) -> Manifest:
    """Members talk to each other; everybody else only to them, by their clients' port."""
    members = networkpolicy.pods(naming.pod_labels(obj))
    operator = networkpolicy.pods_in(namespace, policies.operator_pods)
    clients = [_clients(obj), networkpolicy.pods(WORKERS), operator]
    return networkpolicy.policy(
        obj.name,
        naming.pod_labels(obj),
        ingress=[
            networkpolicy.coming(clients, CLIENT),
            networkpolicy.coming([members], PEER),
            networkpolicy.coming([operator, *(dict(one) for one in policies.scrapers)], METRICS),
        ],
        egress=[networkpolicy.going([members], PEER), networkpolicy.dns(policies.dns_servers)],
    )


def _clients(obj: EtcdCluster) -> Manifest:
    """The API servers of the Cluster that it belongs to; without one, pods of the namespace.

    Who has other clients than these adds a NetworkPolicy of his own: policies add up.
    """
    for reference in obj.metadata.owner_references:
        if reference.controller and reference.kind == Cluster.info.kind.kind:
            return networkpolicy.pods(
                {names.LABEL_CLUSTER: reference.name, names.LABEL_COMPONENT: "kube-apiserver"}
            )
    return networkpolicy.pods({})


def _workers(obj: EtcdCluster, policies: Policies) -> Manifest:
    """They go to a store, which may be anywhere but where the administrator closes."""
    return networkpolicy.policy(
        naming.workers_policy(obj.name),
        WORKERS,
        ingress=[],
        egress=[
            networkpolicy.going([networkpolicy.pods(naming.pod_labels(obj))], CLIENT),
            networkpolicy.dns(policies.dns_servers),
            _stores(policies),
        ],
    )
