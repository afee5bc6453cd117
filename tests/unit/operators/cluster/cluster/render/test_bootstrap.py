"""What a business cluster needs inside before a node can join."""

from __future__ import annotations

from typing import Any

import yaml
from tests.unit.golden import cluster as golden
from tests.unit.operators.cluster.builders import a_cluster

from kok.operators.cluster.cluster.render.bootstrap import BootstrapInputs, endpoint_slice, objects
from kok.operators.cluster.cluster.spec.resolved import resolve
from kok.operators.cluster.endpoint import Endpoint

CA = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def inputs(addresses: tuple[str, ...] = ("192.0.2.10",), **spec: Any) -> BootstrapInputs:
    resolved = resolve(a_cluster(**spec))
    return BootstrapInputs(resolved, resolved.version, Endpoint("192.0.2.10", 31443), CA, addresses)


def test_the_set_is_as_it_was() -> None:
    golden.check("bootstrap", objects(inputs()))


def test_a_registry_of_the_clusters_own_is_what_kubeadm_pulls_from() -> None:
    [config] = [
        o
        for o in objects(inputs(images={"registry": "mirror.example"}))
        if o["metadata"]["name"] == "kubeadm-config"
    ]
    document = yaml.safe_load(config["data"]["ClusterConfiguration"])
    assert document["imageRepository"] == "mirror.example"


def test_foreign_nodes_take_no_more_pods_than_they_have_addresses_for() -> None:
    def most(*ranges: str) -> Any:
        made = objects(inputs(network={"podCIDRs": list(ranges)}))
        [config] = [o for o in made if o["metadata"]["name"] == "kubelet-config" and "data" in o]
        return yaml.safe_load(config["data"]["kubelet"]).get("maxPods")

    assert (most("10.64.0.0/24"), most("10.64.0.0/16")) == (13, None)


def test_unknown_addresses_leave_the_endpoint_slice_alone() -> None:
    assert not [o for o in objects(inputs(())) if o["kind"] == "EndpointSlice"]


def test_the_slice_is_of_the_family_of_its_addresses() -> None:
    assert endpoint_slice(("2001:db8::1",), 6443)["addressType"] == "IPv6"
    made = endpoint_slice(("192.0.2.10", "192.0.2.11"), 31443)
    assert made["addressType"] == "IPv4"
    assert [e["addresses"] for e in made["endpoints"]] == [["192.0.2.10"], ["192.0.2.11"]]
    assert made["ports"] == [{"name": "https", "port": 31443, "protocol": "TCP"}]
