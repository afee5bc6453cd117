"""The control plane's components and what their objects in the meta cluster are called."""

from __future__ import annotations

from typing import Final

from kok.api import names
from kok.pki import TLS_CRT, TLS_KEY

API_SERVER: Final = "kube-apiserver"
CONTROLLER_MANAGER: Final = "kube-controller-manager"
SCHEDULER: Final = "kube-scheduler"
COMPONENTS: Final = (API_SERVER, CONTROLLER_MANAGER, SCHEDULER)
"""In the order in which a new version reaches them."""
SPEC_FIELDS: Final = {
    API_SERVER: "apiServer",
    CONTROLLER_MANAGER: "controllerManager",
    SCHEDULER: "scheduler",
}
"""Field of `spec` for each component, as sentences for users name it."""

SA_KEY, SA_PUB = "sa.key", "sa.pub"
ENCRYPTION_KEY = "key1"
KUBECONFIG, VALUE = "kubeconfig", "value"
CA_KEY, FRONT_PROXY_CA, ENCRYPTION_CONFIG = "ca.key", "front-proxy-ca.crt", "encryption.json"
EGRESS_CONFIG = "egress.json"
ROOTS = "roots.crt"
"""The CA and its issuers, for pods of the business cluster; only where the CA has issuers."""
FIELD_MANAGER: Final = "kok-cluster"
"""As whom the operator writes, in the meta cluster and in business clusters."""

LABEL_VERSION: Final = "app.kubernetes.io/version"
ANNOTATION_ETCD_CA: Final = "kok.dev/etcd-ca"
"""On the API servers' pods: which CAs of etcd they read when they started; only after a change."""
ANNOTATION_TUNNEL: Final = "kok.dev/konnectivity-certificate"
"""On the API servers' pods: hash of the certificate that agents are shown, which is read only once."""
ANNOTATION_WAY_INSIDE: Final = "kok.dev/way-inside"
"""On the API servers' NetworkPolicy: `TUNNEL` once the straight way to nodes and pods is closed."""
TUNNEL: Final = "tunnel"
LABEL_PROBE: Final = "kok.dev/probe"
"""On pods that try before an upgrade whether those of the new version have room and images."""
PROBE: Final = "upgrade"
"""What that label says."""
LABEL_PROBED: Final = "kok.dev/probed"
"""On them: the component."""
LABEL_ADDON: Final = "kok.dev/addon"
"""On every object that an Addon applies: the Addon's name."""


def deployment(cluster: str, component: str) -> str:
    """Deployment and PodDisruptionBudget of a component: `shop-apiserver`."""
    return f"{cluster}-{component.removeprefix('kube-')}"


def pod_labels(cluster: str, component: str) -> dict[str, str]:
    """What selects the pods of a component; never to be changed, selectors are immutable."""
    return {names.LABEL_CLUSTER: cluster, names.LABEL_COMPONENT: component}


def probe_policy(cluster: str) -> str:
    """NetworkPolicy of the pods that try something before an upgrade."""
    return f"{cluster}-probe"


def probe_labels(cluster: str) -> dict[str, str]:
    """What selects these pods, and nothing that selects those of a component does."""
    return {names.LABEL_CLUSTER: cluster, LABEL_PROBE: PROBE}


def serving_secret(cluster: str) -> str:
    """kubernetes.io/tls: the API server's own certificate."""
    return f"{cluster}-apiserver-tls"


def keys_secret(cluster: str) -> str:
    """Opaque: service account keys and encryption configuration as the API server reads them."""
    return f"{cluster}-apiserver-keys"


def kubelet_client_secret(cluster: str) -> str:
    """kubernetes.io/tls: by which the API server talks to kubelets."""
    return f"{cluster}-kubelet-client"


def front_proxy_client_secret(cluster: str) -> str:
    """kubernetes.io/tls: by which the API server talks to aggregated API servers."""
    return f"{cluster}-front-proxy-client"


def controller_manager_secret(cluster: str) -> str:
    """kubernetes.io/tls: the controller manager's identity, and the keys that it signs with."""
    return f"{cluster}-controller-manager"


def scheduler_secret(cluster: str) -> str:
    """kubernetes.io/tls: the scheduler's identity."""
    return f"{cluster}-scheduler"


def konnectivity(cluster: str) -> str:
    """Service and Secret (kubernetes.io/tls, with kubeconfig) of the outer end of a tunnel."""
    return f"{cluster}-konnectivity"


encryption_secret, kept_keys = names.encryption_secret, names.kept_keys
"""Where they are kept in backups the etcd operator knows them, too."""


def leaf_secrets(cluster: str) -> tuple[str, ...]:
    """Secrets of certificates that are renewed, those within kubeconfigs among them."""
    return (
        serving_secret(cluster),
        kubelet_client_secret(cluster),
        front_proxy_client_secret(cluster),
        controller_manager_secret(cluster),
        scheduler_secret(cluster),
        konnectivity(cluster),
        *(names.operator_secret(cluster, operator) for operator in names.OPERATORS),
        names.internal_kubeconfig_secret(cluster),
        names.admin_kubeconfig_secret(cluster),
    )


def secrets(cluster: str) -> frozenset[str]:
    """All Secrets of a Cluster."""
    return frozenset((*key_secrets(cluster), keys_secret(cluster), *leaf_secrets(cluster)))


def key_entries(secret: str) -> tuple[str, ...]:
    """The entries of one of `key_secrets` that nothing can replace."""
    if secret.endswith("-ca"):
        return (TLS_CRT, TLS_KEY)
    return (SA_KEY,) if secret.endswith("-sa") else (ENCRYPTION_KEY,)


def key_secrets(cluster: str) -> tuple[str, ...]:
    """Secrets of what is made once and never again: CAs, service account keys, encryption key."""
    return tuple(kept_keys(cluster).values())
