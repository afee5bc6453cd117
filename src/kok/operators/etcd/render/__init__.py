"""What an EtcdCluster is made of, as manifests: pure functions, one file for each kind."""

from kok.operators.etcd.render.budget import budget
from kok.operators.etcd.render.forced import forced
from kok.operators.etcd.render.network import network_policies, own_policy
from kok.operators.etcd.render.secrets import ca_secret, leaf_secret
from kok.operators.etcd.render.services import client_service, peer_service
from kok.operators.etcd.render.start import Start, start_map
from kok.operators.etcd.render.statefulset import quota_bytes, short, statefulset
from kok.operators.etcd.render.volume import Facts, volume

__all__ = [
    "Facts",
    "Start",
    "budget",
    "ca_secret",
    "client_service",
    "forced",
    "leaf_secret",
    "network_policies",
    "own_policy",
    "peer_service",
    "quota_bytes",
    "short",
    "start_map",
    "statefulset",
    "volume",
]
