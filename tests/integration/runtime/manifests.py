"""Intents of the kinds that the operators apply, written as they write them."""

from __future__ import annotations

from typing import Any

Manifest = dict[str, Any]

LABELS = {"app": "web"}
PROBE = {"httpGet": {"path": "/healthz", "port": 8443, "scheme": "HTTPS"}, "periodSeconds": 5}
CONTAINER: Manifest = {
    "name": "main",
    "image": "registry.example/web:1",
    "command": ["web"],
    "args": ["--port=8443", "--verbose"],
    "env": [{"name": "MODE", "value": "test"}],
    "ports": [
        {"name": "https", "containerPort": 8443},
        {"name": "dns", "containerPort": 8443, "protocol": "UDP"},
    ],
    "resources": {"requests": {"cpu": "0.25", "memory": "1024Mi"}, "limits": {"cpu": 1}},
    "readinessProbe": PROBE,
    "volumeMounts": [
        {"name": "data", "mountPath": "/data"},
        {"name": "scratch", "mountPath": "/scratch"},
        {"name": "keys", "mountPath": "/keys", "readOnly": True},
    ],
    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
}
POD: Manifest = {
    "metadata": {"labels": LABELS, "annotations": {"kok.dev/config": "1"}},
    "spec": {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "hostNetwork": False,
        "securityContext": {},
        "containers": [CONTAINER],
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": LABELS},
            }
        ],
        "volumes": [
            {"name": "scratch", "emptyDir": {}},
            {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o400}},
            {
                "name": "data",
                "projected": {
                    "sources": [{"secret": {"name": "keys"}}, {"configMap": {"name": "c"}}]
                },
            },
        ],
    },
}


def _of(api: str, kind: str, name: str = "web", **rest: Any) -> Manifest:
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name}, **rest}


INTENTS: tuple[Manifest, ...] = (
    _of(
        "apps/v1",
        "Deployment",
        spec={"replicas": 0, "selector": {"matchLabels": LABELS}, "template": POD},
    ),
    _of(
        "apps/v1",
        "StatefulSet",
        spec={
            "replicas": 1,
            "serviceName": "web",
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": LABELS},
            "template": POD,
            "volumeClaimTemplates": [
                {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "metadata": {"name": "data"},
                    "spec": {
                        "accessModes": ["ReadWriteOnce"],
                        "resources": {"requests": {"storage": "1024Mi"}},
                    },
                }
            ],
        },
    ),
    _of(
        "apps/v1",
        "DaemonSet",
        spec={"selector": {"matchLabels": LABELS}, "template": POD},
    ),
    _of(
        "v1",
        "Service",
        spec={
            "type": "NodePort",
            "selector": LABELS,
            "ports": [
                {"name": "https", "port": 443, "targetPort": "https"},
                {"name": "dns", "port": 443, "protocol": "UDP"},
            ],
        },
    ),
    _of("v1", "Service", "headless", spec={"clusterIP": "None", "selector": LABELS, "ports": []}),
    _of("v1", "Secret", type="kubernetes.io/tls", data={"tls.crt": "QQ==", "tls.key": "Qg=="}),
    _of("v1", "ConfigMap", data={"a": "1"}, binaryData={}),
    _of(
        "v1",
        "PersistentVolumeClaim",
        spec={
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "2048Mi"}},
        },
    ),
    _of("v1", "ServiceAccount", automountServiceAccountToken=False),
    _of(
        "rbac.authorization.k8s.io/v1",
        "Role",
        rules=[{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}],
    ),
    _of(
        "rbac.authorization.k8s.io/v1",
        "RoleBinding",
        roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "web"},
        subjects=[
            {"kind": "ServiceAccount", "name": "web", "namespace": "default"},
            {"kind": "Group", "name": "system:masters"},
        ],
    ),
    _of(
        "policy/v1",
        "PodDisruptionBudget",
        spec={"maxUnavailable": 1, "selector": {"matchLabels": LABELS}},
    ),
    _of(
        "networking.k8s.io/v1",
        "NetworkPolicy",
        spec={
            "podSelector": {},
            "policyTypes": ["Ingress"],
            "ingress": [
                {"from": [{"podSelector": {"matchLabels": LABELS}}], "ports": [{"port": 80}]}
            ],
        },
    ),
    _of(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        addressType="IPv4",
        endpoints=[{"addresses": ["10.1.2.3"]}],
        ports=[{"name": "https", "port": 443}],
    ),
)
