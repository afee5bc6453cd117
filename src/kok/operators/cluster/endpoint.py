"""Where a business cluster's API is reached, and which names its certificate must carry. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from kok.api import names
from kok.api.cluster.cluster import Cluster
from kok.api.meta import Manifest
from kok.operators.cluster import reasons


@dataclass(frozen=True, slots=True)
class MetaNode:
    """A node of the meta cluster, by which NodePorts are reached."""

    name: str
    addresses: tuple[str, ...]
    """Internal addresses, one for each family."""
    usable: bool
    """Ready and schedulable: a good choice for new kubeconfigs."""
    pod_cidrs: tuple[str, ...] = ()
    """Its share of the meta cluster's pod addresses."""
    closed: tuple[str, ...] = ()
    """All addresses that lead to it, of whatever type: nothing of a tenant's may reach them."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The API's public address."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """`https://host:port`, with brackets around an IPv6 address."""
        return f"https://{self.authority}"

    @property
    def authority(self) -> str:
        """`host:port`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, url: str | None) -> Endpoint | None:
        """The endpoint that a status recorded; None for anything else."""
        parts = urlsplit(url or "")
        try:
            port = parts.port
        except ValueError:
            return None
        return cls(parts.hostname, port) if parts.hostname and port else None


@dataclass(frozen=True, slots=True)
class NoEndpoint:
    """There is no public address yet, and why."""

    reason: str
    message: str


def public_endpoint(
    cluster: Cluster, service: Manifest | None, nodes: Sequence[MetaNode]
) -> Endpoint | NoEndpoint:
    """The public endpoint, from what the spec says, the Service and the meta nodes.

    What was recorded before is kept while it is still right: nodes and kubeconfigs hold it.
    """
    spec = cluster.spec.endpoint
    before = Endpoint.parse(cluster.status.endpoint)
    port = _port(cluster, service)
    if port is None:
        return NoEndpoint(
            reasons.WAITING_FOR_ADDRESS,
            f"Service {cluster.namespace}/{names.api_service(cluster.name)} has no port yet",
        )
    host = spec.host or _found_host(cluster, service, nodes, before)
    return Endpoint(host, port) if isinstance(host, str) else host


def _port(cluster: Cluster, service: Manifest | None) -> int | None:
    spec = cluster.spec.endpoint
    if spec.type != "NodePort":
        return spec.port or names.API_PORT
    return wanted_node_port(cluster) or node_port_of(service)


def wanted_node_port(cluster: Cluster) -> int | None:
    """The node port that must be: the user's, else the one that nodes already know."""
    before = Endpoint.parse(cluster.status.endpoint)
    return cluster.spec.endpoint.port or (before.port if before is not None else None)


def node_port_of(service: Manifest | None) -> int | None:
    """The port on the meta nodes, if the Service has one."""
    ports = ((service or {}).get("spec") or {}).get("ports") or ()
    found = next((p.get("nodePort") for p in ports if p.get("port") == names.API_PORT), None)
    return int(found) if found else None


def _found_host(
    cluster: Cluster,
    service: Manifest | None,
    nodes: Sequence[MetaNode],
    before: Endpoint | None,
) -> str | NoEndpoint:
    where = f"Service {cluster.namespace}/{names.api_service(cluster.name)}"
    match cluster.spec.endpoint.type:
        case "LoadBalancer":
            found = next(iter(balancer_hosts(service)), None)
            if found is None:
                return NoEndpoint(
                    reasons.WAITING_FOR_ADDRESS, f"{where} got no address from a load balancer yet"
                )
            return found
        case "ClusterIP":
            found = next(iter(cluster_ips(service)), None)
            return found or NoEndpoint(reasons.WAITING_FOR_ADDRESS, f"{where} has no address yet")
    known = {address for node in nodes for address in node.addresses}
    if before is not None and before.host in known:
        return before.host
    # Nodes of a cluster whose Services begin with IPv6 need not have an IPv4 address.
    own = {n.name: [a for a in n.addresses if _family(a) == service_family(cluster)] for n in nodes}
    best = min(nodes, key=lambda n: (not own[n.name], not n.usable, n.name), default=None)
    if best is None:
        return NoEndpoint(
            reasons.WAITING_FOR_ADDRESS,
            "no node of the meta cluster has an internal address; write spec.endpoint.host",
        )
    return (own[best.name] or best.addresses)[0]


def balancer_hosts(service: Manifest | None) -> list[str]:
    """Addresses and names that a load balancer gave to the Service."""
    status = (((service or {}).get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    hosts = [str(entry.get("ip") or entry.get("hostname") or "") for entry in status]
    return [host for host in hosts if host]


def cluster_ips(service: Manifest | None) -> list[str]:
    """Addresses of the Service inside the meta cluster."""
    spec = (service or {}).get("spec") or {}
    found = spec.get("clusterIPs") or [spec.get("clusterIP")]
    return [str(ip) for ip in found if ip and ip != "None"]


def serving_names(
    cluster: Cluster,
    endpoint: Endpoint | None,
    service: Manifest | None,
    nodes: Iterable[MetaNode],
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """DNS names and addresses of the API server's certificate, sorted.

    With a NodePort every meta node's address is in it, so that a node that comes or goes changes
    a Secret which the running API servers reload, and no pod.
    """
    spec, network = cluster.spec.endpoint, cluster.spec.network
    inner = f"{names.api_service(cluster.name)}.{cluster.namespace}"
    found = {
        "localhost",
        "127.0.0.1",
        "::1",
        *(f"{names.api_service(cluster.name)}{s}" for s in ("", f".{cluster.namespace}")),
        *(f"{inner}.svc{s}" for s in ("", ".cluster.local")),
        *(f"kubernetes{s}" for s in ("", ".default", ".default.svc")),
        f"kubernetes.default.svc.{network.dns_domain}",
        *(names.nth_address(cidr, 1) for cidr in network.service_cidrs),
        *cluster_ips(service),
        *balancer_hosts(service),
        *spec.extra_sans,
    }
    known = endpoint or Endpoint.parse(cluster.status.endpoint)
    if known is not None:
        found.add(known.host)
    if spec.type == "NodePort":
        found.update(address for node in nodes for address in node.addresses)
    addresses = {name for name in found if is_address(name)}
    return tuple(sorted(found - addresses)), tuple(sorted(addresses))


def slice_addresses(
    cluster: Cluster, nodes: Sequence[MetaNode], resolved: Sequence[str]
) -> tuple[str, ...]:
    """Where the business cluster's own `kubernetes` Service leads to, sorted, of one family.

    With a NodePort on found-out meta nodes these are all of them, so that pods do not hang on a
    single node; otherwise what the endpoint's host stands for (`resolved`). Of the family of the
    `kubernetes` Service's address alone: no other reaches a pod that asks there.
    """
    if leads_to_nodes(cluster):
        usable = [node for node in nodes if node.usable] or list(nodes)
        found = {address for node in usable for address in node.addresses}
    else:
        found = set(resolved)
    return tuple(sorted(a for a in found if _family(a) == service_family(cluster))[:100])


def service_family(cluster: Cluster) -> int:
    """4 or 6: the family of the `kubernetes` Service, which is that of the first range."""
    return ipaddress.ip_network(cluster.spec.network.service_cidrs[0]).version


def family_missing(cluster: Cluster, addresses: Iterable[str]) -> str | None:
    """Why pods could never reach the API: what the endpoint stands for has no such address.

    None as long as no address is known at all.
    """
    known = sorted(set(addresses))
    family = service_family(cluster)
    if not known or any(_family(address) == family for address in known):
        return None
    if leads_to_nodes(cluster):
        what = "the meta cluster's nodes have"
        advice = f"give these an IPv{family} address"
    else:
        what = f"the endpoint {cluster.spec.endpoint.host or known[0]} has"
        advice = f"write a spec.endpoint.host with an IPv{family} address"
    first = cluster.spec.network.service_cidrs[0]
    return (
        f"spec.network.serviceCIDRs begins with {first}, and {what} only IPv{10 - family} "
        f"addresses ({', '.join(known[:3])}): pods of the cluster could not reach its API; {advice}, "
        f"or create the Cluster with an IPv{10 - family} range first"
    )


def known_addresses(cluster: Cluster, nodes: Sequence[MetaNode]) -> tuple[str, ...]:
    """What the endpoint stands for as far as the spec and the meta cluster tell."""
    if leads_to_nodes(cluster):
        return tuple(address for node in nodes for address in node.addresses)
    host = cluster.spec.endpoint.host
    return (host,) if is_address(host) else ()


def _family(address: str) -> int:
    return ipaddress.ip_address(address).version


def leads_to_nodes(cluster: Cluster) -> bool:
    """Whether any meta node is as good as the one in the public endpoint."""
    return cluster.spec.endpoint.type == "NodePort" and not cluster.spec.endpoint.host


def is_address(text: str) -> bool:
    """Whether a host is an IP address and not a name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
