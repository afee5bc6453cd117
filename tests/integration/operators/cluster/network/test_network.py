"""NetworkPolicies of a control plane, as a real API server takes and keeps them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.integration.apiserver import ApiServer
from tests.integration.operators.cluster.conftest import Workspace, running

from kok.api import names
from kok.api.machine.machine import Machine
from kok.api.meta import Manifest
from kok.kube import kinds

POLICY, MACHINE = kinds.NETWORKPOLICY, Machine.info.kind
COMPONENTS = ("shop-apiserver", "shop-controller-manager", "shop-scheduler")


@pytest.fixture
async def isolating(
    api_server: ApiServer, cluster_crds: None, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    """The operator as the chart runs it by default."""
    monkeypatch.setenv("KOK_NETWORK_POLICIES", "true")
    async with running(api_server, namespace):
        yield


def kubelets(policy: Manifest | None) -> list[str]:
    """Where the policy lets API servers go by the kubelets' port."""
    rules: list[dict[str, Any]] = (policy or {}).get("spec", {}).get("egress", [])
    return [
        peer["ipBlock"]["cidr"]
        for rule in rules
        if [port["port"] for port in rule.get("ports", [])] == [10250]
        for peer in rule["to"]
    ]


def ranges(policy: Manifest | None) -> list[str]:
    """All ranges of addresses into which the policy lets API servers go."""
    rules: list[dict[str, Any]] = (policy or {}).get("spec", {}).get("egress", [])
    peers = [peer for rule in rules for peer in rule["to"]]
    return [peer["ipBlock"]["cidr"] for peer in peers if "ipBlock" in peer]


async def a_machine(workspace: Workspace, address: str) -> None:
    """A Machine of the Cluster."""
    await workspace.kube.create(
        {
            "apiVersion": MACHINE.api_version,
            "kind": MACHINE.kind,
            "metadata": {"name": "w1", "namespace": workspace.namespace},
            "spec": {"cluster": "shop", "node": "w1", "address": address, "ssh": {"secret": "ssh"}},
        }
    )


async def test_a_policy_that_is_deleted_or_changed_comes_back(
    workspace: Workspace, isolating: None
) -> None:
    await workspace.make()
    made = [await workspace.until(lambda m: m, name, POLICY) for name in COMPONENTS]
    first = made[0]
    await workspace.delete(POLICY, "shop-apiserver")
    again = await workspace.until(
        lambda m: m and m["metadata"]["uid"] != first["metadata"]["uid"], "shop-apiserver", POLICY
    )
    assert again["spec"] == first["spec"]
    await workspace.patch({"spec": {"egress": [{}]}}, "shop-apiserver", POLICY)
    await workspace.until(lambda m: m and m["spec"] == first["spec"], "shop-apiserver", POLICY)


async def test_the_nodes_that_may_be_reached_follow_the_machines(
    workspace: Workspace, isolating: None
) -> None:
    await workspace.make()
    await workspace.until(lambda m: m and not kubelets(m), "shop-apiserver", POLICY)
    await a_machine(workspace, "198.51.100.21")
    await workspace.until(lambda m: kubelets(m) == ["198.51.100.21/32"], "shop-apiserver", POLICY)


async def test_where_there_is_a_tunnel_alone_no_node_may_be_reached(
    workspace: Workspace, isolating: None
) -> None:
    await a_machine(workspace, "198.51.100.21")
    await workspace.make(network={"tunnel": "Always"})
    await workspace.until(lambda m: m and ranges(m) == [], "shop-apiserver", POLICY)
    await workspace.patch({"spec": {"network": {"tunnel": "Never"}}})
    inside = ["10.64.0.0/16", "10.65.0.0/20", "198.51.100.21/32"]
    await workspace.until(lambda m: sorted(ranges(m)) == inside, "shop-apiserver", POLICY)


async def test_a_policy_of_somebody_elses_is_not_taken_over(
    workspace: Workspace, isolating: None
) -> None:
    foreign = {
        "apiVersion": POLICY.api_version,
        "kind": POLICY.kind,
        "metadata": {
            "name": "shop-scheduler",
            "namespace": workspace.namespace,
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Secret", "name": "x", "uid": "y", "controller": True}
            ],
        },
        "spec": {"podSelector": {}},
    }
    made = await workspace.kube.create(foreign)
    await workspace.make()
    await workspace.until_reason("NameTaken")
    kept = await workspace.there(POLICY, "shop-scheduler")
    assert kept["spec"] == made["spec"]


async def test_they_go_when_they_are_switched_off(
    workspace: Workspace, api_server: ApiServer, cluster_crds: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOK_NETWORK_POLICIES", "true")
    async with running(api_server, workspace.namespace):
        await workspace.make()
        await workspace.until(lambda m: m, "shop-apiserver", POLICY)
    monkeypatch.setenv("KOK_NETWORK_POLICIES", "false")
    async with running(api_server, workspace.namespace):
        for name in COMPONENTS:
            await workspace.until_gone(name, POLICY)
    labels = {names.LABEL_CLUSTER: "shop"}
    assert await workspace.kube.list(POLICY, workspace.namespace, labels=labels) == []
