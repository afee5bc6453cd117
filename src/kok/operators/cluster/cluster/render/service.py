"""The Service in front of the API servers."""

from __future__ import annotations

from typing import Any

from kok.api import names
from kok.api.meta import Manifest
from kok.operators.cluster.cluster.spec.resolved import ResolvedCluster
from kok.operators.cluster.endpoint import Endpoint, is_address, service_family, wanted_node_port
from kok.operators.cluster.naming import API_SERVER, pod_labels


def service(resolved: ResolvedCluster) -> Manifest:
    """The Service; addresses and ports that were given out before are asked for again."""
    cluster = resolved.cluster
    spec = cluster.spec.endpoint
    port: dict[str, Any] = {
        "name": "https",
        "port": names.API_PORT,
        "targetPort": names.API_PORT,
        "protocol": "TCP",
    }
    ports = [port]
    if spec.type == "NodePort":
        if node_port := wanted_node_port(cluster):
            port["nodePort"] = node_port
    elif spec.port not in {None, names.API_PORT}:
        ports.append({**port, "name": "public", "port": spec.port})
    body: dict[str, Any] = {
        "type": spec.type,
        "selector": pod_labels(resolved.name, API_SERVER),
        "ports": ports,
    }
    if service_family(cluster) == 6:
        # A meta cluster gives a Service only its own first family unless it is asked for both.
        body["ipFamilyPolicy"] = "PreferDualStack"
    before = Endpoint.parse(cluster.status.endpoint)
    if spec.type == "ClusterIP" and not spec.host and before and is_address(before.host):
        body["clusterIP"] = before.host
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": names.api_service(resolved.name),
            "labels": pod_labels(resolved.name, API_SERVER),
        },
        "spec": body,
    }
