"""Objects of every kind: the least that a user may write, and all that there is to write."""

from __future__ import annotations

from typing import Any

from kok.api import GROUP, VERSION

Spec = dict[str, Any]

FINGERPRINT = "SHA256:" + "Ab3+/" * 8 + "xyz"
SHA256 = "0123456789abcdef" * 4

MINIMAL: dict[str, Spec | None] = {
    "Addon": {"cluster": "shop", "source": {"builtin": "coredns"}},
    "Cluster": {"version": "1.37.1"},
    "Component": {"name": "tool", "version": "1.0", "scripts": {"probe": "tool --version"}},
    "EtcdBackup": {"etcdCluster": "shop-etcd"},
    "EtcdCluster": None,
    "EtcdRestore": {"etcdCluster": "shop-etcd", "backup": "one"},
    "FleetUpgrade": {"selector": {}, "target": {"latestPatch": True}},
    "Host": {"address": "192.0.2.21", "ssh": {"secret": "ops-ssh"}},
    "KubeNode": {
        "cluster": "shop",
        "hosts": [{"name": "w1", "address": "192.0.2.21"}],
        "ssh": {"secret": "ops-ssh"},
    },
    "Machine": {
        "cluster": "shop",
        "node": "w1",
        "address": "192.0.2.21",
        "ssh": {"secret": "ops-ssh"},
    },
}
"""For each kind the shortest spec that is accepted; None: the spec may be absent."""

_RESOURCES = {
    "requests": {"cpu": "100m", "memory": "256Mi"},
    "limits": {"cpu": "2", "memory": "1.5Gi"},
}
_TOLERATION = {
    "key": "dedicated",
    "operator": "Equal",
    "value": "kok",
    "effect": "NoExecute",
    "tolerationSeconds": 30,
}
_CONTROL_PLANE = {
    "replicas": 3,
    "resources": _RESOURCES,
    "extraArgs": [{"name": "v", "value": "2"}],
    "nodeSelector": {"example.com/tier": "control"},
    "tolerations": [_TOLERATION],
    "podAnnotations": {"example.com/note": "hello"},
}
_IMAGES = {"registry": "mirror.example:5000", "pullSecrets": ["mirror"]}
_SSH = {"user": "ops", "secret": "ops-ssh"}


def behind(bastion: str) -> Spec:
    """`ssh` of a spec whose hosts are behind a bastion at that address."""
    jump = {"port": 2222, "user": "jump", "secret": "bastion-ssh", "hostKey": FINGERPRINT}
    return {**_SSH, "jump": {"address": bastion, **jump}}


_BEHIND = behind("bastion.example")
_TAINT = {"key": "example.com/gpu", "value": "yes", "effect": "NoSchedule"}
_COMPONENTS = [{"name": "my-agent", "version": "1.4.0", "params": {"level": 3, "tags": ["a"]}}]
_ARTIFACTS = {"baseURL": "https://artifacts.example", "checksums": "sums", "ca": "PEM"}
_REMEDIATION = {
    "mode": "Report",
    "maxUnhealthy": "40%",
    "upTo": "Reinstall",
    "patience": {"restart": "1m", "reinstall": "2m", "reboot": "3m", "replace": "4m"},
}
_NODE: Spec = {
    "cluster": "shop",
    "version": "1.36.4",
    "runtime": {"type": "containerd", "version": "2.3.7"},
    "nvidia": {
        "driver": {
            "version": "595.91.07",
            "kernelModules": "proprietary",
            "kernelHeaders": "Require",
        },
        "toolkit": {"version": "1.20.2", "defaultRuntime": False},
    },
    "components": _COMPONENTS,
    "artifacts": _ARTIFACTS,
    "registry": {"mirrors": {"*": ["http://mirror.example:5000"]}},
    "kubelet": {"maxPods": 50},
    "labels": {"example.com/tier": "web", "empty": ""},
    "taints": [_TAINT],
    "drainTimeout": "1m30s",
    "remediation": _REMEDIATION,
    "adopt": True,
    "onRemove": "CleanUp",
    "rollout": {
        "canary": 2,
        "batch": "50%",
        "maxUnavailable": 3,
        "pause": "10m",
        "drainTimeout": "3m",
        "onDrainTimeout": "Skip",
        "soak": "2m",
        "deadline": "20m",
        "onFailure": "Rollback",
        "paused": True,
        "abort": "0123456789abcdef",
        "retry": "2",
    },
    "paused": True,
}
_HOSTS = [
    {
        "name": "w1",
        "address": "w1.example",
        "addresses": ["192.0.2.21", "fd00::21"],
        "port": 2222,
        "hostKey": FINGERPRINT,
    }
]
_ADDON: Spec = {
    "cluster": "shop",
    "values": {"replicas": 2, "deep": {"er": [1, "two"]}},
    "dependsOn": ["shop-coredns"],
    "ignore": [
        {
            "kind": "Deployment",
            "group": "apps",
            "name": "app",
            "namespace": "web",
            "paths": ["/spec/replicas", "/metadata/annotations/a~1b", "/webhooks/*/clientConfig"],
        },
        {"kind": "ConfigMap"},
    ],
    "upgrade": "Before",
    "paused": True,
}

_SELECTOR: Spec = {
    "matchLabels": {"tier": "web"},
    "matchExpressions": [{"key": "example.com/ring", "operator": "In", "values": ["1", "2"]}],
}
_FLEET: Spec = {
    "selector": _SELECTOR,
    "namespaces": ["team-a", "*"],
    "waves": [
        {
            "name": "canary",
            "names": ["team-a/shop"],
            "maxParallel": 1,
            "soak": "10m",
            "approval": True,
        },
        {"name": "early", "selector": _SELECTOR, "maxParallel": "25%"},
        {"name": "half", "percent": 50},
        {"name": "rest"},
    ],
    "stopAfterFailures": "5%",
    "window": {"cron": "0 22 * * 1-5", "duration": "6h"},
    "nodes": "Separate",
    "dryRun": True,
    "paused": True,
    "abort": True,
}

_S3 = {
    "bucket": "etcd-backups",
    "prefix": "site-a/etcd",
    "endpoint": "https://s3.example:9000",
    "region": "eu-central-1",
    "pathStyle": False,
    "secret": "s3",
    "serverSideEncryption": "aws:kms",
    "kmsKeyID": "alias/etcd",
}
_STORES = [
    {"s3": {**_S3, "ca": {"secret": "s3-ca", "key": "tls.crt"}}},
    {"s3": {**_S3, "ca": {"configMap": "s3-ca", "key": "tls.crt"}}},
    {"volume": {"claim": "backups", "path": "site-a/etcd"}},
]
_WORKER = {
    "resources": _RESOURCES,
    "etcdResources": _RESOURCES,
    "labels": {"team": "a"},
    "annotations": {"sidecar.istio.io/inject": "false"},
}
_KEYS = {"recipient": f"{'A' * 43}=", "secrets": {"ca": "shop-ca"}}
_ENCRYPTION = {"secret": "backup-keys", "key": "2026"}
_RECOVERY = {
    "replaceAfter": "15m",
    "policy": "FromSurvivor",
    "restoreAfter": "30m",
    "allowDataLoss": "1cbf2b2b4c6d3f8a",
}
_TUNING = {
    "heartbeatMilliseconds": 200,
    "electionMilliseconds": 2000,
    "snapshotCount": 20000,
}
_MAINTENANCE = {
    "defragAt": "40%",
    "window": "22:00-04:00",
    "onFull": "Manual",
    "compaction": {"mode": "Revision", "retention": "10000"},
}
_SOURCES: list[Spec] = [
    {"backup": "one", "worker": _WORKER, "privateKey": {"secret": "vault", "key": "private"}},
    {"store": _STORES[0], "key": "team-a/shop-etcd/one.snapshot", "encryption": _ENCRYPTION},
    {"store": _STORES[1], "newestOf": "team-a/shop-etcd"},
    {"store": _STORES[2], "newestOf": "team-a/shop-etcd"},
]

FULL: dict[str, list[Spec]] = {
    "Addon": [
        {**_ADDON, "source": {"builtin": "flannel"}},
        {**_ADDON, "source": {"inline": "kind: ConfigMap"}},
        {**_ADDON, "source": {"configMap": "templates"}},
        {
            "clusters": _SELECTOR,
            "source": {"builtin": "coredns"},
            "overrides": [
                {"names": ["shop"], "values": {"deep": {"er": None}}},
                {"clusters": _SELECTOR, "values": {"replicas": 3}},
            ],
            "rollout": {
                "waves": [
                    {"name": "canary", "names": ["shop"], "maxParallel": 1, "soak": "1h"},
                    {"name": "tenth", "percent": 10, "maxParallel": "25%"},
                    {"name": "web", "selector": _SELECTOR},
                    {"name": "rest"},
                ],
                "stopAfterFailures": "10%",
                "progressDeadline": "5m",
            },
            "whenUnselected": "Orphan",
        },
        {
            **_ADDON,
            "kubernetes": ">=1.34 <1.38",
            "valuesFrom": [
                {"secret": "passwords", "key": "web.yaml", "optional": True},
                {"configMap": "sizes"},
            ],
            "source": {
                "helm": {
                    "repository": "oci://registry.example:5000/charts",
                    "chart": "web",
                    "version": "^1.2 || ~2.0.1",
                    "namespace": "web",
                    "createNamespace": True,
                    "releaseName": "front",
                    "apiVersions": ["monitoring.coreos.com/v1"],
                    "hooks": "Ignore",
                    "secret": "registry",
                    "ca": "-----BEGIN CERTIFICATE-----",
                }
            },
        },
        {
            **_ADDON,
            "source": {
                "oci": {
                    "reference": f"registry.example:5000/team/addon:1.2@sha256:{'0' * 64}",
                    "secret": "registry",
                    "ca": "-----BEGIN CERTIFICATE-----",
                }
            },
        },
    ],
    "Cluster": [
        {
            "version": "1.37.1",
            "profile": "ha",
            "endpoint": {
                "type": "LoadBalancer",
                "host": "api.shop.example",
                "port": 6443,
                "extraSANs": ["shop.internal", "192.0.2.10"],
            },
            "network": {
                "podCIDRs": ["10.96.0.0/12", "fd00:1::/56"],
                "serviceCIDRs": ["10.128.0.0/20", "fd00:2::/112"],
                "dnsDomain": "shop.internal",
                "tunnel": "Always",
            },
            "etcd": {
                "members": 5,
                "version": "3.6.10",
                "storage": {"size": "16Gi", "className": "fast"},
                "resources": _RESOURCES,
                "recovery": _RECOVERY,
                "maintenance": _MAINTENANCE,
                "tuning": _TUNING,
                "backup": {
                    "schedule": "0 */6 * * *",
                    "keep": {"last": 3, "days": 30},
                    "verify": "30 3 * * 1",
                    "store": store,
                    "encryption": _ENCRYPTION,
                    "keys": _KEYS,
                    "worker": _WORKER,
                },
                "restoreFrom": source,
            },
            "apiServer": _CONTROL_PLANE,
            "controllerManager": _CONTROL_PLANE,
            "scheduler": _CONTROL_PLANE,
            "certificates": {"leafDuration": "2160h", "renewBefore": "360h"},
            "addons": [{"name": "coredns", "enabled": False, "values": {"replicas": 3}}],
            "images": _IMAGES,
            "nodes": {"foreign": "Approve"},
            "upgrade": {
                "chained": True,
                "preflight": "1.37.1",
                "onFailure": "BackOut",
                "progressDeadline": "20m",
                "fleet": "Forbid",
            },
            "egress": ["203.0.113.0/24", "2001:db8::7/128"],
            "deletionPolicy": "Retain",
            "hibernate": True,
            "paused": True,
        }
        for store, source in zip([*_STORES, _STORES[0]], _SOURCES, strict=True)
    ],
    "Component": [
        {
            "name": "tool",
            "version": "2.0-rc.1",
            "platforms": [{"os": "linux", "arch": "arm64"}],
            "parameters": {"type": "object", "properties": {"level": {"type": "integer"}}},
            "artifacts": [
                {
                    "name": "tarball",
                    "path": "tool/v1.0/tool.tar.gz",
                    "url": "https://tool.example/tool.tar.gz",
                    "arch": "arm64",
                    "sha256": SHA256,
                }
            ],
            "files": [
                {
                    "path": "/etc/tool.d/{{ item.key }}.conf",
                    "mode": "0600",
                    "content": "a = {{ item.value }}\n",
                    "forEach": "levels",
                }
            ],
            "services": ["tool", "tool@1"],
            "scripts": dict.fromkeys(
                ("probe", "install", "upgrade", "uninstall", "health", "restart"), "true"
            ),
            "dependsOn": ["containerd"],
            "timeout": "10m",
            "change": "drain",
            "changeVersion": "reboot",
            "remains": [{"path": "/var/lib/tool", "names": ["db-*", "tmp"]}],
        }
    ],
    "EtcdBackup": [
        {
            "etcdCluster": "shop-etcd",
            "store": store,
            "encryption": _ENCRYPTION,
            "worker": _WORKER,
            "deletionPolicy": "Retain",
        }
        for store in _STORES
    ],
    "EtcdCluster": [
        {
            "version": "3.7.3",
            "members": 7,
            "storage": {"size": "20Gi", "className": "fast", "quota": "70%"},
            "placement": {
                "spread": "topology.kubernetes.io/zone",
                "requireSpread": True,
                "nodeSelector": {"disk": "nvme"},
                "tolerations": [_TOLERATION],
            },
            "resources": _RESOURCES,
            "recovery": _RECOVERY,
            "maintenance": _MAINTENANCE,
            "tuning": _TUNING,
            "tls": {"leafDuration": "2160h", "renewBefore": "360h"},
            "images": _IMAGES,
            "backup": {
                "schedule": "0 */6 * * *",
                "keep": {"last": 3, "days": 30},
                "verify": "30 3 * * 1",
                "store": store,
                "encryption": _ENCRYPTION,
                "keys": _KEYS,
                "worker": _WORKER,
            },
            "restoreFrom": source,
            "deletionPolicy": "Retain",
            "hibernate": True,
            "paused": True,
        }
        for store, source in zip([*_STORES, _STORES[0]], _SOURCES, strict=True)
    ],
    "EtcdRestore": [{"etcdCluster": "shop-etcd", **source} for source in _SOURCES],
    "FleetUpgrade": [
        {**_FLEET, "target": {"version": "1.37.1", "latestPatch": False}},
        {**_FLEET, "target": {"fixes": "CVE-2026-12345"}},
    ],
    "Host": [
        {
            "address": "fd00::21",
            "addresses": ["192.0.2.21"],
            "port": 2222,
            "ssh": _SSH,
            "hostKey": FINGERPRINT,
        },
        {"address": "10.0.0.21", "ssh": _BEHIND},
    ],
    "KubeNode": [
        {**_NODE, "hosts": _HOSTS, "ssh": _SSH},
        {**_NODE, "hosts": [{"name": "w1", "address": "10.0.0.21"}], "ssh": _BEHIND},
        {**_NODE, "replicas": 3, "pool": {"matchLabels": {"rack": "a"}}},
    ],
    "Machine": [
        {
            "cluster": "shop",
            "node": "w1",
            "address": "192.0.2.21",
            "addresses": ["fd00::21"],
            "port": 2222,
            "ssh": _SSH,
            "hostKey": FINGERPRINT,
            "accessHash": "0123456789abcdef",
            "artifacts": {"baseURL": "https://artifacts.example"},
            "components": _COMPONENTS,
            "labels": {"tier": "web"},
            "taints": [_TAINT],
            "drainTimeout": "2m",
            "remediation": {**_REMEDIATION, "maxUnhealthy": 2},
            "rollout": {"drainTimeout": "3m", "onDrainTimeout": "Force", "soak": "2m"},
            "adopt": True,
            "onRemove": "Release",
            "paused": True,
        },
        {"cluster": "shop", "node": "w1", "address": "10.0.0.21", "ssh": _BEHIND},
    ],
}
"""For each kind specs that together set every field there is."""


def manifest(kind: str, spec: Spec | None, name: str | None = None) -> dict[str, Any]:
    """An object of a kind, as a user's file would hold it."""
    if kind == "Component" and spec is not None:
        name = name or f"{spec['name']}-{spec['version']}"
    found: dict[str, Any] = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": kind,
        "metadata": {"name": name or "sample"},
    }
    if spec is not None:
        found["spec"] = spec
    return found
