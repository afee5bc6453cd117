"""Choice of addresses."""

from __future__ import annotations

import json
from ipaddress import IPv4Network

import pytest
from e2e.lab.cluster import network
from e2e.lab.errors import LabError
from hypothesis import given, settings
from hypothesis import strategies as st

POOL = IPv4Network("172.16.0.0/12")


def test_the_same_name_gets_the_same_subnet_on_the_same_machine() -> None:
    used = [IPv4Network("10.0.0.0/8")]
    assert network.choose(POOL, 24, "kok", used) == network.choose(POOL, 24, "kok", used)


def test_labs_of_different_names_start_at_different_places() -> None:
    chosen = {network.choose(POOL, 24, name, []) for name in ("kok", "two", "three", "four")}
    assert len(chosen) == 4


@settings(deadline=None)  # of a busy machine nothing is learnt
@given(name=st.text(max_size=16), octets=st.lists(st.integers(0, 4095), max_size=60))
def test_a_chosen_subnet_overlaps_nothing_in_use(name: str, octets: list[int]) -> None:
    subnets = list(POOL.subnets(new_prefix=24))
    used = [subnets[octet] for octet in octets]
    chosen = network.choose(POOL, 24, name, used)
    assert chosen.subnet_of(POOL)
    assert not any(chosen.overlaps(other) for other in used)


def test_a_taken_choice_gives_way_to_the_next() -> None:
    first = network.choose(POOL, 24, "kok", [])
    second = network.choose(POOL, 24, "kok", [first])
    assert second != first


def test_a_default_route_is_no_collision() -> None:
    assert network.choose(POOL, 24, "kok", [IPv4Network("0.0.0.0/0")])


def test_a_full_pool_is_told() -> None:
    with pytest.raises(LabError, match="in use on this machine"):
        network.choose(POOL, 24, "kok", [IPv4Network("172.0.0.0/8")])


def test_hosts_of_both_roles_have_addresses_of_their_own() -> None:
    subnet = IPv4Network("172.20.1.0/24")
    services = {subnet[network.REGISTRY_OFFSET], subnet[network.ARTIFACTS_OFFSET]}
    metas = {network.addresses(subnet, "meta", index) for index in range(1, 91)}
    workers = {network.addresses(subnet, "worker", index) for index in range(1, 155)}
    assert len(metas | workers | services) == 90 + 154 + 2
    assert all(address in subnet for address in metas | workers)
    assert subnet.broadcast_address not in workers


@pytest.mark.parametrize(("role", "index"), [("meta", 0), ("meta", 91), ("worker", 155)])
def test_more_hosts_than_there_is_room_for_are_refused(role: str, index: int) -> None:
    with pytest.raises(LabError, match="has room for"):
        network.addresses(IPv4Network("172.20.1.0/24"), role, index)


def test_routes_of_the_machine_are_read() -> None:
    found = network.parse_routes(
        json.dumps(
            [
                {"dst": "default", "gateway": "192.0.2.1"},
                {"dst": "192.0.2.0/24", "dev": "eth0"},
                {"dst": "10.1.2.3", "dev": "eth0"},
                {"type": "broadcast", "dst": "192.0.2.255", "dev": "eth0"},
            ]
        )
    )
    assert found == [IPv4Network("192.0.2.0/24"), IPv4Network("10.1.2.3/32")]


def test_networks_of_podman_are_read_also_when_nothing_runs_in_them() -> None:
    found = network.parse_podman(
        json.dumps(
            [
                {"name": "podman", "subnets": [{"subnet": "10.88.0.0/16"}]},
                {"name": "host", "subnets": None},
                {"name": "six", "subnets": [{"subnet": "fd00::/64"}]},
            ]
        )
    )
    assert found == [IPv4Network("10.88.0.0/16")]
