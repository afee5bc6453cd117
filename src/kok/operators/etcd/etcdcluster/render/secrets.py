"""The Secrets: the CA, and one for each certificate."""

from __future__ import annotations

from kok.api import names
from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Manifest
from kok.kube.objects.ownership import owned
from kok.operators.etcd import naming
from kok.pki import (
    TLS_SECRET_TYPE,
    CertificateAuthority,
    Leaf,
    ca_secret_data,
    tls_secret_data,
)


def ca_secret(obj: EtcdCluster, ca: CertificateAuthority, name: str | None = None) -> Manifest:
    """A CA with its key; the one in use if no `name` is given."""
    return _secret(obj, name or names.etcd_ca_secret(obj.name), ca_secret_data(ca))


def leaf_secret(obj: EtcdCluster, name: str, leaf: Leaf, trust: bytes) -> Manifest:
    """A certificate with its key and what its holder is to trust (PEM)."""
    return _secret(obj, name, tls_secret_data(leaf, trust))


def _secret(obj: EtcdCluster, name: str, data: dict[str, str]) -> Manifest:
    return owned(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": TLS_SECRET_TYPE,
            "metadata": {"name": name, "labels": {naming.LABEL_NAME: "etcd"}},
            "data": data,
        },
        obj,
    )
