"""Peers and ranges of NetworkPolicies: nothing that is closed is ever opened."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kok.kube.http.dial import ForbiddenAddress, judge
from kok.kube.objects import networkpolicy
from kok.kube.objects.addresses import address, collapsed, enclosing_range
from kok.runtime.policy import FORBIDDEN, Policies, wrong_address, wrong_ssh_address, wrong_url


def test_a_rule_without_peers_is_no_rule() -> None:
    """Kubernetes reads an empty list of peers as "everybody"."""
    assert networkpolicy.going([]) is None
    assert networkpolicy.coming([], ("TCP", 1)) is None
    made = networkpolicy.policy("a", {"b": "c"}, ingress=[None], egress=[networkpolicy.going([])])
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
        (["64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "::a9fe:a9fe"], ["169.254.0.0/16"], []),
        (["64:ff9b::/96"], ["169.254.0.0/16"], [("64:ff9b::/96", ["64:ff9b::a9fe:0/112"])]),
        (
            ["::/0"],
            ["169.254.0.0/16"],
            [
                (
                    "::/0",
                    [
                        "::a9fe:0/112",
                        "::ffff:0:a9fe:0/112",
                        "64:ff9b::a9fe:0/112",
                        "2002:a9fe::/32",
                    ],
                )
            ],
        ),
        (["192.0.2.7", "host.example", "", "192.0.2.7/32"], [], [("192.0.2.7/32", [])]),
        (["0.0.0.0/1", "128.0.0.0/1"], ["10.0.0.0/8"], [("0.0.0.0/0", ["10.0.0.0/8"])]),
    ],
)
def test_what_is_closed_is_cut_out(
    allowed: list[str], closed: list[str], peers: list[tuple[str, list[str]]]
) -> None:
    found = networkpolicy.ranges(allowed, closed)
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
        blocks = [p["ipBlock"] for p in networkpolicy.ranges(map(str, allowed), map(str, closed))]
        opened = any(
            one in ipaddress.ip_network(b["cidr"])
            and not any(one in ipaddress.ip_network(e) for e in b.get("except", ()))
            for b in blocks
        )
        assert opened == wanted


@pytest.mark.parametrize(
    "host",
    [
        *("64:ff9b::a9fe:a9fe", "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::1", "::a9fe:a9fe"),
        *("::ffff:0:a9fe:a9fe", "[2002:a9fe:a9fe:1:2:3:4:5]", "64:FF9B::A9FE:A9FE%eth0"),
    ],
)
def test_an_address_that_leads_to_a_closed_one_is_closed(host: str) -> None:
    """By NAT64, 6to4, or as an IPv4-compatible or translated address."""
    assert enclosing_range(host, FORBIDDEN) == "169.254.0.0/16"
    assert wrong_address(Policies(), host, "spec.address")
    assert wrong_url(Policies(), f"https://[{host.strip('[]')}]:9000/", "spec.url")
    with pytest.raises(ForbiddenAddress):
        judge(host.strip("[]"), FORBIDDEN)
    closed = [p["ipBlock"] for p in networkpolicy.ranges(["::/0"], FORBIDDEN)]
    one = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    assert any(one in ipaddress.ip_network(e) for e in closed[0]["except"])


@pytest.mark.parametrize("host", ["64:ff9b::c633:6401", "2002:c633:6401::1", "2001:db8::a9fe:a9fe"])
def test_other_addresses_stay_open(host: str) -> None:
    assert enclosing_range(host, FORBIDDEN) is None
    assert [p["ipBlock"]["cidr"] for p in networkpolicy.ranges([host], FORBIDDEN)] == [
        f"{host}/128"
    ]


@pytest.mark.parametrize(("host", "closed"), [("::1", "::1/128"), ("::", "::/128")])
def test_loopback_is_no_ipv4_address(host: str, closed: str) -> None:
    assert enclosing_range(host, FORBIDDEN) == closed


def test_a_list_of_what_is_allowed_means_what_it_says() -> None:
    """What is written as an IPv6 address leads there only where somebody translates it."""
    allowed = Policies(allowed_ssh_ranges=("198.51.100.0/24",))
    assert wrong_ssh_address(allowed, "198.51.100.1", "spec.address") is None
    assert wrong_ssh_address(allowed, "64:ff9b::c633:6401", "spec.address") is not None


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
    assert enclosing_range(host, ["169.254.0.0/16"]) == "169.254.0.0/16"


@pytest.mark.parametrize("host", ["s3.example", "", "1.2.3.4.5", "256.1.1", "0x", "10.0.0.0/8"])
def test_a_name_is_no_address(host: str) -> None:
    assert address(host) is None
