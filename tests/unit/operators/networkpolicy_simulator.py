"""What NetworkPolicies let through, by the rules of the API's documentation: a network in miniature.

For tests of what is rendered. That real networks judge the same is shown by the scenario `hostile`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kok.api.meta import Manifest


@dataclass(frozen=True)
class Spot:
    """Something with an address; a pod if it has labels."""

    ip: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


class Enforcer:
    """All policies of a meta cluster."""

    def __init__(self, policies: Iterable[Manifest], namespace: str = "team-a") -> None:
        """`namespace` is that of policies which name none."""
        self._policies = [(p["metadata"].get("namespace", namespace), p["spec"]) for p in policies]

    def lets(self, source: Spot, target: Spot, port: int, protocol: str = "TCP") -> bool:
        """Whether a connection comes about: it must be let out, and let in."""
        return self._passes("Egress", source, target, port, protocol) and self._passes(
            "Ingress", target, source, port, protocol
        )

    def _passes(self, way: str, who: Spot, other: Spot, port: int, protocol: str) -> bool:
        mine = [
            spec
            for namespace, spec in self._policies
            if who.labels and namespace == who.namespace
            if way in spec["policyTypes"] and _selects(spec["podSelector"], who.labels)
        ]
        if not mine:
            return True
        side = "to" if way == "Egress" else "from"
        return any(
            _port_fits(rule, port, protocol) and _peer_fits(rule, side, who.namespace, other)
            for spec in mine
            for rule in spec[way.lower()]
        )


def _port_fits(rule: Manifest, port: int, protocol: str) -> bool:
    ports = rule.get("ports")
    return not ports or any((p["protocol"], p["port"]) == (protocol, port) for p in ports)


def _peer_fits(rule: Manifest, side: str, namespace: str, other: Spot) -> bool:
    peers = rule.get(side)
    return not peers or any(_is(peer, namespace, other) for peer in peers)


def _is(peer: Manifest, namespace: str, other: Spot) -> bool:
    if "ipBlock" in peer:
        block, ip = peer["ipBlock"], ipaddress.ip_address(other.ip)
        inside = ip in ipaddress.ip_network(block["cidr"])
        return inside and not any(ip in ipaddress.ip_network(e) for e in block.get("except", ()))
    if not other.labels:
        return False
    where = {"kubernetes.io/metadata.name": other.namespace}
    if "namespaceSelector" in peer:
        if not _selects(peer["namespaceSelector"], where):
            return False
    elif other.namespace != namespace:
        return False
    return _selects(peer.get("podSelector", {}), other.labels)


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}, "nothing else is rendered"
    return selector.get("matchLabels", {}).items() <= labels.items()
