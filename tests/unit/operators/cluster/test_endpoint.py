"""Where the API is reached, and which names its certificate carries."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operators.cluster.builders import META_1, META_2, a_cluster, a_service

from kok.api.meta import Manifest
from kok.operators.cluster.cluster.render.service import service
from kok.operators.cluster.cluster.spec.resolved import resolve
from kok.operators.cluster.endpoint import (
    Endpoint,
    MetaNode,
    NoEndpoint,
    family_missing,
    known_addresses,
    public_endpoint,
    serving_names,
    slice_addresses,
)

NODES = (META_1, META_2)


def found(service_: Manifest | None, nodes: tuple[MetaNode, ...] = NODES, **rest: Any) -> str:
    endpoint = public_endpoint(a_cluster(**rest), service_, nodes)
    return endpoint.url if isinstance(endpoint, Endpoint) else f"{endpoint.reason}"


def balancer(**entry: str) -> Manifest:
    return a_service("LoadBalancer", loadBalancer={"ingress": [entry]})


@pytest.mark.parametrize(
    ("endpoint", "service_", "url"),
    [
        ({}, a_service(), "https://192.0.2.10:31443"),
        ({"port": 30001}, None, "https://192.0.2.10:30001"),
        ({"host": "api.example"}, a_service(), "https://api.example:31443"),
        ({"type": "LoadBalancer"}, balancer(ip="198.51.100.7"), "https://198.51.100.7:6443"),
        (
            {"type": "LoadBalancer", "port": 443},
            balancer(hostname="lb.example"),
            "https://lb.example:443",
        ),
        ({"type": "ClusterIP"}, a_service("ClusterIP"), "https://10.96.7.7:6443"),
        ({}, None, "WaitingForAddress"),
        ({"type": "LoadBalancer"}, a_service("LoadBalancer"), "WaitingForAddress"),
        ({"type": "ClusterIP"}, None, "WaitingForAddress"),
    ],
)
def test_where_the_api_is(endpoint: dict[str, Any], service_: Manifest | None, url: str) -> None:
    assert found(service_, endpoint=endpoint) == url


def test_without_nodes_the_sentence_says_what_to_write() -> None:
    endpoint = public_endpoint(a_cluster(), a_service(), ())
    assert isinstance(endpoint, NoEndpoint)
    assert "write spec.endpoint.host" in endpoint.message


def test_an_address_stays_while_its_node_exists() -> None:
    status = {"endpoint": "https://192.0.2.11:31443"}
    assert found(a_service(), status=status) == "https://192.0.2.11:31443"
    assert found(a_service(), nodes=(META_1,), status=status) == "https://192.0.2.10:31443"


def test_a_usable_node_is_preferred_for_a_new_cluster() -> None:
    sick = MetaNode("meta-0", ("192.0.2.9",), usable=False)
    assert found(a_service(), nodes=(sick, META_1)) == "https://192.0.2.10:31443"


def test_a_changed_node_port_is_no_reason_to_move() -> None:
    status = {"endpoint": "https://192.0.2.10:31443"}
    assert found(a_service(node_port=32000), status=status) == "https://192.0.2.10:31443"


def test_a_deleted_service_asks_for_its_port_again() -> None:
    cluster = a_cluster(status={"endpoint": "https://192.0.2.10:31443"})
    made = service(resolve(cluster))
    assert made["spec"]["ports"][0]["nodePort"] == 31443
    assert "nodePort" not in service(resolve(a_cluster()))["spec"]["ports"][0]


def test_a_deleted_cluster_ip_is_asked_for_again() -> None:
    cluster = a_cluster(
        endpoint={"type": "ClusterIP"}, status={"endpoint": "https://10.96.7.7:6443"}
    )
    assert service(resolve(cluster))["spec"]["clusterIP"] == "10.96.7.7"


def test_another_public_port_comes_beside_the_one_for_the_meta_cluster() -> None:
    made = service(resolve(a_cluster(endpoint={"type": "LoadBalancer", "port": 443})))
    assert [p["port"] for p in made["spec"]["ports"]] == [6443, 443]


def test_the_certificate_carries_every_way_to_the_api() -> None:
    cluster = a_cluster(endpoint={"extraSANs": ["shop.internal", "203.0.113.5"]})
    dns, addresses = serving_names(cluster, Endpoint("api.example", 31443), a_service(), NODES)
    assert {"shop-apiserver.team-a.svc", "kubernetes.default.svc.cluster.local"} <= set(dns)
    assert {"api.example", "shop.internal", "localhost"} <= set(dns)
    wanted = {"192.0.2.10", "192.0.2.11", "10.65.0.1", "10.96.7.7", "127.0.0.1", "203.0.113.5"}
    assert wanted <= set(addresses)


def test_the_recorded_address_stays_in_the_certificate_while_nothing_else_is_known() -> None:
    cluster = a_cluster(status={"endpoint": "https://192.0.2.77:31443"})
    _, addresses = serving_names(cluster, None, None, ())
    assert "192.0.2.77" in addresses


def test_meta_nodes_matter_only_to_node_ports() -> None:
    cluster = a_cluster(endpoint={"type": "ClusterIP"})
    _, addresses = serving_names(cluster, None, None, NODES)
    assert "192.0.2.10" not in addresses


@pytest.mark.parametrize(
    ("endpoint", "resolved", "leads_to"),
    [
        ({}, (), ("192.0.2.10", "192.0.2.11")),
        ({"host": "api.example"}, ("198.51.100.7", "2001:db8::7"), ("198.51.100.7",)),
        # Of the Service's family or nothing: a pod that asks there gets no other.
        ({"host": "api.example"}, ("2001:db8::7",), ()),
        ({"type": "LoadBalancer"}, ("198.51.100.7",), ("198.51.100.7",)),
        ({"host": "api.example"}, (), ()),
    ],
)
def test_where_pods_find_the_api(
    endpoint: dict[str, Any], resolved: tuple[str, ...], leads_to: tuple[str, ...]
) -> None:
    assert slice_addresses(a_cluster(endpoint=endpoint), NODES, resolved) == leads_to


def test_pods_are_not_sent_to_a_node_that_is_away_as_long_as_others_are_there() -> None:
    away = MetaNode("meta-3", ("192.0.2.12",), usable=False)
    assert slice_addresses(a_cluster(), (META_1, away), ()) == ("192.0.2.10",)
    assert slice_addresses(a_cluster(), (away,), ()) == ("192.0.2.12",)


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("https://192.0.2.10:31443", Endpoint("192.0.2.10", 31443)),
        ("https://[2001:db8::1]:6443", Endpoint("2001:db8::1", 6443)),
        ("https://host", None),
        ("https://host:99999", None),
        (None, None),
    ],
)
def test_a_recorded_endpoint_reads_back(url: str | None, endpoint: Endpoint | None) -> None:
    assert Endpoint.parse(url) == endpoint
    if endpoint is not None:
        assert endpoint.url == url


SIX_FIRST = {
    "podCIDRs": ["fd00:64::/56", "10.64.0.0/16"],
    "serviceCIDRs": ["fd00:65::/112", "10.65.0.0/20"],
}
BOTH = MetaNode("meta-4", ("192.0.2.14", "2001:db8::14"), usable=True)


def test_with_ipv6_first_all_follows_the_services_family() -> None:
    cluster = a_cluster(network=SIX_FIRST)
    nodes = (META_1, BOTH)
    assert slice_addresses(cluster, nodes, ()) == ("2001:db8::14",)
    assert found(a_service(), nodes, network=SIX_FIRST) == "https://[2001:db8::14]:31443"
    assert service(resolve(cluster))["spec"]["ipFamilyPolicy"] == "PreferDualStack"
    assert "ipFamilyPolicy" not in service(resolve(a_cluster()))["spec"]
    assert family_missing(cluster, known_addresses(cluster, nodes)) is None


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (
            {"network": SIX_FIRST},
            "spec.network.serviceCIDRs begins with fd00:65::/112, and the meta cluster's nodes have "
            "only IPv4 addresses (192.0.2.10, 192.0.2.11): pods of the cluster could not reach its "
            "API; give these an IPv6 address, or create the Cluster with an IPv4 range first",
        ),
        (
            {"endpoint": {"host": "2001:db8::7"}},
            "spec.network.serviceCIDRs begins with 10.65.0.0/20, and the endpoint 2001:db8::7 has "
            "only IPv6 addresses (2001:db8::7): pods of the cluster could not reach its API; write "
            "a spec.endpoint.host with an IPv4 address, or create the Cluster with an IPv6 range "
            "first",
        ),
        # A name is resolved later, from where pods ask.
        ({"endpoint": {"host": "api.example"}, "network": SIX_FIRST}, None),
    ],
)
def test_an_endpoint_that_no_pod_could_use_is_refused(
    spec: dict[str, Any], told: str | None
) -> None:
    cluster = a_cluster(**spec)
    assert family_missing(cluster, known_addresses(cluster, NODES)) == told


def test_as_long_as_nothing_is_known_nothing_is_refused() -> None:
    assert family_missing(a_cluster(network=SIX_FIRST), ()) is None
