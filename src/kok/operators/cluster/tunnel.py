"""The tunnel into a business cluster: where agents find its outer end, and when it is there. Pure.

Agents inside connect to a konnectivity server beside each API server, which sends what is meant for the
cluster back through these connections. All of them are told one name, of this Cluster alone, and the
addresses that it stands for: an address more or less then changes no certificate, which servers read
only at their start.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from kok.api.cluster.cluster import Cluster
from kok.api.meta import Manifest
from kok.operators.cluster.endpoint import (
    Endpoint,
    MetaNode,
    balancer_hosts,
    cluster_ips,
    is_address,
)

AGENT_PORT: Final = 8132
"""Where a server takes agents, on its pod and on its Service."""
USER: Final = "system:konnectivity-server"
"""As whom servers ask whose a token is, and say in Leases that they are there."""
FILES: Final = "/etc/kubernetes/konnectivity"
"""Where a server finds its Secret."""
SOCKETS: Final = "/run/konnectivity"
SOCKET: Final = f"{SOCKETS}/server.sock"
"""By which an API server reaches the one beside it."""
ADDRESSES_MOST: Final = 16
"""Meta nodes of which agents are told: each new one restarts them."""


@dataclass(frozen=True, slots=True)
class TunnelEnd:
    """Where agents find the servers."""

    host: str
    """What they ask for, which is in the servers' certificate."""
    port: int
    addresses: tuple[str, ...]
    """What `host` stands for; empty: name servers know."""

    def values(self, authority: bytes) -> dict[str, Any]:
        """As values of the agents' addon; `authority` is the CA that the servers' certificate is of."""
        return {
            "host": self.host,
            "port": self.port,
            "addresses": list(self.addresses),
            "ca": authority.decode(),
        }


def own_name(cluster: Cluster) -> str:
    """What the servers of a Cluster are called, and those of no other even under the same CA."""
    return f"{cluster.name}.{cluster.namespace}.konnectivity.kok.internal"


def server_names(cluster: Cluster, end: TunnelEnd | None) -> tuple[str, ...]:
    """DNS names in the servers' certificate."""
    found = {own_name(cluster), *((end.host,) if end is not None else ())}
    return tuple(sorted(found))


def tunnel_end(
    cluster: Cluster,
    service: Manifest | None,
    endpoint: Endpoint | None,
    nodes: Sequence[MetaNode],
) -> TunnelEnd | None:
    """Where agents find the servers; None as long as nobody knows.

    `service` is the tunnel's own; `nodes` those of the meta cluster, of which all are told: with one
    of them gone the others still lead there.
    """
    port: int | None = AGENT_PORT
    match cluster.spec.endpoint.type:
        case "NodePort":
            port, hosts = _node_port(service), _node_hosts(cluster, endpoint, nodes)
        case "LoadBalancer":
            hosts = balancer_hosts(service)
        case "ClusterIP":
            hosts = cluster_ips(service)
    if port is None or not hosts:
        return None
    addresses = tuple(dict.fromkeys(host for host in hosts if is_address(host)))[:ADDRESSES_MOST]
    return TunnelEnd(own_name(cluster) if addresses else hosts[0], port, addresses)


def _node_port(service: Manifest | None) -> int | None:
    ports = ((service or {}).get("spec") or {}).get("ports") or ()
    found = next((p.get("nodePort") for p in ports if p.get("port") == AGENT_PORT), None)
    return int(found) if found else None


def _node_hosts(
    cluster: Cluster, endpoint: Endpoint | None, nodes: Sequence[MetaNode]
) -> list[str]:
    """The public endpoint's host, then the other meta nodes by addresses of the same family."""
    if cluster.spec.endpoint.host:
        return [cluster.spec.endpoint.host]
    if endpoint is None or not is_address(endpoint.host):
        return []
    family = ipaddress.ip_address(endpoint.host).version
    others = {
        a for node in nodes for a in node.addresses if ipaddress.ip_address(a).version == family
    }
    return [endpoint.host, *sorted(others - {endpoint.host})]
