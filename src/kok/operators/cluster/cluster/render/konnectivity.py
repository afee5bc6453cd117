"""The konnectivity server beside each API server, and the Service by which agents find it.

It is a sidecar in Kubernetes' own sense: it is there before the API server starts, and stopped after
that has ended, so that requests under way keep their connections into the cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kok import versions
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.operators.cluster import naming
from kok.operators.cluster.cluster.observe import ClusterView
from kok.operators.cluster.cluster.render import networkpolicy, pods
from kok.operators.cluster.cluster.spec.resolved import ResolvedCluster
from kok.operators.cluster.endpoint import service_family
from kok.operators.cluster.naming import API_SERVER, EGRESS_CONFIG, KUBECONFIG, pod_labels
from kok.operators.cluster.tunnel import AGENT_PORT, FILES, SOCKET, SOCKETS
from kok.pki import TLS_CRT, TLS_KEY

NAME: Final = "konnectivity-server"
AUDIENCE: Final = "system:konnectivity-server"
"""What agents' tokens are for."""
ADMIN_PORT, HEALTH_PORT = 8133, 8134
_RESOURCES: Final = {
    "requests": {"cpu": "20m", "memory": "32Mi"},
    # What it is sent by a cluster is no reason to take memory from the API server beside it.
    "limits": {"memory": "512Mi"},
}
_SERVER_FILES = "konnectivity"
_SOCKET_FOLDER = "konnectivity-socket"


def command() -> list[str]:
    """The server's command line.

    How many servers there are agents know by Leases, whatever `server-count` says: another number of
    API servers restarts none, and one that is being added is found before it serves.
    """
    flags = {
        "admin-port": str(ADMIN_PORT),
        "agent-namespace": "kube-system",
        "agent-port": str(AGENT_PORT),
        "agent-service-account": "konnectivity-agent",
        "authentication-audience": AUDIENCE,
        "cluster-cert": f"{FILES}/{TLS_CRT}",
        "cluster-key": f"{FILES}/{TLS_KEY}",
        "delete-existing-uds-file": "true",
        "enable-lease-controller": "true",
        "health-port": str(HEALTH_PORT),
        # By default it takes an hour until an agent whose node died is no longer sent anything.
        "keepalive-time": "10s",
        "kubeconfig": f"{FILES}/{KUBECONFIG}",
        "lease-namespace": "kube-system",
        "mode": "grpc",
        "server-port": "0",
        "uds-name": SOCKET,
        # By default each packet is told of.
        "v": "1",
    }
    return ["/proxy-server", *(f"--{name}={value}" for name, value in sorted(flags.items()))]


def container(resolved: ResolvedCluster, version: str) -> dict[str, Any]:
    """The sidecar."""
    return {
        "name": NAME,
        "image": versions.kubernetes(version).image(NAME, resolved.registry),
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
        "command": command(),
        "ports": [{"name": "agents", "containerPort": AGENT_PORT, "protocol": "TCP"}],
        "resources": dict(_RESOURCES),
        # Whether there is an agent is no part of it: the API works without nodes.
        "startupProbe": _probe(period=1, failures=pods.STARTUP_SECONDS),
        "livenessProbe": _probe(period=10, failures=6),
        "securityContext": pods.confined(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": _SERVER_FILES, "mountPath": FILES, "readOnly": True},
            {"name": _SOCKET_FOLDER, "mountPath": SOCKETS},
        ],
    }


def volumes(resolved: ResolvedCluster) -> list[Mapping[str, Any]]:
    """The sidecar's Secret, and the folder of the socket."""
    files = {key: key for key in (TLS_CRT, TLS_KEY, KUBECONFIG)}
    secret = pods.secret_files(naming.konnectivity(resolved.name), files)
    return [
        pods.projected(_SERVER_FILES, secret),
        {"name": _SOCKET_FOLDER, "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    ]


def mounts() -> dict[str, str]:
    """What the API server has of these, for reading: that is enough to connect."""
    return {_SOCKET_FOLDER: SOCKETS}


def egress_file(resolved: ResolvedCluster, folder: str) -> dict[str, Any]:
    """The API server's configuration, as a source of its own files."""
    secret = naming.konnectivity(resolved.name)
    return pods.secret_files(secret, {f"{folder}/{EGRESS_CONFIG}": EGRESS_CONFIG})


def service(resolved: ResolvedCluster) -> Manifest:
    """The Service of the tunnel.

    Apart from that of the API, since agents have to find a server before the API server beside it
    gets any request.
    """
    cluster = resolved.cluster
    port = {
        "name": "agents",
        "port": AGENT_PORT,
        "targetPort": AGENT_PORT,
        "protocol": "TCP",
    }
    body: dict[str, Any] = {
        "type": cluster.spec.endpoint.type,
        "selector": pod_labels(resolved.name, API_SERVER),
        "ports": [port],
        "publishNotReadyAddresses": True,
    }
    if service_family(cluster) == 6:
        body["ipFamilyPolicy"] = "PreferDualStack"
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": naming.konnectivity(resolved.name),
            "labels": pod_labels(resolved.name, API_SERVER),
        },
        "spec": body,
    }


def is_needed(resolved: ResolvedCluster, view: ClusterView) -> bool:
    """Whether there is to be a tunnel, or API servers may be left that go by it."""
    if resolved.tunnel:
        return True
    live = view.get(kinds.DEPLOYMENT, naming.deployment(resolved.name, API_SERVER))
    state = view.running(resolved.name, API_SERVER)
    if live is None or state is None:
        return False
    if _has_server(live):
        return True
    there = view.get(kinds.SERVICE, naming.konnectivity(resolved.name)) is not None
    return there and not state.complete


def may_go_straight(resolved: ResolvedCluster, view: ClusterView) -> bool:
    """Whether an API server may be left, or is to come, that reaches nodes and pods without a tunnel.

    One that ends still asks webhooks. Once there was none, a rollout brings none back.
    """
    name = naming.deployment(resolved.name, API_SERVER)
    live, state = view.get(kinds.DEPLOYMENT, name), view.running(resolved.name, API_SERVER)
    if not resolved.tunnel:
        return True
    if live is None or state is None:
        return False
    if not _has_server(live):
        return True
    if state.complete and not state.ending:
        return False
    fence = view.get(kinds.NETWORKPOLICY, name)
    return fence is None or not networkpolicy.is_closed(fence)


def _has_server(deployment: Manifest) -> bool:
    """Whether new pods of the API servers have a tunnel's server beside them."""
    before = deployment["spec"]["template"].get("spec", {}).get("initContainers") or ()
    return any(one.get("name") == NAME for one in before)


def _probe(*, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": "/healthz", "port": HEALTH_PORT, "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": 2,
        "failureThreshold": failures,
    }
