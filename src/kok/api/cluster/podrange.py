"""How a Cluster's pod addresses are shared among its nodes: the controller manager divides them by
it, and nodes must not take more pods than they have addresses. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from kok.api.cluster.cluster import ClusterSpec

DEFAULT_MASKS = {4: 24, 6: 64}
"""What the controller manager gives a node by itself, by IP version."""
USUAL_PODS = 110
"""The kubelet's own limit of pods on a node."""
_LONGEST = {4: 28, 6: 120}
_RESERVED = 3
"""Addresses of a share that no pod gets: the network's, the bridge's and the last one."""


@dataclass(frozen=True, slots=True)
class Share:
    """What each node gets of a Cluster's pod addresses; of two ranges the smaller share counts."""

    cidr: str
    """The range that is divided."""
    mask: int
    """Prefix length of a node's share."""

    @property
    def pods(self) -> int:
        """How many pods of a node can have an address."""
        bits = ipaddress.ip_network(self.cidr).max_prefixlen - self.mask
        return max(0, (1 << bits) - _RESERVED)

    @property
    def nodes(self) -> int:
        """How many nodes can have a share."""
        shift = max(0, self.mask - ipaddress.ip_network(self.cidr).prefixlen)
        return 1 << shift


def node_mask(cidr: str) -> int:
    """The prefix length of a node's share of a range.

    The controller manager refuses to start when its default is no part of the range, or a too small
    one (more than 2^16 nodes). A small range is divided by 16 instead.

    >>> node_mask("10.64.0.0/16"), node_mask("10.64.0.0/24")
    (24, 28)
    """
    net = ipaddress.ip_network(cidr)
    default = DEFAULT_MASKS[net.version]
    if net.prefixlen + 16 < default:
        return net.prefixlen + 16
    return (
        default if net.prefixlen + 4 <= default else min(net.prefixlen + 4, _LONGEST[net.version])
    )


def shares(spec: ClusterSpec) -> list[Share]:
    """The share of each of a Cluster's pod ranges, also where flags of its author say another."""
    cidrs = spec.network.pod_cidrs
    given = {arg.name: arg.value for arg in spec.controller_manager.extra_args}
    return [Share(cidr, _asked(given, cidr, cidrs) or node_mask(cidr)) for cidr in cidrs]


def scarce(spec: ClusterSpec) -> Share | None:
    """The share by which a node can have fewer pods than usual, if there is one."""
    if any(a.name == "flannel" and not a.enabled for a in spec.addons):
        return None  # A network of somebody's own may have addresses of its own.
    small = min(shares(spec), key=lambda share: share.pods)
    return small if small.pods < USUAL_PODS else None


def _asked(given: dict[str, str], cidr: str, cidrs: Sequence[str]) -> int | None:
    version = ipaddress.ip_network(cidr).version
    flag = f"node-cidr-mask-size-ipv{version}" if len(cidrs) > 1 else "node-cidr-mask-size"
    text = given.get(flag) or given.get(f"node-cidr-mask-size-ipv{version}") or ""
    return int(text) if text.isdecimal() else None
