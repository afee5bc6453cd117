"""Where agents find the outer end of a tunnel, and when it is there."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operators.cluster.builders import META_1, META_2, a_cluster, a_deployment, a_view

from kok.api.meta import Manifest
from kok.operators.cluster import naming
from kok.operators.cluster.cluster.render import apiserver, konnectivity, networkpolicy
from kok.operators.cluster.cluster.spec.resolved import resolve
from kok.operators.cluster.endpoint import Endpoint, MetaNode
from kok.operators.cluster.tunnel import TunnelEnd, server_names, tunnel_end

OWN = "shop.team-a.konnectivity.kok.internal"
TUNNEL = {"tunnel": "Always"}


def a_service(node_port: int | None = 31555, **more: Any) -> Manifest:
    port: dict[str, Any] = {"port": 8132, "protocol": "TCP"}
    if node_port is not None:
        port["nodePort"] = node_port
    return {
        "kind": "Service",
        "metadata": {"name": "shop-konnectivity", "namespace": "team-a"},
        "spec": {"clusterIP": "10.96.9.9", "ports": [port]},
        **more,
    }


def test_behind_node_ports_agents_are_told_of_every_meta_node_the_public_one_first() -> None:
    dual = MetaNode("meta-3", ("192.0.2.12", "2001:db8::12"), usable=False)
    found = tunnel_end(
        a_cluster(), a_service(), Endpoint("192.0.2.11", 31443), [META_1, META_2, dual]
    )
    assert found == TunnelEnd(OWN, 31555, ("192.0.2.11", "192.0.2.10", "192.0.2.12"))


def test_a_meta_node_more_changes_no_certificate() -> None:
    cluster, endpoint = a_cluster(), Endpoint("192.0.2.10", 31443)
    names = {
        server_names(cluster, tunnel_end(cluster, a_service(), endpoint, nodes))
        for nodes in ([META_1], [META_1, META_2])
    }
    assert names == {(OWN,)}


def test_a_users_own_host_leads_to_the_tunnel_as_well() -> None:
    cluster = a_cluster(endpoint={"host": "api.shop.example"})
    found = tunnel_end(cluster, a_service(), Endpoint("api.shop.example", 31443), [META_1])
    assert found == TunnelEnd("api.shop.example", 31555, ())
    assert server_names(cluster, found) == ("api.shop.example", OWN)


@pytest.mark.parametrize(
    ("ingress", "wanted"),
    [
        ([], None),
        ([{"ip": "198.51.100.7"}], TunnelEnd(OWN, 8132, ("198.51.100.7",))),
        ([{"hostname": "lb.example"}], TunnelEnd("lb.example", 8132, ())),
    ],
)
def test_behind_a_load_balancer_it_is_the_tunnels_own_address(
    ingress: list[dict[str, str]], wanted: TunnelEnd | None
) -> None:
    service = a_service(status={"loadBalancer": {"ingress": ingress}})
    cluster = a_cluster(endpoint={"type": "LoadBalancer", "host": "api.shop.example"})
    assert tunnel_end(cluster, service, Endpoint("api.shop.example", 6443), []) == wanted


def test_inside_the_meta_cluster_it_is_the_services_address() -> None:
    cluster = a_cluster(endpoint={"type": "ClusterIP"})
    found = tunnel_end(cluster, a_service(None), Endpoint("10.96.7.7", 6443), [])
    assert found == TunnelEnd(OWN, 8132, ("10.96.9.9",))


def test_without_a_port_or_a_node_nobody_knows_yet() -> None:
    endpoint = Endpoint("192.0.2.10", 31443)
    assert tunnel_end(a_cluster(), a_service(None), endpoint, [META_1]) is None
    assert tunnel_end(a_cluster(), None, endpoint, [META_1]) is None
    assert tunnel_end(a_cluster(), a_service(), None, [META_1]) is None


def test_two_clusters_under_one_ca_have_servers_of_different_names() -> None:
    assert server_names(a_cluster("shop"), None) != server_names(a_cluster("toys"), None)


def with_servers(*, complete: bool, tunnel: bool, ending: int = 0) -> Manifest:
    live = a_deployment(naming.API_SERVER, total=1 if complete else 2)
    live["status"]["terminatingReplicas"] = ending
    spec = {"network": TUNNEL} if tunnel else {}
    made = apiserver.deployment(resolve(a_cluster(**spec)), "1.37.1", "")
    live["spec"]["template"] = made["spec"]["template"]
    return live


def test_a_tunnel_stays_until_no_api_server_goes_by_it() -> None:
    never = resolve(a_cluster())
    service = a_service()
    on, rolling, off = (
        with_servers(complete=True, tunnel=True),
        with_servers(complete=False, tunnel=False),
        with_servers(complete=True, tunnel=False),
    )
    assert konnectivity.is_needed(resolve(a_cluster(network=TUNNEL)), a_view())
    assert konnectivity.is_needed(never, a_view(on, service))
    assert konnectivity.is_needed(never, a_view(rolling, service))
    assert not konnectivity.is_needed(never, a_view(off, service))
    assert not konnectivity.is_needed(never, a_view(rolling)), "nothing to do with any tunnel"


def a_fence(*, straight: bool) -> Manifest:
    around = networkpolicy.PolicyInputs(tunnel=True, straight=straight)
    made: Manifest = networkpolicy.policies(resolve(a_cluster()), around)[0]
    return made


@pytest.mark.parametrize(
    ("servers", "fence", "straight"),
    [
        ({"complete": True, "tunnel": False}, a_fence(straight=True), True),
        ({"complete": False, "tunnel": True}, a_fence(straight=True), True),
        ({"complete": True, "tunnel": True, "ending": 1}, a_fence(straight=True), True),
        ({"complete": True, "tunnel": True}, a_fence(straight=True), False),
        ({"complete": True, "tunnel": True}, a_fence(straight=False), False),
        # Another rollout, and fewer of them: all go by the tunnel.
        ({"complete": False, "tunnel": True}, a_fence(straight=False), False),
        ({"complete": True, "tunnel": True, "ending": 1}, a_fence(straight=False), False),
    ],
)
def test_the_straight_way_is_open_as_long_as_an_api_server_may_go_it(
    servers: dict[str, Any], fence: Manifest, straight: bool
) -> None:
    view = a_view(with_servers(**servers), fence)
    always = resolve(a_cluster(network=TUNNEL))
    assert konnectivity.may_go_straight(always, view) is straight
    # Before the first of those that are to go it is made, it is open.
    assert konnectivity.may_go_straight(resolve(a_cluster()), view)


def test_the_straight_way_of_a_cluster_that_begins_with_a_tunnel_is_never_open() -> None:
    assert not konnectivity.may_go_straight(resolve(a_cluster(network=TUNNEL)), a_view())
