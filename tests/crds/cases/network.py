"""Ranges of addresses that are none, or do not fit each other."""

from __future__ import annotations

from tests.crds.cases.case import of_cluster, of_network

NETWORK = (
    of_network(
        "spec.network: podCIDRs 10.64.0.0/16 and serviceCIDRs 10.64.16.0/20 overlap; write ranges "
        "that have no address in common",
        serviceCIDRs=["10.64.16.0/20"],
    ),
    of_network(
        "spec.network: podCIDRs 10.65.1.0/24 and serviceCIDRs 10.65.0.0/20 overlap; write ranges "
        "that have no address in common",
        podCIDRs=["10.65.1.0/24"],
    ),
    *(
        of_network(
            "spec.network: podCIDRs and serviceCIDRs must have the same IP families in the same "
            "order; write one IPv4, one IPv6 or one of each",
            **wrong,
        )
        for wrong in (
            {"podCIDRs": ["10.64.0.0/16", "fd00:1::/56"]},
            {"podCIDRs": ["fd00:1::/56"]},
            {
                "podCIDRs": ["10.64.0.0/16", "fd00:1::/56"],
                "serviceCIDRs": ["fd00:2::/112", "10.65.0.0/20"],
            },
            {
                "podCIDRs": ["10.64.0.0/16", "10.66.0.0/16"],
                "serviceCIDRs": ["10.65.0.0/20", "10.67.0.0/20"],
            },
        )
    ),
    *(
        of_cluster(
            "spec.network.podCIDRs",
            "spec.network.podCIDRs must be ranges such as 10.64.0.0/16",
            {"network": {"podCIDRs": [wrong]}},
        )
        for wrong in ("10.64.0.0", "10.64.0.5/16", "10.64.0.0/33", "many")
    ),
    *(
        of_cluster(
            "spec.network.serviceCIDRs",
            "spec.network.serviceCIDRs must be ranges such as 10.65.0.0/20",
            {"network": {"serviceCIDRs": [wrong]}},
        )
        for wrong in ("10.65.0.1/20", "")
    ),
    *(
        of_cluster(
            "spec.network.podCIDRs",
            "spec.network.podCIDRs must leave room for nodes: write an IPv4 range of /8 to /24 or "
            "an IPv6 range of /48 to /64",
            {"network": wrong},
        )
        for wrong in (
            {"podCIDRs": ["10.64.0.0/25"]},
            {"podCIDRs": ["fd00:1::/80"], "serviceCIDRs": ["fd00:2::/112"]},
        )
    ),
    *(
        of_cluster(
            "spec.network.serviceCIDRs",
            "spec.network.serviceCIDRs must leave room for Services: write an IPv4 range of /12 "
            "to /28 or an IPv6 range of /108 to /124",
            {"network": wrong},
        )
        for wrong in (
            {"serviceCIDRs": ["10.65.0.0/29"]},
            {"podCIDRs": ["fd00:1::/56"], "serviceCIDRs": ["fd00:2::/64"]},
        )
    ),
    *(
        of_cluster(
            "spec.egress",
            "spec.egress must be ranges such as 192.0.2.0/24 or 2001:db8::/32; write a single "
            "address with /32 or /128 behind it",
            {"egress": [wrong]},
        )
        for wrong in ("203.0.113.7", "203.0.113.7/24", "idp.example", "")
    ),
)
