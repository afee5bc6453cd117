"""Names and labels that more than one operator relies on; nothing else may be shared."""

from __future__ import annotations

import ipaddress

LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_COMPONENT = "app.kubernetes.io/component"
MANAGED_BY = "kok"
LABEL_OWNER_KIND = "kok.dev/owner-kind"
LABEL_OWNER_NAME = "kok.dev/owner-name"
LABEL_OWNER_UID = "kok.dev/owner-uid"
"""On what has no owner reference, or is to outlive it: the UID of the object that it belongs to."""
LABEL_CLUSTER = "kok.dev/cluster"
LABEL_KUBENODE = "kok.dev/kubenode"
LABEL_HOST = "kok.dev/host"
"""On a Machine: the Host object that it came from."""
ANNOTATION_INTENT = "kok.dev/intent"
ANNOTATION_WAVE = "kok.dev/wave"
"""On an object that an Addon applies: a whole number. Lower waves come first, and each is healthy
before the next one is applied."""
ANNOTATION_MADE_BY = "kok.dev/made-by"
"""On a Namespace or CustomResourceDefinition in a business cluster: the Addon that made it, with which it
goes. One that was there before has none, and stays."""
ANNOTATION_TRUST_HOST_KEY = "kok.dev/trust-host-key"
"""On a Machine or Host: the one new host key to trust, `SHA256:...` as OpenSSH prints it."""
ANNOTATION_ABANDON_HOST = "kok.dev/abandon-host"
"""On a Machine or Host that is being deleted: `true` lets it go without cleaning up the host."""
ANNOTATION_RELEASE = "kok.dev/release"
"""On a Machine: `true` has its host left as it is when it is deleted, as `spec.onRemove: Release` does."""
ABANDONED_HOSTS = "kok-abandoned-hosts"
"""ConfigMap beside the operators: hosts that were left without a clean-up, by the UID of their
Machine, as JSON. It outlives the namespaces that they were used in."""
ANNOTATION_PREFETCH = "kok.dev/prefetch"
"""On a Machine: names of Components, separated by commas, whose files its host fetches beforehand."""
ANNOTATION_CORDONED_BY = "kok.dev/cordoned-by"
"""On a Node of a business cluster that a Machine cordoned, as `namespace/name`; set and taken away in
the very writes that cordon and uncordon it. A Node without it was cordoned by somebody else."""
ANNOTATION_TRUST_CA = "kok.dev/trust-ca"
"""On a Cluster or EtcdCluster: SHA-256 of a CA certificate to accept in place of the recorded."""
ANNOTATION_CA_TRUSTED = "kok.dev/ca-trusted"
"""On an EtcdCluster: the `status.caRotation.clients` with which its Cluster's API servers run."""

ANNOTATION_VERIFY = "kok.dev/verify"
"""On an EtcdBackup: another value than the last one has it restored for a trial."""
ANNOTATION_UPGRADE_RETRY = "kok.dev/upgrade-retry"
"""On a Cluster: another value has an upgrade that was backed out of tried again."""
ANNOTATION_PREFLIGHT = "kok.dev/preflight"
"""On a Cluster: a version that is only checked, as by `spec.upgrade.preflight`; what follows it behind a
comma tells one asking from the next."""
ANNOTATION_UPGRADE_CONSENT = "kok.dev/upgrade-consent"
"""On a Cluster: findings of the preflight, separated by commas, that are no reason not to upgrade: each
the word of a check, or that and the object, such as `Webhooks/policy/pods.example.org`."""

ANNOTATION_APPROVE = "kok.dev/approve"
"""On a FleetUpgrade: waves that may begin, separated by commas. What was seen once stays approved."""
ANNOTATION_RETRY = "kok.dev/retry"
"""On a FleetUpgrade, or an Addon for many Clusters: another value has Clusters that failed or were skipped
tried again."""

LABEL_BACKED_UP = "kok.dev/backed-up"
"""On a Secret: `true` lets its content be kept in backups, sealed (`spec.backup.keys.secrets`)."""

MACHINE_BOOTSTRAPPERS = "system:bootstrappers:kok:machines"
"""Group of the bootstrap tokens of Machines. Nothing that it asks for is granted by itself: the
machine operator approves what fits the token's Machine."""

OPERATORS = ("cluster", "machine")
"""The operators that work inside business clusters."""

API_PORT = 6443
"""Port of a business cluster's API inside the meta cluster."""


def etcd_cluster(cluster: str) -> str:
    """The EtcdCluster of a Cluster."""
    return f"{cluster}-etcd"


def etcd_client_secret(etcd: str) -> str:
    """Secret (kubernetes.io/tls, with ca.crt) by which an API server reaches an EtcdCluster."""
    return f"{etcd}-client"


def etcd_client_service(etcd: str) -> str:
    """Service of an EtcdCluster's ready members, port 2379."""
    return f"{etcd}-client"


def etcd_ca_secret(etcd: str) -> str:
    """Secret of an EtcdCluster's own CA."""
    return f"{etcd}-ca"


def etcd_keys_secret(etcd: str) -> str:
    """Secret of the keys that came with the backup of an EtcdCluster's `spec.restoreFrom`."""
    return f"{etcd}-keys"


def api_service(cluster: str) -> str:
    """Service in front of a Cluster's API servers."""
    return f"{cluster}-apiserver"


def api_host(namespace: str, cluster: str) -> str:
    """Name by which pods of the meta cluster reach a Cluster's API servers."""
    return f"{api_service(cluster)}.{namespace}.svc"


def internal_url(namespace: str, cluster: str) -> str:
    """A Cluster's API inside the meta cluster."""
    return f"https://{api_host(namespace, cluster)}:{API_PORT}"


def cluster_ca_secret(cluster: str) -> str:
    """Secret of the CA that signs a Cluster's API server, clients and kubelets."""
    return f"{cluster}-ca"


def front_proxy_ca_secret(cluster: str) -> str:
    """Secret of the CA for aggregated API servers."""
    return f"{cluster}-front-proxy-ca"


def service_account_secret(cluster: str) -> str:
    """Secret of the key pair that signs service account tokens."""
    return f"{cluster}-sa"


def encryption_secret(cluster: str) -> str:
    """Secret of the keys by which a Cluster's Secrets are encrypted in etcd."""
    return f"{cluster}-encryption"


def kept_keys(cluster: str) -> dict[str, str]:
    """Secrets of a Cluster's keys that nothing can replace, by what they are called in a backup,
    whatever the Cluster is called.
    """
    return {
        "ca": cluster_ca_secret(cluster),
        "front-proxy-ca": front_proxy_ca_secret(cluster),
        "sa": service_account_secret(cluster),
        "encryption": encryption_secret(cluster),
    }


def admin_kubeconfig_secret(cluster: str) -> str:
    """Secret with the admin kubeconfig for the public endpoint (keys `kubeconfig`, `value`)."""
    return f"{cluster}-kubeconfig"


def internal_kubeconfig_secret(cluster: str) -> str:
    """Secret with the admin kubeconfig for use inside the meta cluster (key `kubeconfig`)."""
    return f"{cluster}-kubeconfig-internal"


def operator_secret(cluster: str, operator: str) -> str:
    """Secret (kubernetes.io/tls, with ca.crt) of one operator's identity inside a Cluster."""
    return f"{cluster}-operator-{operator}"


def operator_user(operator: str) -> str:
    """As whom an operator works inside business clusters."""
    return f"kok:{operator}-operator"


def operator_group(operator: str) -> str:
    """The group to which an operator's rights inside business clusters are bound."""
    return f"kok:{operator}-operators"


def context(namespace: str, cluster: str) -> str:
    """What context, cluster and user are called in a Cluster's kubeconfig: no other's are."""
    return f"{namespace}/{cluster}"


def cluster_addon(cluster: str, addon: str) -> str:
    """The Addon object that a Cluster makes for one entry of `spec.addons` or a default."""
    return f"{cluster}-{addon}"


def component(name: str, version: str) -> str:
    """The Component object of one version of a piece of on-host software."""
    return f"{name}-{version}"


def machine(kubenode: str, host: str) -> str:
    """The Machine object for one host of a KubeNode."""
    return f"{kubenode}-{host}"


def nth_address(cidr: str, n: int) -> str:
    """The n-th address of a range: 1 is the `kubernetes` Service, 10 the cluster's DNS.

    >>> nth_address("10.65.0.0/20", 10)
    '10.65.0.10'
    """
    return str(ipaddress.ip_network(cidr)[n])
