"""Business clusters: nodes, certificate requests, tokens and drains on a real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
import structlog
from tests.integration.apiserver import ApiServer
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.test_business import GOOD, request

from kok import pki
from kok.api.machine import HostFacts, Machine
from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.access import from_kubeconfig
from kok.kube.client import Kube
from kok.operators.machine.business import certificates, nodes, tend, tokens
from kok.operators.machine.business.drain import Drain
from kok.operators.machine.business.tenants import Tenant, Tenants, Way
from kok.operators.machine.host.join import Access
from kok.runtime.clock import FakeClock, SystemClock
from kok.runtime.reconciler import Pass
from kok.runtime.settings import Settings

KEY = ("team-a", "shop")


@pytest.fixture
async def tenant(api_server: ApiServer) -> AsyncIterator[Tenant]:
    """The API server as somebody's business cluster."""
    tenants = Tenants(timeout=5.0)
    yield await tenants.connect(KEY, Way(api_server.kubeconfig()))
    await tenants.close()


def a_pass(kube: Kube, machine: Machine) -> Pass[Machine]:
    clock = SystemClock()
    return Pass(
        obj=machine,
        status=machine.status.model_copy(deep=True),
        kube=kube,
        clock=clock,
        now=clock.now(),
        log=structlog.stdlib.get_logger(),
        settings=Settings(),
    )


async def node(kube: Kube, name: str, **spec: Any) -> Manifest:
    made = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": spec}
    return await kube.create(made)


async def seen(tenant: Tenant, name: str, check: Callable[[], object]) -> None:
    """Waits until what the watches of a node brought is as asked for."""
    changed = asyncio.Event()
    tenant.on_node(name, "test", changed.set)
    async with asyncio.timeout(30):
        while not check():
            await changed.wait()
            changed.clear()


async def test_nodes_come_go_and_wake_their_machines(kube: Kube, tenant: Tenant) -> None:
    woken = asyncio.Event()
    tenant.on_node("n-1", "uid", woken.set)
    await asyncio.wait_for(tenant.synced.wait(), 30)
    woken.clear()
    await node(kube, "n-1")
    await asyncio.wait_for(woken.wait(), 30)
    assert tenant.nodes["n-1"].ready is None
    woken.clear()
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    await kube.patch(kinds.NODE, "n-1", None, {"status": status}, subresource="status")
    await asyncio.wait_for(woken.wait(), 30)
    assert tenant.nodes["n-1"].ready is True
    woken.clear()
    await kube.delete(kinds.NODE, "n-1")
    await asyncio.wait_for(woken.wait(), 30)
    assert "n-1" not in tenant.nodes


async def test_labels_and_taints_reach_the_node(kube: Kube, tenant: Tenant) -> None:
    await node(kube, "n-2", taints=[{"key": "theirs", "effect": "NoExecute"}])
    await seen(tenant, "n-2", lambda: "n-2" in tenant.nodes)
    taint = {"key": "dedicated", "value": "shop", "effect": "NoSchedule"}
    machine = builders.machine(node="n-2", labels={"tier": "gold"}, taints=[taint])
    assert await tend.node(a_pass(kube, machine), tenant, tenant.nodes["n-2"]) is None
    live = await kube.get(kinds.NODE, "n-2")
    assert live
    assert live["metadata"]["labels"]["tier"] == "gold"
    assert {t["key"] for t in live["spec"]["taints"]} >= {"theirs", "dedicated"}
    # What was just written is known without waiting for the watch.
    assert nodes.patch(tenant.nodes["n-2"], machine.spec.labels, machine.spec.taints) is None


async def test_an_old_picture_of_a_node_overwrites_nothing(kube: Kube, tenant: Tenant) -> None:
    await node(kube, "n-3")
    await seen(tenant, "n-3", lambda: "n-3" in tenant.nodes)
    old = tenant.nodes["n-3"]
    await kube.patch(
        kinds.NODE, "n-3", None, {"spec": {"taints": [{"key": "new", "effect": "NoSchedule"}]}}
    )
    machine = builders.machine(node="n-3", taints=[{"key": "mine", "effect": "NoSchedule"}])
    assert await tend.node(a_pass(kube, machine), tenant, old) == tend.SOON
    live = await kube.get(kinds.NODE, "n-3")
    assert live
    assert "new" in {t["key"] for t in live["spec"]["taints"]}


async def _csr(api_server: ApiServer, name: str, user: str, **changes: Any) -> None:
    """A request as a kubelet makes it, authenticated as that node."""
    asked = request(**changes)
    spec = {
        "request": pki.encode({"x": asked.pem})["x"],
        "signerName": certificates.SIGNER,
        "usages": list(GOOD["usages"]),
    }
    access = from_kubeconfig(api_server.kubeconfig())
    async with Kube(access, field_manager="kubelet") as kubelet:
        await kubelet.raw(
            "POST",
            "/apis/certificates.k8s.io/v1/certificatesigningrequests",
            {
                "apiVersion": kinds.CSR.api_version,
                "kind": kinds.CSR.kind,
                "metadata": {"name": name},
                "spec": spec,
            },
            headers={"Impersonate-User": user, "Impersonate-Group": "system:nodes"},
        )


async def test_only_the_machines_own_requests_are_approved(
    api_server: ApiServer, kube: Kube, tenant: Tenant
) -> None:
    await _allow_nodes(kube)
    user = "system:node:w1"
    await _csr(api_server, "csr-good", user)
    await _csr(api_server, "csr-bad", user, addresses=("203.0.113.9",))
    await seen(tenant, "w1", lambda: len(tenant.pending("w1")) == 2)
    machine = builders.machine(address="192.0.2.21")
    p = a_pass(kube, machine)
    p.status.facts = HostFacts(hostname="worker-1", addresses=["192.0.2.21"])
    await tend.approve(p, tenant)
    assert await _decision(kube, "csr-good") == ["Approved"]
    assert await _decision(kube, "csr-bad") == []
    (event,) = p.events
    assert event.reason == "ServingCertificateRefused"
    assert "csr-bad of Node w1 is not approved: it names 203.0.113.9" in event.note
    # A decided request is no longer pending, also before the watch tells.
    assert [r.name for r in tenant.pending("w1")] == ["csr-bad"]


async def test_nothing_is_approved_before_the_host_was_seen(
    api_server: ApiServer, kube: Kube, tenant: Tenant
) -> None:
    await _allow_nodes(kube)
    await _csr(
        api_server,
        "csr-early",
        "system:node:w7",
        common_name="system:node:w7",
        names=("w7",),
        node="w7",
    )
    await seen(tenant, "w7", lambda: tenant.pending("w7"))
    await tend.approve(a_pass(kube, builders.machine(node="w7")), tenant)
    assert await _decision(kube, "csr-early") == []


async def _allow_nodes(kube: Kube) -> None:
    """What the cluster operator sets up in a business cluster: kubelets may ask."""
    await kube.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "test-nodes"},
            "rules": [
                {
                    "apiGroups": ["certificates.k8s.io"],
                    "resources": ["certificatesigningrequests"],
                    "verbs": ["create"],
                }
            ],
        }
    )
    await kube.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "test-nodes"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "test-nodes",
            },
            "subjects": [
                {
                    "apiGroup": "rbac.authorization.k8s.io",
                    "kind": "Group",
                    "name": "system:nodes",
                }
            ],
        }
    )


async def _decision(kube: Kube, name: str) -> list[str]:
    live = await kube.get(kinds.CSR, name)
    assert live
    return [c["type"] for c in (live.get("status") or {}).get("conditions") or ()]


async def test_a_token_is_made_once_and_anew_when_it_is_spent(kube: Kube) -> None:
    clock = FakeClock(builders.NOW)
    access = Access("https://192.0.2.10:6443", pki.new_ca("shop", builders.NOW).cert_pem)
    first = await tend.bootstrap(kube, "abcd12", "team-a/w1", access, clock)
    assert await tend.bootstrap(kube, "abcd12", "team-a/w1", access, clock) == first
    await clock.advance(timedelta(minutes=9).total_seconds())
    later = await tend.bootstrap(kube, "abcd12", "team-a/w1", access, clock)
    assert later != first
    assert await kube.delete(kinds.SECRET, tokens.secret_name("abcd12"), "kube-system")


# --- draining


async def pod(kube: Kube, namespace: str, name: str, where: str, **meta: Any) -> None:
    await kube.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, **meta},
            "spec": {
                "nodeName": where,
                "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": False,
                "containers": [{"name": "c", "image": "x"}],
            },
        }
    )


async def pods(kube: Kube, namespace: str) -> list[str]:
    return sorted(p["metadata"]["name"] for p in await kube.list(kinds.POD, namespace))


@pytest.fixture
async def place(kube: Kube, namespace: str) -> str:
    """A namespace in which pods can be made."""
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "default", "namespace": namespace},
    }
    await kube.create(account)
    return namespace


def drain(kube: Kube, where: str, told: list[str], **changes: Any) -> Drain:
    clock = changes.pop("clock", SystemClock())
    base = {"alive": lambda: True, "deadline": clock.now() + timedelta(minutes=5)}
    return Drain(kube=kube, clock=clock, node=where, told=told.append, **{**base, **changes})


async def test_a_drain_moves_pods_but_not_those_of_daemonsets(kube: Kube, place: str) -> None:
    await node(kube, "d-1")
    daemon = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "uid": "u"}
    await pod(kube, place, "plain", "d-1")
    await pod(kube, place, "daemon", "d-1", ownerReferences=[{**daemon, "controller": True}])
    await pod(kube, place, "elsewhere", "d-other")
    told: list[str] = []
    await drain(kube, "d-1", told).run()
    assert await pods(kube, place) == ["daemon", "elsewhere"]
    live = await kube.get(kinds.NODE, "d-1")
    assert live
    assert live["spec"]["unschedulable"] is True


async def test_disruption_budgets_are_respected_until_the_drain_takes_too_long(
    kube: Kube, place: str
) -> None:
    await node(kube, "d-2")
    await kube.create(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "all", "namespace": place},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}},
        }
    )
    await pod(kube, place, "guarded", "d-2", labels={"app": "x"})
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    await kube.patch(kinds.POD, "guarded", place, {"status": ready}, subresource="status")
    told: list[str] = []
    work = drain(kube, "d-2", told, deadline=SystemClock().now() + timedelta(seconds=0.5))
    await work.run()
    assert told[0] == f"1 pods are left; disruption budgets protect {place}/guarded"
    assert await pods(kube, place) == []
    assert work.forced


async def test_a_dead_node_is_not_waited_for(
    kube: Kube, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kok.operators.machine.business.drain.DEAD_PATIENCE", 0.5)
    await node(kube, "d-3")
    await pod(kube, place, "stuck", "d-3", finalizers=["example.com/never"])
    await drain(kube, "d-3", [], alive=lambda: False).run()
    assert (await kube.get(kinds.POD, "stuck", place)) is not None


async def test_a_node_that_is_gone_needs_no_draining(kube: Kube) -> None:
    await drain(kube, "never-was", []).run()
