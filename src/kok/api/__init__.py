"""The API as users see it: one pydantic model a kind, and the CRDs generated from them.

Nothing in here does I/O, and nothing in here knows an operator: this package is the only place
where the three operators meet.
"""

from kok.api.cluster.addon import Addon
from kok.api.cluster.cluster import Cluster
from kok.api.cluster.fleetupgrade import FleetUpgrade
from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.etcdrestore import EtcdRestore
from kok.api.machine.component import Component
from kok.api.machine.host import Host
from kok.api.machine.kubenode import KubeNode
from kok.api.machine.machine import Machine
from kok.api.meta import GROUP, VERSION, Resource

KINDS: tuple[type[Resource], ...] = (
    EtcdCluster,
    EtcdBackup,
    EtcdRestore,
    Cluster,
    Addon,
    FleetUpgrade,
    Component,
    Host,
    Machine,
    KubeNode,
)
"""Every kind of the API, in the order in which `crds/` and the documentation list them."""

__all__ = [
    "GROUP",
    "KINDS",
    "VERSION",
    "Addon",
    "Cluster",
    "Component",
    "EtcdBackup",
    "EtcdCluster",
    "EtcdRestore",
    "FleetUpgrade",
    "Host",
    "KubeNode",
    "Machine",
    "Resource",
]
