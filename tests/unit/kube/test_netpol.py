"""Peers and ranges of NetworkPolicies: nothing that is closed is ever opened."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kok.kube import netpol
from kok.kube.addresses import address, collapsed, holding


def test_a_rule_without_peers_is_no_rule() -> None:
    """Kubernetes reads an empty list of peers as "everybody"."""
    assert netpol.going([]) is None
    assert netpol.coming([], ("TCP", 1)) is None
    made = netpol.policy("a", {"b": "c"}, ingress=[None], egress=[netpol.going([])])
    assert made["spec"]["ingress"] == made["spec"]["egress"] == []
    assert made["spec"]["policyTypes"] == ["Ingress", "Egress"]


@pytest.mark.parametrize(
    ("allowed", "closed", "peers"),
    [
        (["10.0.0.0/8"], [], [("10.0.0.0/8", [])]),
        (["10.0.0.0/8"], ["10.244.0.0/16", "192.168.0.0/16"], [("10.0.0.0/8", ["10.244.0.0/16"])]),
        (["10.244.0.0/24"], ["10.244.0.0/16"], []),
        (["10.244.0.0/16"], ["10.244.0.0/16"], []),
        (["169.254.169.254"], ["169.254.0.0/16"], []),
        (["::ffff:169.254.169.254"], ["169.254.0.0/16"], []),
        (["fd00::/8"], ["fd00:ec2::254/128"], [("fd00::/8", ["fd00:ec2::254/128"])]),
        (["192.0.2.7", "host.example", "", "192.0.2.7/32"], [], [("192.0.2.7/32", [])]),
        (["0.0.0.0/1", "128.0.0.0/1"], ["10.0.0.0/8"], [("0.0.0.0/0", ["10.0.0.0/8"])]),
    ],
)
def test_what_is_closed_is_cut_out(
    allowed: list[str], closed: list[str], peers: list[tuple[str, list[str]]]
) -> None:
    found = netpol.ranges(allowed, closed)
    assert [(p["ipBlock"]["cidr"], p["ipBlock"].get("except", [])) for p in found] == peers


ranges = st.builds(
    lambda ip, length: ipaddress.IPv4Network((ip, length), strict=False),
    st.integers(0, 2**32 - 1),
    st.integers(0, 32),
)


@given(st.lists(ranges, max_size=4), st.lists(ranges, max_size=4), st.integers(0, 2**32 - 1))
def test_an_address_is_open_exactly_if_it_is_allowed_and_not_closed(
    allowed: list[ipaddress.IPv4Network], closed: list[ipaddress.IPv4Network], ip: int
) -> None:
    for one in (ipaddress.IPv4Address(ip), *(net[0] for net in (*allowed, *closed))):
        wanted = any(one in net for net in allowed) and not any(one in net for net in closed)
        blocks = [p["ipBlock"] for p in netpol.ranges(map(str, allowed), map(str, closed))]
        opened = any(
            one in ipaddress.ip_network(b["cidr"])
            and not any(one in ipaddress.ip_network(e) for e in b.get("except", ()))
            for b in blocks
        )
        assert opened == wanted


def test_ranges_are_merged_and_sorted() -> None:
    found = collapsed(["10.0.1.0/24", "fd00::/64", "10.0.0.0/24", "10.0.0.5"])
    assert [str(n) for n in found] == ["10.0.0.0/23", "fd00::/64"]


@pytest.mark.parametrize(
    "host",
    [
        *("169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518"),
        *("0xa9.254.0xa9.254", "::ffff:169.254.169.254", "[::ffff:a9fe:a9fe]", "169.254.169.254."),
    ],
)
def test_an_address_is_known_however_it_is_written(host: str) -> None:
    assert holding(host, ["169.254.0.0/16"]) == "169.254.0.0/16"


@pytest.mark.parametrize("host", ["s3.example", "", "1.2.3.4.5", "256.1.1", "0x", "10.0.0.0/8"])
def test_a_name_is_no_address(host: str) -> None:
    assert address(host) is None
