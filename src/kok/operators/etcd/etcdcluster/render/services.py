"""The two Services: one by which members find each other, one for clients."""

from __future__ import annotations

from kok.api import names
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Manifest
from kok.kube.objects.ownership import owned
from kok.operators.etcd import naming


def peer_service(obj: EtcdCluster) -> Manifest:
    """Headless, with addresses of pods that are not ready: they become so only by each other."""
    spec = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": naming.pod_labels(obj),
        "ports": [
            _port("client", naming.CLIENT_PORT),
            _port("peer", naming.PEER_PORT),
            _port("metrics", naming.METRICS_PORT),
        ],
    }
    return _service(obj, naming.peer_service(obj.name), spec)


def client_service(obj: EtcdCluster, *, single: bool | None = None) -> Manifest:
    """The ready members, for clients; `single`: there is one member and none joins or leaves.

    Of a single member there is no other to go to: clients reach it from the moment on that it
    listens, and not only once a probe has seen it and the news has gone round (1 to 2 s).
    """
    alone = obj.spec.members == 1 if single is None else single
    spec = {
        "type": "ClusterIP",
        "publishNotReadyAddresses": alone,
        "selector": naming.pod_labels(obj),
        "ports": [_port("client", naming.CLIENT_PORT)],
    }
    return _service(obj, names.etcd_client_service(obj.name), spec)


def _service(obj: EtcdCluster, name: str, spec: Manifest) -> Manifest:
    return owned(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "labels": {naming.LABEL_NAME: "etcd"}},
            "spec": spec,
        },
        obj,
    )


def _port(name: str, number: int) -> Manifest:
    return {"name": name, "port": number, "targetPort": number, "protocol": "TCP"}
