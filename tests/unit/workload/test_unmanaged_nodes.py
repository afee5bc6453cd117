"""Which serving certificates a node may have that belongs to no Machine."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.unit.operators.cluster.builders import a_cluster
from tests.unit.operators.machine.builders import machine
from tests.unit.workload.csrs import csr, node

from kok.workload import csr as certificates
from kok.workload import unmanaged_nodes
from kok.workload.csr import KEPT_MOST, PENDING_MOST, REQUESTS_MOST, Pending

CLUSTER = a_cluster(endpoint={"host": "api.shop.example"})
MACHINE = machine(addresses=["w1.example"]).manifest()
ODD = {"metadata": {"name": "odd"}, "spec": {"cluster": 7, "node": "w5", "address": "w5.example"}}
MACHINES = unmanaged_nodes.machines_of(CLUSTER, [MACHINE, ODD])
"""One of them cannot be read; what it says is its own all the same."""
OWN = ("192.0.2.77", "w7", "w7.example")


def objection(*told: str, node_: str = "w7", **asked: Any) -> str | None:
    """What is said against a request of `w7`, which tells `told` of itself."""
    seen = [node("w7", *told), node("w8", "192.0.2.78", "w8.example"), node("w1", "192.0.2.21")]
    nodes = {one["metadata"]["name"]: unmanaged_nodes.addresses(one) for one in seen}
    taken = unmanaged_nodes.taken(CLUSTER, ["203.0.113.1"], MACHINES, nodes)("w7")
    request = certificates.request_of(csr(node_, **asked))
    assert request is not None
    return unmanaged_nodes.objection(request, nodes, taken)


@pytest.mark.parametrize(
    "asked",
    [
        {"hosts": ["w7"], "addresses": ["192.0.2.77"]},
        {"hosts": ["w7", "w7.example"]},
        {"addresses": ["192.0.2.77"]},
    ],
)
def test_what_the_node_object_tells_is_granted(asked: dict[str, Any]) -> None:
    assert objection(*OWN, **asked) is None


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"hosts": ["w7"], "asker": "system:node:w8"}, "its subject is"),
        ({"hosts": ["w7"], "groups": ["system:authenticated"]}, "not in the group system:nodes"),
        ({"hosts": ["w7"], "usages": ["client auth"]}, "it asks for the usages client auth"),
        ({"hosts": ["w9.example"]}, "it names w9.example, which is not the node's name"),
        (
            {"addresses": ["192.0.2.99"]},
            "it names 192.0.2.99, which is not in status.addresses of Node w7",
        ),
        ({"node_": "w9", "hosts": ["w9"]}, "there is no Node w9"),
        (
            {
                "hosts": [],
                "signer": "kubernetes.io/kube-apiserver-client-kubelet",
                "asker": "system:bootstrap:abc123",
            },
            "it does not ask for the serving certificate of a node",
        ),
    ],
)
def test_anything_else_is_not(asked: dict[str, Any], why: str) -> None:
    assert why in (objection(*OWN, **asked) or "granted")


@pytest.mark.parametrize(
    ("host", "what"),
    [
        ("api.shop.example", "the API server's"),
        ("kubernetes.default.svc", "the API server's"),
        ("localhost", "every host's own"),
        ("127.0.0.1", "a loopback address"),
        ("169.254.169.254", "a link-local address"),
        ("10.65.0.1", "in 10.65.0.0/20, the range of Services"),
        ("203.0.113.1", "an address of the meta cluster's nodes"),
        ("192.0.2.21", "a Machine's"),
        ("w1", "a Machine's"),
        ("w1.example", "a Machine's"),
        ("w5", "a Machine's"),
        ("w5.example", "a Machine's"),
        ("192.0.2.78", "another Node's"),
        ("w8", "another Node's"),
        ("w8.example", "another Node's"),
    ],
)
def test_what_is_somebody_elses_a_node_does_not_get_by_telling_it_of_itself(
    host: str, what: str
) -> None:
    asked = {"addresses": [host]} if host[0].isdigit() else {"hosts": [host]}
    said = objection(*OWN, host, **asked)
    assert said == f"it names {host}, which is {what}; no node may have it"


@pytest.mark.parametrize(
    "name",
    [
        "*.default.svc",
        "*.default.svc.cluster.local",
        "*.shop.example",
        "*",
        "api*.shop.example",
        "a..example",
        "w7.example.",
        "w 7",
        "\u212aubernetes",
    ],
)
def test_what_means_more_than_one_host_no_node_gets(name: str) -> None:
    if not name.isascii():
        # Which cannot stand in a request; if it could it would be refused as well.
        assert not certificates._is_plain(name)
        return
    said = objection("192.0.2.77", name, hosts=[name], addresses=["192.0.2.77"])
    assert said == f"it names {name}, which is no plain host name; no node may have it"


def test_what_a_wildcard_of_the_api_means_is_the_apis() -> None:
    cluster = a_cluster(endpoint={"host": "api.shop.example", "extraSANs": ["*.k8s.example"]})
    nodes = {"w7": ("api.k8s.example", "a.b.k8s.example")}
    taken = unmanaged_nodes.taken(cluster, [], [], nodes)("w7")
    asked = certificates.request_of(csr("w7", hosts=["api.k8s.example"]))
    assert asked is not None
    said = unmanaged_nodes.objection(asked, nodes, taken)
    assert said == "it names api.k8s.example, which is the API server's; no node may have it"
    other = certificates.request_of(csr("w7", hosts=["a.b.k8s.example"]))
    assert other is not None
    assert unmanaged_nodes.objection(other, nodes, taken) is None


def test_of_what_a_node_tells_no_more_than_a_bit_is_kept() -> None:
    many = [f"h{number}.example" for number in range(1000)]
    assert len(unmanaged_nodes.addresses(node("w7", *many))) == unmanaged_nodes.ADDRESSES
    assert unmanaged_nodes.addresses(node("w7", "x" * 300, "w7")) == ("w7",)
    assert (
        unmanaged_nodes.addresses({"metadata": {"name": "w7"}, "status": {"addresses": "x"}}) == ()
    )


def test_the_newest_requests_are_kept_of_one_and_of_all() -> None:
    pending, one = Pending(), csr("w7", hosts=["w7"])

    def ask(node_: str, number: int) -> None:
        spec = {**one["spec"], "username": f"system:node:{node_}"}
        pending.take({"metadata": {"name": f"{node_}-{number}"}, "spec": spec}, gone=False)

    for number in range(PENDING_MOST + 4):
        ask("w7", number)
    kept = [request.name for request in pending.of("system:node:w7")]
    assert kept == [f"w7-{number}" for number in range(4, PENDING_MOST + 4)]
    for number in range(REQUESTS_MOST + 1):
        ask(f"x{number}", 0)
    assert len(pending.nodes()) == REQUESTS_MOST
    assert "w7" not in pending.nodes()
    last = pending.get(f"x{REQUESTS_MOST}-0")
    assert last is not None
    pending.decided(last)
    assert f"x{REQUESTS_MOST}" not in pending.nodes()


def test_requests_are_remembered_within_a_size_whatever_is_written_in_them() -> None:
    pending, one, words = Pending(), csr("w7"), ["x" * 500 + str(n) for n in range(16)]
    for number in range(REQUESTS_MOST):
        spec = {**one["spec"], "username": f"system:node:x{number}", "groups": words}
        pending.take({"metadata": {"name": f"x{number}"}, "spec": spec}, gone=False)
    kept = [one for n in range(REQUESTS_MOST) if (one := pending.get(f"x{n}")) is not None]
    assert sum(request.size for request in kept) <= KEPT_MOST
    assert kept[-1].name == f"x{REQUESTS_MOST - 1}"


def test_of_many_nodes_that_ask_all_are_looked_at_but_once() -> None:
    """Whoever answers in the place of an API server decides on how many there are."""
    nodes = {
        f"n{n}": tuple(f"192.{n // 250}.{n % 250}.{k}" for k in range(16)) for n in range(2000)
    }
    of_others = unmanaged_nodes.taken(CLUSTER, [], MACHINES, nodes)
    began = time.process_time()
    for name in nodes:
        assert of_others(name).of(nodes[name][0]) is None
    assert time.process_time() - began < 5.0
    assert of_others("n1").of("192.0.2.3") == "another Node's"
    shared = unmanaged_nodes.taken(CLUSTER, [], [], {"a": ("192.0.2.9",), "b": ("192.0.2.9",)})
    assert shared("a").of("192.0.2.9") == shared("b").of("192.0.2.9") == "another Node's"
