"""Which names and addresses no node of a business cluster may be certified for. Pure.

A kubelet's serving certificate is issued by the CA that clients of the API trust: one that held
a name or an address of the API would let a host stand in the API's place.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from kok.api import names
from kok.api.cluster.cluster import Cluster

_BROADCAST = ipaddress.ip_address("255.255.255.255")


def _nobody(_host: str) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Reserved:
    """What belongs to the API and to others, each with a few words on what it is."""

    hosts: Mapping[str, str] = field(default_factory=dict)
    """By name (lower case) or address (canonical)."""
    networks: Mapping[str, str] = field(default_factory=dict)
    """By range."""
    others: Callable[[str], str | None] = _nobody
    """What a name or address, as in `hosts`, is reserved for beside these."""

    def of(self, host: str) -> str | None:
        """What a name or address is reserved for; None if a node may have it."""
        called = canonical(host)
        # Names of the API may be wildcards, which mean all names of one more label.
        wild = "*." + called.partition(".")[2]
        known = self.hosts.get(called) or self.hosts.get(wild) or self.others(called)
        if known is not None:
            return known
        if not is_address(host):
            return _name(host.lower().rstrip("."))
        return _special(ipaddress.ip_address(host)) or next(
            (what for cidr, what in self.networks.items() if _within(host, cidr)), None
        )

    def with_hosts(self, hosts: Mapping[str, str]) -> Reserved:
        """With more of them; what was reserved before keeps its description."""
        return replace(self, hosts={**{canonical(h): w for h, w in hosts.items()}, **self.hosts})


def reserved(cluster: Cluster, meta_addresses: Iterable[str] = ()) -> Reserved:
    """What is reserved in a business cluster; `meta_addresses` are those of the meta nodes."""
    spec, network = cluster.spec.endpoint, cluster.spec.network
    service = f"{names.api_service(cluster.name)}.{cluster.namespace}"
    api = [
        names.api_service(cluster.name),
        *(f"{service}{suffix}" for suffix in ("", ".svc", ".svc.cluster.local")),
        *spec.extra_sans,
        spec.host,
        urlsplit(cluster.status.endpoint or "").hostname or "",
    ]
    hosts = {canonical(a): "an address of the meta cluster's nodes" for a in meta_addresses}
    hosts |= {canonical(host): "the API server's" for host in api if host}
    networks = {cidr: f"in {cidr}, the range of Services" for cidr in network.service_cidrs}
    networks |= {cidr: f"in {cidr}, the range of pods" for cidr in network.pod_cidrs}
    return Reserved(hosts, networks)


def is_address(text: str) -> bool:
    """Whether it is an IP address and not a name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _name(name: str) -> str | None:
    """Names that mean the API in every cluster, or the host itself on every host."""
    if name == "kubernetes" or name.startswith("kubernetes."):
        return "the API server's"
    if name == "localhost" or name.endswith(".localhost"):
        return "every host's own"
    return None


def _special(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str | None:
    """Addresses that belong to no single host."""
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        return _special(mapped) or "an IPv4 address written as IPv6"
    kinds = (
        ("a loopback address", address.is_loopback),
        ("a link-local address", address.is_link_local),
        ("a multicast address", address.is_multicast),
        ("the unspecified address", address.is_unspecified),
        ("the broadcast address", address == _BROADCAST),
    )
    return next((what for what, holds in kinds if holds), None)


def _within(address: str, cidr: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(cidr)
    except ValueError:
        return False


def canonical(host: str) -> str:
    """A name or address as it stands in `Reserved.hosts`."""
    return str(ipaddress.ip_address(host)) if is_address(host) else host.lower().rstrip(".")
