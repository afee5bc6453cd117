"""The StatefulSet of one member. Its pod template must not change by an upgrade of the operator."""

from __future__ import annotations

import json
from decimal import Decimal

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Manifest
from kok.kube.objects.ownership import owned, owner_labels
from kok.kube.objects.quantity import parse_quantity
from kok.operators.etcd import naming
from kok.operators.etcd.etcdcluster.render.startmap import cluster_key, state_key
from kok.operators.etcd.pods import DATA, USER, affinity, placed, plain, short
from kok.versions import EtcdRelease, etcd

CERTIFICATES = "/etc/etcd"
LOG_ROOM = 512 * 1024**2
"""Bytes of the volume that the database never gets: the write-ahead log and snapshots need them."""
START_LIMIT = 3600
"""Seconds after which a member that never became ready is started anew.

Long on purpose: readiness needs a quorum, and members that wait for each other must not be killed.
"""


def statefulset(obj: EtcdCluster, member: str, ca: str, size: str | None = None) -> Manifest:
    """One replica, never rolled by Kubernetes itself: a restart is the operator's decision.

    `ca` is the fingerprint of the CA that the member trusts; `size` that of its volume where it
    has not grown to `spec.storage.size` yet. Raises `kok.versions.UnknownVersion`.
    """
    release = etcd(obj.spec.version)
    labels = naming.member_labels(obj, member)
    pod = _pod(obj, member, release, size or obj.spec.storage.size)
    return owned(
        {
            "apiVersion": "apps/v1",
            "kind": "StatefulSet",
            "metadata": {
                "name": member,
                "labels": {naming.LABEL_NAME: "etcd", naming.LABEL_MEMBER: member},
            },
            "spec": {
                "replicas": 1,
                "serviceName": naming.peer_service(obj.name),
                "podManagementPolicy": "Parallel",
                "updateStrategy": {"type": "OnDelete"},
                "revisionHistoryLimit": 2,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {
                        "labels": {**owner_labels(obj), **labels},
                        "annotations": {
                            naming.ANNOTATION_CA: short(ca),
                            naming.ANNOTATION_SETTINGS: short(json.dumps(pod, sort_keys=True)),
                        },
                    },
                    "spec": pod,
                },
            },
        },
        obj,
    )


def quota_bytes(size: str, share: str) -> int:
    """The database's limit: a share of the volume, but with room left for logs.

    >>> quota_bytes("8Gi", "80%")
    6871947673
    >>> quota_bytes("1Gi", "80%")
    536870912
    """
    total = parse_quantity(size)
    return int(min(total * Decimal(share.rstrip("%")) / 100, total - LOG_ROOM))


def _pod(obj: EtcdCluster, member: str, release: EtcdRelease, size: str) -> Manifest:
    spec = obj.spec
    pod: Manifest = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationGracePeriodSeconds": 30,
        "affinity": affinity(obj),
        "containers": [_container(obj, member, release, size)],
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": member}},
            _secret_volume("server", naming.server_secret(obj.name)),
            _secret_volume("peer", naming.peer_secret(obj.name)),
        ],
    }
    pod.update(placed(obj))
    if spec.images.pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in spec.images.pull_secrets]
    return pod


def _container(obj: EtcdCluster, member: str, release: EtcdRelease, size: str) -> Manifest:
    probes = release.facts.probes
    return {
        "name": "etcd",
        "image": release.image(obj.spec.images.registry),
        "imagePullPolicy": "IfNotPresent",
        "command": ["etcd", *arguments(obj, member, release, size)],
        # Not arguments: these are looked up at each start, see `start`.
        "env": [
            _from_start_map(obj, "ETCD_INITIAL_CLUSTER", cluster_key(member)),
            _from_start_map(obj, "ETCD_INITIAL_CLUSTER_STATE", state_key(member)),
        ],
        "ports": [
            {"name": "client", "containerPort": naming.CLIENT_PORT, "protocol": "TCP"},
            {"name": "peer", "containerPort": naming.PEER_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": naming.METRICS_PORT, "protocol": "TCP"},
        ],
        "resources": plain(obj.spec.resources),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        # The last words of a member that ends are shown in our status.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "startupProbe": _probe(probes.startup, period=1, timeout=5, failures=START_LIMIT),
        "readinessProbe": _probe(probes.readiness, period=1, timeout=5, failures=3),
        "livenessProbe": _probe(probes.liveness, period=10, timeout=10, failures=6),
        "volumeMounts": [
            {"name": "data", "mountPath": DATA},
            {"name": "server", "mountPath": f"{CERTIFICATES}/server", "readOnly": True},
            {"name": "peer", "mountPath": f"{CERTIFICATES}/peer", "readOnly": True},
        ],
    }


def arguments(obj: EtcdCluster, member: str, release: EtcdRelease, size: str) -> list[str]:
    """etcd's command line."""
    name, namespace = obj.name, obj.namespace
    compaction = obj.spec.maintenance.compaction
    return [
        f"--name={member}",
        f"--data-dir={DATA}/data",
        f"--listen-client-urls=https://0.0.0.0:{naming.CLIENT_PORT}",
        f"--advertise-client-urls={naming.client_url(name, namespace, member)}",
        f"--listen-peer-urls=https://0.0.0.0:{naming.PEER_PORT}",
        f"--initial-advertise-peer-urls={naming.peer_url(name, namespace, member)}",
        f"--listen-metrics-urls=http://0.0.0.0:{naming.METRICS_PORT}",
        f"--initial-cluster-token={obj.metadata.uid}",
        f"--cert-file={CERTIFICATES}/server/tls.crt",
        f"--key-file={CERTIFICATES}/server/tls.key",
        f"--trusted-ca-file={CERTIFICATES}/server/ca.crt",
        "--client-cert-auth=true",
        f"--peer-cert-file={CERTIFICATES}/peer/tls.crt",
        f"--peer-key-file={CERTIFICATES}/peer/tls.key",
        f"--peer-trusted-ca-file={CERTIFICATES}/peer/ca.crt",
        "--peer-client-cert-auth=true",
        # A peer is known by its CA and this name. By default etcd would also look up in DNS
        # whether the caller's address is one of its certificate's names, and turn away a member
        # that has just been restarted elsewhere until every cache has noticed.
        f"--peer-cert-allowed-cn={naming.PEER_COMMON_NAME}",
        f"--quota-backend-bytes={quota_bytes(size, obj.spec.storage.quota)}",
        # API servers compact by themselves every five minutes; this is for other clients.
        f"--auto-compaction-mode={compaction.mode.lower()}",
        f"--auto-compaction-retention={compaction.retention}",
        *_tuning(obj),
        *release.arguments(
            {
                "compact-hash-check": "true",
                "initial-corrupt-check": "true",
                "peer-skip-client-san-verification": "true",
                "watch-progress-notify-interval": "5s",
            }
        ),
    ]


def _tuning(obj: EtcdCluster) -> list[str]:
    tuning = obj.spec.tuning
    found = {
        "heartbeat-interval": tuning.heartbeat_milliseconds,
        "election-timeout": tuning.election_milliseconds,
        "snapshot-count": tuning.snapshot_count,
    }
    return [f"--{flag}={value}" for flag, value in found.items() if value is not None]


def _from_start_map(obj: EtcdCluster, variable: str, key: str) -> Manifest:
    reference = {"name": naming.start_map(obj.name), "key": key}
    return {"name": variable, "valueFrom": {"configMapKeyRef": reference}}


def _probe(path: str, *, period: int, timeout: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": naming.METRICS_PORT, "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    }


def _secret_volume(name: str, secret: str) -> Manifest:
    return {"name": name, "secret": {"secretName": secret, "defaultMode": 0o440}}
