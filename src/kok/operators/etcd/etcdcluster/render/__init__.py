"""What an EtcdCluster is made of, as manifests: pure functions, one file for each kind."""

from kok.operators.etcd.etcdcluster.render.disruptionbudget import budget
from kok.operators.etcd.etcdcluster.render.forced import forced
from kok.operators.etcd.etcdcluster.render.networkpolicy import network_policies
from kok.operators.etcd.etcdcluster.render.secrets import ca_secret, leaf_secret
from kok.operators.etcd.etcdcluster.render.services import client_service, peer_service
from kok.operators.etcd.etcdcluster.render.startmap import Start, start_map
from kok.operators.etcd.etcdcluster.render.statefulset import quota_bytes, statefulset
from kok.operators.etcd.etcdcluster.render.volume import VolumeNotes, volume

__all__ = [
    "Start",
    "VolumeNotes",
    "budget",
    "ca_secret",
    "client_service",
    "forced",
    "leaf_secret",
    "network_policies",
    "peer_service",
    "quota_bytes",
    "start_map",
    "statefulset",
    "volume",
]
