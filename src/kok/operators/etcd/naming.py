"""How the parts of one EtcdCluster are named, labelled and addressed. Pure functions."""

from __future__ import annotations

from kok.api import names
from kok.api.etcd.etcdcluster import EtcdCluster

PEER_PORT = 2380
CLIENT_PORT = 2379
METRICS_PORT = 2381

LABEL_NAME = "app.kubernetes.io/name"
LABEL_MEMBER = "kok.dev/etcd-member"
"""On a member's StatefulSet, pod and volume: the member's name."""
LABEL_OWNER_UID = names.LABEL_OWNER_UID
"""On volumes: UID of the EtcdCluster whose data they hold."""
ANNOTATION_CLUSTER_ID = "kok.dev/etcd-cluster-id"
ANNOTATION_MEMBER_ID = "kok.dev/etcd-member-id"
ANNOTATION_VERSION = "kok.dev/etcd-version"
"""On volumes: what a later EtcdCluster has to know to start from them."""
ANNOTATION_FENCED = "kok.dev/etcd-fenced"
"""On volumes: `true` if another member went on alone, so that what is there is no member's any more."""
ANNOTATION_CA = "kok.dev/ca"
"""On pods: which CA they trust; etcd reads its CA only when it starts."""
ANNOTATION_SETTINGS = "kok.dev/settings"
"""On pods: hash of what they were made from. On Jobs: of what the user wants of their pods."""
ANNOTATION_NUDGED = "kok.dev/nudged"
"""On a pod: when the kubelet was made to look at it again."""
ANNOTATION_ADOPT = "kok.dev/adopt-volumes"
"""On an EtcdCluster: ID of the earlier etcd cluster whose retained volumes it is to go on with."""
ANNOTATION_ROTATE_CA = "kok.dev/rotate-ca"
"""On an EtcdCluster: another CA is wanted; another value asks for yet another."""
ANNOTATION_MOVE = "kok.dev/move-members"
"""On an EtcdCluster: names of members that are to move, separated by commas, or `all`."""
ANNOTATION_SLOT = "kok.dev/backup-slot"
"""On an EtcdBackup: the time at which its EtcdCluster's schedule was due."""
ANNOTATION_RESCUE = "kok.dev/quorum-lost-at"
"""On an EtcdRestore that `spec.recovery.policy` had made: since when there was no quorum."""

ANNOTATION_VERIFY = names.ANNOTATION_VERIFY
"""On an EtcdBackup: a proof that it can be restored is wanted; another value asks for another."""

WORKER = "etcd-worker"
"""Name, as a label, of the Jobs that move backups."""
LABEL_WORKER = "kok.dev/etcd-worker"
"""On Jobs that move backups and on their pods: what they do."""
ANNOTATION_WITHOUT_BACKUP = "kok.dev/upgrade-without-backup"
"""On an EtcdCluster: the version to which it may be upgraded although no fresh backup is there."""
ANNOTATION_SLEEP_WITHOUT_BACKUP = "kok.dev/hibernate-without-backup"
"""On an EtcdCluster: `true` stops its members without a fresh backup."""

PEER_COMMON_NAME = "etcd-peer"
"""Members talk only to holders of a certificate with this name: clients cannot act as peers."""
CLIENT_COMMON_NAME = "etcd-client"
SERVER_COMMON_NAME = "etcd-server"


def restore_from(etcd: str) -> str:
    """The EtcdRestore by which an EtcdCluster with `spec.restoreFrom` gets its first data."""
    return f"{etcd}-restore-from"


def member_names(etcd: str, count: int) -> tuple[str, ...]:
    """The first members' names; a member that is replaced later gets the next free number."""
    return tuple(f"{etcd}-{number}" for number in range(count))


def number_of(etcd: str, member: str) -> int | None:
    """The number in a member's name, or None if it is not one of that EtcdCluster's names."""
    digits = member.removeprefix(f"{etcd}-")
    return int(digits) if digits != member and digits.isdigit() else None


def pod_name(member: str) -> str:
    """The only pod of a member's StatefulSet."""
    return f"{member}-0"


def peer_service(etcd: str) -> str:
    """The headless Service by which members find each other, ready or not."""
    return f"{etcd}-peers"


def workers_policy(etcd: str) -> str:
    """The NetworkPolicy of the Jobs that move backups; that of the members is named `etcd`."""
    return f"{etcd}-workers"


def own_policy(work: str, uid: str) -> str:
    """The NetworkPolicy of the Jobs of one EtcdBackup or EtcdRestore; `uid` keeps the name free."""
    return f"{work}-workers-{uid[:8]}"


def start_map(etcd: str) -> str:
    """The ConfigMap that tells members how to start."""
    return f"{etcd}-start"


def peer_secret(etcd: str) -> str:
    """Secret of the certificate by which members know each other."""
    return f"{etcd}-peer"


def next_ca_secret(etcd: str) -> str:
    """Secret of the CA that is to take the place of the one in use."""
    return f"{names.etcd_ca_secret(etcd)}-next"


def server_secret(etcd: str) -> str:
    """Secret of the certificate that members show to clients."""
    return f"{etcd}-server"


def leaf_secrets(etcd: str) -> tuple[str, str, str]:
    """Secrets of all certificates that the CA signs."""
    return names.etcd_client_secret(etcd), peer_secret(etcd), server_secret(etcd)


def host(etcd: str, namespace: str, member: str) -> str:
    """DNS name of a member's pod. Ends in `.svc`: pods know their cluster's domain by themselves."""
    return f"{pod_name(member)}.{peer_service(etcd)}.{namespace}.svc"


def peer_url(etcd: str, namespace: str, member: str) -> str:
    """Where other members reach a member."""
    return f"https://{host(etcd, namespace, member)}:{PEER_PORT}"


def client_url(etcd: str, namespace: str, member: str) -> str:
    """Where clients reach one member."""
    return f"https://{host(etcd, namespace, member)}:{CLIENT_PORT}"


def client_host(etcd: str, namespace: str) -> str:
    """DNS name of the Service of ready members."""
    return f"{names.etcd_client_service(etcd)}.{namespace}.svc"


def endpoint(etcd: str, namespace: str) -> str:
    """Where clients reach the cluster."""
    return f"https://{client_host(etcd, namespace)}:{CLIENT_PORT}"


def pod_endpoint(address: str) -> str:
    """A member's client address by its pod's IP."""
    return f"https://{f'[{address}]' if ':' in address else address}:{CLIENT_PORT}"


def metrics_endpoint(address: str) -> str:
    """Where a member serves metrics and probes, over plain HTTP, by its pod's IP."""
    return f"http://{f'[{address}]' if ':' in address else address}:{METRICS_PORT}"


def initial_cluster(etcd: str, namespace: str, members: tuple[str, ...]) -> str:
    """`--initial-cluster` for members that form a new cluster together."""
    return ",".join(f"{member}={peer_url(etcd, namespace, member)}" for member in members)


def pod_labels(obj: EtcdCluster) -> dict[str, str]:
    """What selects all member pods of an EtcdCluster, and nothing else."""
    return {
        LABEL_NAME: "etcd",
        names.LABEL_OWNER_KIND: obj.info.kind.kind,
        names.LABEL_OWNER_NAME: obj.name,
    }


def member_labels(obj: EtcdCluster, member: str) -> dict[str, str]:
    """What selects one member's pod."""
    return {**pod_labels(obj), LABEL_MEMBER: member}
