"""Which certificates kubelets get, with a real API server."""

from __future__ import annotations

from typing import Any

from tests.integration.apiserver import ApiServer
from tests.integration.operators.machine.business import a_pass, seen
from tests.integration.rights import in_force
from tests.unit.operators.machine import builders
from tests.unit.workload.test_csr import FIRST, request

from kok import pki
from kok.api.machine.machine import HostFacts, Machine
from kok.api.names import MACHINE_BOOTSTRAPPERS
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.http.access import from_kubeconfig
from kok.operators.machine.machine_lists import MachineLists
from kok.operators.machine.node.certificates import Approver
from kok.operators.machine.node.cluster_connections import ClusterConnection
from kok.runtime.conditions import Verdict
from kok.runtime.controller.reconciler import Pass
from kok.workload import csr
from kok.workload.csr import PENDING_MOST


async def _csr(
    api_server: ApiServer, name: str, user: str, group: str = "system:nodes", **changes: Any
) -> None:
    """A request as a kubelet makes it, authenticated as that user."""
    asked = request(**changes)
    spec = {
        "request": pki.encode({"x": asked.pem})["x"],
        "signerName": asked.signer,
        "usages": sorted(asked.usages),
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
            headers={"Impersonate-User": user, "Impersonate-Group": group},
        )


async def test_only_the_machines_own_requests_are_approved(
    api_server: ApiServer, kube: Kube, connection: ClusterConnection, kok_crds: None
) -> None:
    await _allow_nodes(kube)
    user = "system:node:w1"
    await _csr(api_server, "csr-good", user)
    await _csr(api_server, "csr-bad", user, addresses=("203.0.113.9",))
    await seen(connection, "w1", lambda: len(connection.pending(user)) == 2)
    machine = builders.machine(address="192.0.2.21")
    p = a_pass(kube, machine)
    p.status.facts = HostFacts(hostname="worker-1", addresses=["192.0.2.21"])
    said = await approve(p, connection)
    assert await _decision(kube, "csr-good") == ["Approved"]
    assert await _decision(kube, "csr-bad") == []
    (event,) = p.events
    assert event.reason == "CertificateRefused"
    assert "csr-bad of Node w1 is not approved: it names 203.0.113.9" in event.note
    assert said is not None
    assert said.holds is False
    # A decided request is no longer pending, also before the watch tells.
    assert [r.name for r in connection.pending(user)] == ["csr-bad"]
    # Nor is more said of it within a minute, however many more there are.
    await approve(p, connection)
    assert len(p.events) == 1


async def test_a_token_is_good_for_its_own_machines_certificate_alone(
    api_server: ApiServer, kube: Kube, connection: ClusterConnection, kok_crds: None
) -> None:
    await _allow_nodes(kube)
    user = csr.by_token("abc123")
    bearer = {**FIRST, "group": MACHINE_BOOTSTRAPPERS, "common_name": "system:node:w8"}
    await _csr(api_server, "csr-first", user, **bearer)
    await _csr(api_server, "csr-stolen", user, **{**bearer, "common_name": "system:node:w9"})
    p = a_pass(kube, builders.machine(node="w8", status={"tokenId": "abc123"}))
    await seen(connection, "w8", lambda: len(connection.pending(user)) == 2, asker=user)
    await approve(p, connection)
    assert await _decision(kube, "csr-first") == ["Approved"]
    assert await _decision(kube, "csr-stolen") == []
    assert "csr-stolen of Node w8 is not approved: its subject is" in p.events[0].note


async def test_an_address_of_another_machine_is_not_certified_whatever_the_host_says(
    api_server: ApiServer, kube: Kube, namespace: str, connection: ClusterConnection, kok_crds: None
) -> None:
    await _allow_nodes(kube)
    user, mine = "system:node:w5", {"common_name": "system:node:w5", "names": ("w5",)}
    victim = {
        "apiVersion": Machine.info.kind.api_version,
        "kind": Machine.info.kind.kind,
        "metadata": {"name": "victim", "namespace": namespace},
        "spec": builders.machine().spec.manifest(),
    }
    await kube.create(victim)
    await _csr(api_server, "csr-claimed", user, **mine, addresses=("192.0.2.21",))
    await _csr(api_server, "csr-own", user, **mine, addresses=("192.0.2.25",))
    await seen(connection, "w5", lambda: len(connection.pending(user)) == 2)
    here = {"name": "thief", "namespace": namespace}
    p = a_pass(kube, builders.machine(node="w5", address="thief.example", metadata=here))
    p.status.facts = HostFacts(addresses=["192.0.2.25", "192.0.2.21"])
    await approve(p, connection)
    # Nobody knows yet where the name of the host leads.
    assert await _decision(kube, "csr-own") == []
    await approve(p, connection, reached="192.0.2.25")
    assert await _decision(kube, "csr-claimed") == []
    assert await _decision(kube, "csr-own") == ["Approved"]
    assert "it names 192.0.2.21, which is an address of Machine victim" in p.events[0].note


async def test_a_kubelet_that_asks_without_end_is_remembered_in_part(
    api_server: ApiServer, kube: Kube, connection: ClusterConnection
) -> None:
    await _allow_nodes(kube)
    user = "system:node:w6"
    for number in range(PENDING_MOST + 4):
        await _csr(api_server, f"csr-flood-{number}", user, asker=user)
    last = f"csr-flood-{PENDING_MOST + 3}"
    await seen(connection, "w6", lambda: last in {r.name for r in connection.pending(user)})
    assert len(connection.pending(user)) == PENDING_MOST


async def test_nothing_is_approved_before_the_host_was_seen(
    api_server: ApiServer, kube: Kube, connection: ClusterConnection
) -> None:
    await _allow_nodes(kube)
    await _csr(
        api_server,
        "csr-early",
        "system:node:w7",
        common_name="system:node:w7",
        names=("w7",),
    )
    await seen(connection, "w7", lambda: connection.pending("system:node:w7"))
    await approve(a_pass(kube, builders.machine(node="w7")), connection)
    assert await _decision(kube, "csr-early") == []


async def approve(
    p: Pass[Machine], connection: ClusterConnection, reached: str = ""
) -> Verdict | None:
    """What the condition says of the requests."""
    approver = Approver(MachineLists(p.clock.monotonic), p.clock.monotonic)
    return (await approver.approve(p, connection, builders.cluster(), reached)).verdict


async def _allow_nodes(kube: Kube) -> None:
    """What the cluster operator sets up in a business cluster: kubelets may ask."""
    api, name = "rbac.authorization.k8s.io", "test-nodes"
    rule = {
        "apiGroups": ["certificates.k8s.io"],
        "resources": ["certificatesigningrequests"],
        "verbs": ["create"],
    }
    role = {
        "apiVersion": f"{api}/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": [rule],
    }
    subjects = [
        {"apiGroup": api, "kind": "Group", "name": group}
        for group in ("system:nodes", MACHINE_BOOTSTRAPPERS)
    ]
    binding = {
        "apiVersion": f"{api}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": api, "kind": "ClusterRole", "name": name},
        "subjects": subjects,
    }
    for manifest in (role, binding):
        await kube.apply(manifest)
    for subject in subjects:
        await in_force(kube, [role, binding], subject, "somebody", subject["name"])


async def _decision(kube: Kube, name: str) -> list[str]:
    live = await kube.get(kinds.CSR, name)
    assert live
    return [c["type"] for c in (live.get("status") or {}).get("conditions") or ()]
