"""What a control plane may reach, and who may reach it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.golden import cluster as golden
from tests.unit.operators.cluster.builders import a_cluster
from tests.unit.operators.etcd.builders import an_etcd
from tests.unit.operators.networkpolicy_simulator import Enforcer, Spot

from kok.kube.objects.networkpolicy import pods_in
from kok.operators.cluster import naming
from kok.operators.cluster.cluster import caches
from kok.operators.cluster.cluster.caches import meta_node
from kok.operators.cluster.cluster.render import apiserver, controllers
from kok.operators.cluster.cluster.render.networkpolicy import PolicyInputs, policies
from kok.operators.cluster.cluster.spec.resolved import resolve
from kok.operators.etcd import naming as etcd_naming
from kok.runtime.policy import FORBIDDEN

META_NODE, META_PODS = "192.0.2.10", "10.244.0.0/16"
AROUND = PolicyInputs(
    machines=("198.51.100.21", "169.254.169.254", META_NODE, "10.244.3.3"),
    closed=(*FORBIDDEN, META_NODE, META_PODS),
    scrapers=(pods_in("monitoring", {"app": "prometheus"}),),
)
EVERYWHERE = ["0.0.0.0/0", "::/0"]


def pod_of(component: str, cluster: str = "shop") -> Spot:
    return Spot("10.244.1.1", "team-a", naming.pod_labels(cluster, component))


def network(around: PolicyInputs = AROUND, **spec: Any) -> Enforcer:
    return Enforcer(policies(resolve(a_cluster(**spec)), around))


SERVER, MANAGER, SCHEDULER = map(pod_of, naming.COMPONENTS)
OTHERS = {
    "meta API": (Spot(META_NODE), 6443),
    "kubelet of a meta node": (Spot(META_NODE), 10250),
    "cloud metadata": (Spot("169.254.169.254"), 80),
    "cloud metadata, IPv6": (Spot("fd00:ec2::254"), 80),
    "loopback": (Spot("127.0.0.1"), 10250),
    "pod of another tenant": (Spot("10.244.2.2", "team-b", {"app": "web"}), 80),
    "another tenant's etcd": (
        Spot("10.244.2.3", "team-b", etcd_naming.pod_labels(an_etcd())),
        2379,
    ),
    "pod beside it": (Spot("10.244.2.4", "team-a", {"app": "web"}), 80),
    "another Cluster's etcd beside it": (
        Spot(
            "10.244.2.5",
            "team-a",
            {**etcd_naming.pod_labels(an_etcd()), etcd_naming.names.LABEL_OWNER_NAME: "toy-etcd"},
        ),
        2379,
    ),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"egress": EVERYWHERE},
        {"network": {"podCIDRs": ["10.244.0.0/16"], "serviceCIDRs": ["10.96.0.0/12"]}},
        {"network": {"podCIDRs": ["10.0.0.0/8"], "serviceCIDRs": ["172.16.0.0/12"]}},
    ],
)
def test_nothing_that_is_written_opens_what_is_not_the_tenants(
    other: str, spec: dict[str, Any]
) -> None:
    spot, port = OTHERS[other]
    assert not any(network(**spec).lets(pod, spot, port) for pod in (SERVER, MANAGER, SCHEDULER))


def test_a_policy_of_somebody_elses_adds_up() -> None:
    """Why who may make NetworkPolicies is not held by ours, as docs/security.md says."""
    spot, port = OTHERS["meta API"]
    made = policies(resolve(a_cluster()), AROUND)
    theirs = {
        "metadata": {"name": "theirs"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]},
    }
    assert not Enforcer(made).lets(SERVER, spot, port)
    assert Enforcer([*made, theirs]).lets(SERVER, spot, port)


def test_an_api_server_reaches_what_it_needs() -> None:
    etcd = Spot("10.244.1.9", "team-a", etcd_naming.member_labels(an_etcd(), "shop-etcd-0"))
    dns = Spot("10.244.0.2", "kube-system", {"k8s-app": "kube-dns"})
    made = network(egress=["203.0.113.0/24"])
    assert made.lets(SERVER, etcd, 2379)
    assert not made.lets(SERVER, etcd, 2380)
    assert made.lets(SERVER, dns, 53, "UDP")
    assert made.lets(SERVER, dns, 53, "TCP")
    assert not made.lets(SERVER, dns, 9153)
    assert made.lets(SERVER, Spot("198.51.100.21"), 10250)
    assert not made.lets(SERVER, Spot("198.51.100.21"), 22)
    assert made.lets(SERVER, Spot("10.64.3.3"), 8443), "a webhook's pod in the business cluster"
    assert made.lets(SERVER, Spot("203.0.113.9"), 443)
    assert not made.lets(SERVER, Spot("203.0.114.9"), 443)


def test_clients_reach_an_api_server_from_everywhere_and_by_its_port_alone() -> None:
    for client in (Spot("203.0.113.5"), Spot("10.244.5.5", "team-b", {"a": "b"}), MANAGER):
        assert network().lets(client, SERVER, 6443)
        assert not network().lets(client, SERVER, 8080)


def test_the_others_talk_to_their_own_api_servers_only() -> None:
    for pod in (MANAGER, SCHEDULER):
        assert network().lets(pod, SERVER, 6443)
        assert not network().lets(pod, pod_of(naming.API_SERVER, "toy"), 6443)
        assert not network(egress=EVERYWHERE).lets(pod, Spot("203.0.113.9"), 443)


def test_agents_reach_a_tunnels_server_from_everywhere_where_there_is_one() -> None:
    agent = Spot("203.0.113.5")
    tunnel = replace(AROUND, tunnel=True)
    assert network(tunnel).lets(agent, SERVER, 8132)
    assert not network().lets(agent, SERVER, 8132)
    for closed in (8133, 8134):
        assert not network(tunnel).lets(agent, SERVER, closed)


def test_a_tunnels_server_asks_its_own_api_servers() -> None:
    made = network(replace(AROUND, tunnel=True))
    assert made.lets(SERVER, SERVER, 6443)
    assert not made.lets(SERVER, pod_of(naming.API_SERVER, "toy"), 6443)
    assert not network().lets(SERVER, SERVER, 6443)


def test_with_a_tunnel_alone_an_api_server_goes_nowhere_inside() -> None:
    alone = replace(AROUND, tunnel=True, straight=False)
    kubelet, pod, service = Spot("198.51.100.21"), Spot("10.64.3.3"), Spot("10.65.0.9")
    for inside, port in ((kubelet, 10250), (pod, 8443), (service, 443)):
        assert network(replace(alone, straight=True)).lets(SERVER, inside, port)
        assert not network(alone).lets(SERVER, inside, port)
    made = network(alone, egress=["203.0.113.0/24"])
    etcd = Spot("10.244.1.9", "team-a", etcd_naming.member_labels(an_etcd(), "shop-etcd-0"))
    assert made.lets(SERVER, etcd, 2379)
    assert made.lets(SERVER, SERVER, 6443)
    assert made.lets(Spot("198.51.100.21"), SERVER, 8132), "the worker's agent"
    assert made.lets(SERVER, Spot("203.0.113.9"), 443), "what a webhook names by its URL"


def test_metrics_are_for_declared_scrapers() -> None:
    prometheus = Spot("10.244.7.7", "monitoring", {"app": "prometheus"})
    for pod, port in ((MANAGER, 10257), (SCHEDULER, 10259)):
        assert network().lets(prometheus, pod, port)
        assert not network().lets(Spot("10.244.7.8", "monitoring", {"app": "x"}), pod, port)
        assert not network(PolicyInputs()).lets(prometheus, pod, port)


def test_the_policies_select_the_pods_that_are_made() -> None:
    resolved = resolve(a_cluster())
    made = {
        m["metadata"]["name"]: m["spec"]["template"]["metadata"]["labels"]
        for m in (
            apiserver.deployment(resolved, resolved.version, ""),
            controllers.controller_manager(resolved, resolved.version, ""),
            controllers.scheduler(resolved, resolved.version, ""),
        )
    }
    for policy in policies(resolved, AROUND):
        labels = made.pop(policy["metadata"]["name"])
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert made == {}


@pytest.mark.parametrize(("name", "spec"), [("plain", {}), ("egress", {"egress": EVERYWHERE})])
def test_policies_are_rendered_as_they_were(name: str, spec: dict[str, Any]) -> None:
    golden.check(f"network-{name}", policies(resolve(a_cluster(**spec)), AROUND))


def test_policies_with_a_tunnel_alone_are_rendered_as_they_were() -> None:
    alone = replace(AROUND, tunnel=True, straight=False)
    golden.check("network-tunnel", policies(resolve(a_cluster()), alone))


def a_machine(address: str, *more: str, told: tuple[str, ...] = ()) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "team-a", "name": "m"},
        "spec": {"cluster": "shop", "address": address, "addresses": list(more)},
        "status": {"facts": {"addresses": list(told)}},
    }


def test_a_host_opens_nothing_where_its_author_wrote_an_address() -> None:
    lying = a_machine("198.51.100.21", told=("203.0.113.66", "203.0.113.67"))
    assert caches.machine_addresses(lying).addresses == ("198.51.100.21",)
    listed = a_machine("node.example", "10.0.2.15", told=("203.0.113.66",))
    assert caches.machine_addresses(listed).addresses == ("10.0.2.15",)
    named = a_machine("node.example", told=("198.51.100.22", "203.0.113.67"))
    assert caches.machine_addresses(named).addresses == ("198.51.100.22",)


def test_what_the_meta_nodes_have_is_known() -> None:
    manifest = {
        "metadata": {"name": "meta-1"},
        "spec": {"podCIDR": "10.244.0.0/24", "podCIDRs": ["10.244.0.0/24", "fd01::/64"]},
        "status": {"addresses": [{"type": "InternalIP", "address": META_NODE}]},
    }
    assert meta_node(manifest).pod_cidrs == ("10.244.0.0/24", "fd01::/64")


def test_of_a_meta_node_all_addresses_are_closed() -> None:
    """By its external one a node is reached, too; endpoints have the internal one alone."""
    told = [
        {"type": "Hostname", "address": "meta-1"},
        {"type": "InternalIP", "address": META_NODE},
        {"type": "InternalIP", "address": "not-an-address"},
        {"type": "ExternalIP", "address": "203.0.113.7"},
        {"type": "ExternalIP", "address": META_NODE},
        {"type": "ExternalDNS", "address": "meta-1.example"},
        {"type": "SomethingElse", "address": "2001:db8::7"},
    ]
    node = meta_node({"metadata": {"name": "meta-1"}, "status": {"addresses": told}})
    assert node.addresses == (META_NODE,)
    assert node.closed == (META_NODE, "203.0.113.7", "2001:db8::7")
    around = PolicyInputs(closed=node.closed)
    rules = network(around, egress=["203.0.113.0/24", "2001:db8::/64"])
    assert rules.lets(SERVER, Spot("203.0.113.8"), 10250)
    for address in ("203.0.113.7", "2001:db8::7"):
        assert not rules.lets(SERVER, Spot(address), 10250)


def test_of_a_meta_node_with_an_internal_address_alone_that_is_closed() -> None:
    told = [{"type": "InternalIP", "address": META_NODE}, {"type": "Hostname", "address": "m"}]
    node = meta_node({"metadata": {"name": "meta-1"}, "status": {"addresses": told}})
    assert node.closed == node.addresses == (META_NODE,)
