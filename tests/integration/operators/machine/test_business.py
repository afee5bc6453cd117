"""Business clusters: nodes, certificate requests, tokens and drains on a real API server."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Any, Self

import pytest
import structlog
from tests.integration.apiserver import ApiServer, free_ports
from tests.integration.conftest import PATIENCE
from tests.integration.operators.machine.conftest import LIMIT
from tests.integration.rights import in_force
from tests.unit.operators.machine import builders
from tests.unit.workload.test_csr import FIRST, request

from kok import pki
from kok.api.machine.machine import HostFacts, Machine
from kok.api.meta import Manifest
from kok.api.names import MACHINE_BOOTSTRAPPERS, operator_group, operator_user
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.http.access import from_kubeconfig
from kok.operators.cluster.businesscluster import rbac
from kok.operators.machine.machine_lists import MachineLists
from kok.operators.machine.node import bootstrap_tokens, labels_and_taints, nodes
from kok.operators.machine.node.certificates import Approver
from kok.operators.machine.node.drain import Drain, DrainTimings
from kok.operators.machine.node.nodes import NodeView
from kok.operators.machine.node.tenants import Tenant, Tenants, Way
from kok.operators.machine.remote.join import ClusterEndpoint
from kok.runtime.clock import FakeClock, SystemClock
from kok.runtime.conditions import Verdict
from kok.runtime.controller.reconciler import Pass
from kok.runtime.settings import Settings
from kok.workload import csr
from kok.workload.csr import PENDING_MOST

KEY = ("team-a", "shop")


def to(kubeconfig: str) -> Way:
    """To the API server of a kubeconfig, as whoever it stands for."""
    digest = hashlib.sha256(kubeconfig.encode()).hexdigest()
    return Way(from_kubeconfig(kubeconfig), digest)


@pytest.fixture
async def tenant(api_server: ApiServer, kube: Kube) -> AsyncIterator[Tenant]:
    """The API server as somebody's business cluster, with no more rights than there."""
    given = rbac.objects()
    for manifest in given:
        await kube.apply(manifest)
    user, group = operator_user("machine"), operator_group("machine")
    await in_force(kube, given, {"kind": "Group", "name": group}, user, group)
    tenants = Tenants(timeout=PATIENCE)
    yield await tenants.connect(KEY, to(api_server.kubeconfig(user, (group,))))
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


async def told(changed: asyncio.Event, check: Callable[[], object]) -> None:
    """Returns once something was told of, and is as asked for."""
    async with asyncio.timeout(LIMIT):
        while True:
            await changed.wait()
            changed.clear()
            if check():
                return


async def seen(
    tenant: Tenant, name: str, check: Callable[[], object], asker: str | None = None
) -> None:
    """Waits until what the watches of a node brought is as asked for."""
    changed = asyncio.Event()
    changed.set()
    tenant.on_node(name, "test", changed.set)
    if asker is not None:
        tenant.on_asker(asker, "test", changed.set)
    await told(changed, check)


async def test_nodes_come_go_and_wake_their_machines(kube: Kube, tenant: Tenant) -> None:
    woken = asyncio.Event()
    tenant.on_node("n-1", "uid", woken.set)
    await asyncio.wait_for(tenant.synced.wait(), LIMIT)
    await node(kube, "n-1")
    await told(woken, lambda: "n-1" in tenant.nodes)
    assert tenant.nodes["n-1"].ready is None
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    await kube.patch(kinds.NODE, "n-1", None, {"status": status}, subresource="status")
    await told(woken, lambda: tenant.nodes["n-1"].ready)
    await kube.delete(kinds.NODE, "n-1")
    await told(woken, lambda: "n-1" not in tenant.nodes)


async def test_an_api_that_was_away_is_known_to_be_back_at_once(api_server: ApiServer) -> None:
    """A watch that goes on says nothing of it until it ends, minutes later."""
    tenants = Tenants(timeout=5.0, silence=0.3)
    async with Network(api_server.port) as between:
        config = api_server.kubeconfig().replace(f":{api_server.port}", f":{between.port}")
        tenant = await tenants.connect(KEY, to(config))
        await asyncio.wait_for(tenant.synced.wait(), LIMIT)
        await between.cut()
        await seen(tenant, "any", lambda: tenant.answers is False)
        assert not tenant.known
        await between.mend()
        await seen(tenant, "any", lambda: tenant.answers)
        assert tenant.known
    await tenants.close()


async def test_who_gives_up_a_request_has_learnt_nothing(tenant: Tenant) -> None:
    await asyncio.wait_for(tenant.synced.wait(), LIMIT)
    asking = asyncio.create_task(tenant.kube.list(kinds.POD))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert tenant.answers is True
    assert tenant.silence == 0.0


async def test_machines_turn_to_the_new_connection_when_the_credentials_change(
    api_server: ApiServer,
) -> None:
    tenants, woken = Tenants(timeout=5.0), asyncio.Event()
    old = await tenants.connect(KEY, to(api_server.kubeconfig()))
    old.on_node("n-9", "uid", woken.set)
    assert await tenants.connect(KEY, to(api_server.kubeconfig("renewed"))) is not old
    assert woken.is_set()
    await tenants.close()


class Network:
    """The network between the operator and an API server."""

    def __init__(self, target: int) -> None:
        (self.port,) = free_ports(1)
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()

    async def mend(self) -> None:
        """Connections can be made."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """All connections end and no more can be made."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        there = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.add(there[1])
        # It may have been cut in the meantime, of which the end of `reader` tells.
        await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))
        self._writers -= {writer, there[1]}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def test_labels_and_taints_reach_the_node(kube: Kube, tenant: Tenant) -> None:
    await node(kube, "n-2", taints=[{"key": "theirs", "effect": "NoExecute"}])
    await seen(tenant, "n-2", lambda: "n-2" in tenant.nodes)
    taint = {"key": "dedicated", "value": "shop", "effect": "NoSchedule"}
    machine = builders.machine(node="n-2", labels={"tier": "gold"}, taints=[taint])
    p = a_pass(kube, machine)
    # This pass has said that they are missing: only another one says that they are there.
    assert await after(p, tenant, tenant.nodes["n-2"]) == 0.0
    live = await kube.get(kinds.NODE, "n-2")
    assert live
    assert live["metadata"]["labels"]["tier"] == "gold"
    assert {t["key"] for t in live["spec"]["taints"]} >= {"theirs", "dedicated"}
    # What was just written is known without waiting for the watch.
    marks = p.status.node_marks
    assert nodes.patch(tenant.nodes["n-2"], machine.spec.labels, machine.spec.taints, marks) is None
    assert await after(p, tenant, tenant.nodes["n-2"]) is None
    # What was set and is no longer wanted goes, and nothing else.
    bare = a_pass(kube, builders.machine(node="n-2", status={"nodeMarks": marks.manifest()}))
    assert await after(bare, tenant, tenant.nodes["n-2"]) == 0.0
    assert bare.status.node_marks is None
    assert "tier" not in tenant.nodes["n-2"].labels
    assert "theirs" in {key for key, _, _ in tenant.nodes["n-2"].taints}
    assert "dedicated" not in {key for key, _, _ in tenant.nodes["n-2"].taints}


async def test_an_old_picture_of_a_node_overwrites_nothing(kube: Kube, tenant: Tenant) -> None:
    await node(kube, "n-3")
    await seen(tenant, "n-3", lambda: "n-3" in tenant.nodes)
    old = tenant.nodes["n-3"]
    await kube.patch(
        kinds.NODE, "n-3", None, {"spec": {"taints": [{"key": "new", "effect": "NoSchedule"}]}}
    )
    machine = builders.machine(node="n-3", taints=[{"key": "mine", "effect": "NoSchedule"}])
    assert await after(a_pass(kube, machine), tenant, old) == labels_and_taints.CONFLICT_AGAIN
    live = await kube.get(kinds.NODE, "n-3")
    assert live
    assert "new" in {t["key"] for t in live["spec"]["taints"]}


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
    api_server: ApiServer, kube: Kube, tenant: Tenant, kok_crds: None
) -> None:
    await _allow_nodes(kube)
    user = "system:node:w1"
    await _csr(api_server, "csr-good", user)
    await _csr(api_server, "csr-bad", user, addresses=("203.0.113.9",))
    await seen(tenant, "w1", lambda: len(tenant.pending(user)) == 2)
    machine = builders.machine(address="192.0.2.21")
    p = a_pass(kube, machine)
    p.status.facts = HostFacts(hostname="worker-1", addresses=["192.0.2.21"])
    said = await approve(p, tenant)
    assert await _decision(kube, "csr-good") == ["Approved"]
    assert await _decision(kube, "csr-bad") == []
    (event,) = p.events
    assert event.reason == "CertificateRefused"
    assert "csr-bad of Node w1 is not approved: it names 203.0.113.9" in event.note
    assert said is not None
    assert said.holds is False
    # A decided request is no longer pending, also before the watch tells.
    assert [r.name for r in tenant.pending(user)] == ["csr-bad"]
    # Nor is more said of it within a minute, however many more there are.
    await approve(p, tenant)
    assert len(p.events) == 1


async def test_a_token_is_good_for_its_own_machines_certificate_alone(
    api_server: ApiServer, kube: Kube, tenant: Tenant, kok_crds: None
) -> None:
    await _allow_nodes(kube)
    user = csr.by_token("abc123")
    bearer = {**FIRST, "group": MACHINE_BOOTSTRAPPERS, "common_name": "system:node:w8"}
    await _csr(api_server, "csr-first", user, **bearer)
    await _csr(api_server, "csr-stolen", user, **{**bearer, "common_name": "system:node:w9"})
    p = a_pass(kube, builders.machine(node="w8", status={"tokenId": "abc123"}))
    await seen(tenant, "w8", lambda: len(tenant.pending(user)) == 2, asker=user)
    await approve(p, tenant)
    assert await _decision(kube, "csr-first") == ["Approved"]
    assert await _decision(kube, "csr-stolen") == []
    assert "csr-stolen of Node w8 is not approved: its subject is" in p.events[0].note


async def test_an_address_of_another_machine_is_not_certified_whatever_the_host_says(
    api_server: ApiServer, kube: Kube, namespace: str, tenant: Tenant, kok_crds: None
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
    await seen(tenant, "w5", lambda: len(tenant.pending(user)) == 2)
    here = {"name": "thief", "namespace": namespace}
    p = a_pass(kube, builders.machine(node="w5", address="thief.example", metadata=here))
    p.status.facts = HostFacts(addresses=["192.0.2.25", "192.0.2.21"])
    await approve(p, tenant)
    # Nobody knows yet where the name of the host leads.
    assert await _decision(kube, "csr-own") == []
    await approve(p, tenant, reached="192.0.2.25")
    assert await _decision(kube, "csr-claimed") == []
    assert await _decision(kube, "csr-own") == ["Approved"]
    assert "it names 192.0.2.21, which is an address of Machine victim" in p.events[0].note


async def test_a_kubelet_that_asks_without_end_is_remembered_in_part(
    api_server: ApiServer, kube: Kube, tenant: Tenant
) -> None:
    await _allow_nodes(kube)
    user = "system:node:w6"
    for number in range(PENDING_MOST + 4):
        await _csr(api_server, f"csr-flood-{number}", user, asker=user)
    last = f"csr-flood-{PENDING_MOST + 3}"
    await seen(tenant, "w6", lambda: last in {r.name for r in tenant.pending(user)})
    assert len(tenant.pending(user)) == PENDING_MOST


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
    )
    await seen(tenant, "w7", lambda: tenant.pending("system:node:w7"))
    await approve(a_pass(kube, builders.machine(node="w7")), tenant)
    assert await _decision(kube, "csr-early") == []


async def after(p: Pass[Machine], tenant: Tenant, found: NodeView) -> float | None:
    """Seconds until the next pass, once labels and taints of the Node were seen to."""
    return (await labels_and_taints.apply(p, tenant, found)).after


async def approve(p: Pass[Machine], tenant: Tenant, reached: str = "") -> Verdict | None:
    """What the condition says of the requests."""
    approver = Approver(MachineLists(p.clock.monotonic), p.clock.monotonic)
    return (await approver.approve(p, tenant, builders.cluster(), reached)).verdict


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


async def test_a_token_is_made_once_and_anew_when_it_is_spent(kube: Kube) -> None:
    clock = FakeClock(builders.NOW)
    access = ClusterEndpoint("https://192.0.2.10:6443", pki.new_ca("shop", builders.NOW).cert_pem)
    first = await bootstrap_tokens.ensure(kube, "abcd12", "team-a/w1", access, clock)
    assert await bootstrap_tokens.ensure(kube, "abcd12", "team-a/w1", access, clock) == first
    await clock.advance(timedelta(minutes=9).total_seconds())
    later = await bootstrap_tokens.ensure(kube, "abcd12", "team-a/w1", access, clock)
    assert later != first
    assert await kube.delete(kinds.SECRET, bootstrap_tokens.secret_name("abcd12"), "kube-system")


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


class Leaping(SystemClock):
    """The machine's clock, and an hour later once that is wanted."""

    def __init__(self, wanted: Callable[[], bool]) -> None:
        self._wanted = wanted

    def now(self) -> datetime:
        return super().now() + timedelta(hours=self._wanted())


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
    said: list[str] = []
    clock = Leaping(lambda: bool(said))
    work = drain(kube, "d-2", said, clock=clock)
    await work.run()
    assert said[0] == f"1 pods are left; disruption budgets protect {place}/guarded"
    assert await pods(kube, place) == []
    assert work.forced


async def test_a_dead_node_is_not_waited_for(kube: Kube, place: str) -> None:
    impatient = DrainTimings(dead=0.5)
    await node(kube, "d-3")
    await pod(kube, place, "stuck", "d-3", finalizers=["example.com/never"])
    await drain(kube, "d-3", [], alive=lambda: False, timings=impatient).run()
    assert (await kube.get(kinds.POD, "stuck", place)) is not None


async def test_a_node_that_is_gone_needs_no_draining(kube: Kube) -> None:
    await drain(kube, "never-was", []).run()
