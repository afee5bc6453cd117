"""What is known of the world outside: meta nodes, business clusters, who is to be woken."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import cache
from typing import Any, cast

import pytest
from aiohttp import web
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.cluster.builders import NOW, a_cluster
from tests.unit.workload.csrs import csr

from kok import pki
from kok.api.meta import Kind, Manifest
from kok.kube.budget.limits import TENANT
from kok.kube.client import Kube
from kok.kube.errors import Barred
from kok.kube.http.access import Access
from kok.kube.watch import WatchEvent
from kok.operators.cluster.cluster.shared.machines import SPARE, Machines
from kok.operators.cluster.cluster.shared.metanodes import REFRESH, MetaNodes
from kok.operators.cluster.inside import rbac
from kok.operators.cluster.inside.connect import closed_ranges
from kok.operators.cluster.inside.reachability import ask, resolve
from kok.operators.cluster.inside.tenants import Tenants, Way, way
from kok.operators.cluster.inside.watches import Watching
from kok.operators.cluster.settings import ClusterSettings
from kok.operators.cluster.wakeups import Links
from kok.runtime.clock import FakeClock, settle
from kok.workload.identity import Identity


def a_node(name: str, *addresses: str, ready: bool = True, cordoned: bool = False) -> Manifest:
    return {
        "kind": "Node",
        "metadata": {"name": name},
        "spec": {"unschedulable": cordoned},
        "status": {
            "addresses": [{"type": "InternalIP", "address": a} for a in addresses],
            "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }


class Listing:
    """Stands for an API server that can only list, and counts how often."""

    def __init__(self, *found: Manifest) -> None:
        self.found = list(found)
        self.asked = 0

    async def list(
        self, _kind: Kind, keep: Callable[[Manifest], Manifest] = lambda one: one
    ) -> list[Manifest]:
        """All of it."""
        self.asked += 1
        return list(map(keep, self.found))


async def test_meta_nodes_are_listed_once_and_then_followed() -> None:
    nodes, clock = MetaNodes(), FakeClock()
    listing = Listing(a_node("b", "192.0.2.2"), a_node("a", "192.0.2.1"), a_node("bare"))
    kube = cast("Kube", listing)
    # One without an address has pods all the same.
    assert [n.name for n in await nodes.all(kube, clock)] == ["a", "b", "bare"]
    assert nodes.changed(a_node("c", "192.0.2.3")) == [("", "*")]
    assert [n.name for n in await nodes.all(kube, clock)] == ["a", "b", "bare", "c"]
    assert listing.asked == 1
    listing.found.pop(0)
    await clock.advance(REFRESH + 1)
    assert [n.name for n in await nodes.all(kube, clock)] == ["a", "bare"]


async def test_heartbeats_of_meta_nodes_wake_nobody() -> None:
    nodes = MetaNodes()
    assert list(nodes.changed(a_node("a", "192.0.2.1"))) == []  # Nobody has asked yet.
    await nodes.all(cast("Kube", Listing(a_node("a", "192.0.2.1"))), FakeClock())
    assert list(nodes.changed(a_node("a", "192.0.2.1"))) == []
    assert list(nodes.changed(a_node("a", "192.0.2.1", ready=False))) == []
    assert list(nodes.changed(a_node("a", "192.0.2.9"))) == [("", "*")]


async def test_nodes_that_are_cordoned_or_not_ready_are_no_good_for_new_kubeconfigs() -> None:
    listing = Listing(
        a_node("a", "192.0.2.1"),
        a_node("b", "192.0.2.2", ready=False),
        a_node("c", "192.0.2.3", cordoned=True),
    )
    found = await MetaNodes().all(cast("Kube", listing), FakeClock())
    assert {n.name: n.usable for n in found} == {"a": True, "b": False, "c": False}


class Stream:
    """Stands for an API server whose watches say what a test puts in."""

    server = "https://192.0.2.10:6443"

    def __init__(self) -> None:
        self.queues: dict[str, asyncio.Queue[WatchEvent]] = {}

    async def watch(self, kind: Kind, labels: str | None = None) -> AsyncIterator[WatchEvent]:
        """Endless."""
        del labels
        queue = self.queues.setdefault(kind.kind, asyncio.Queue())
        while True:
            yield await queue.get()

    async def tell(self, kind: str, *events: tuple[Any, Manifest]) -> None:
        """Something happens."""
        await settle()
        for type_, manifest in events:
            self.queues[kind].put_nowait(WatchEvent(type_, manifest))
        await settle()


async def test_what_is_too_large_to_be_read_is_told_at_once() -> None:
    api = await FakeApi().start()

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            return web.Response(body=b" " * 2000)
        return web.json_response({"metadata": {"resourceVersion": "1"}, "items": []})

    api.script("GET", "", answer)
    limits, told = replace(TENANT, line=1000), asyncio.Event()
    access = api.kubeconfig()
    async with await Kube.from_kubeconfig(access, field_manager="t", limits=limits) as kube:
        watching = Watching(
            kube, lambda: told.set() if kube.excess is not None else None, lambda _addon: None
        )
        try:
            async with asyncio.timeout(60):
                await told.wait()
        finally:
            await watching.close()
            await api.close()


async def test_nodes_of_a_business_cluster_are_counted_by_watching() -> None:
    stream, woken = Stream(), []
    watching = Watching(cast("Kube", stream), lambda: woken.append(1), lambda _addon: None)
    try:
        await stream.tell("Node", ("ADDED", a_node("w1")))
        assert watching.nodes is None  # Not all are known before the first SYNCED.
        await stream.tell("Node", ("ADDED", a_node("w2", ready=False)), ("SYNCED", {}))
        assert watching.nodes == {"w1": True, "w2": False}
        before = len(woken)
        await stream.tell("Node", ("MODIFIED", a_node("w1")))
        assert len(woken) == before  # A heartbeat.
        await stream.tell("Node", ("MODIFIED", a_node("w2")))
        assert watching.nodes == {"w1": True, "w2": True}
        assert len(woken) == before + 1
        await stream.tell("Node", ("DELETED", a_node("w1")))
        assert watching.nodes == {"w2": True}
    finally:
        await watching.close()


async def test_addresses_that_are_too_many_to_keep_are_told_as_long_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kok.operators.cluster.inside.watches.ADDRESSES_MOST", 1000)
    stream = Stream()
    watching = Watching(cast("Kube", stream), lambda: None, lambda _addon: None)
    try:
        many = [a_node(name, *(f"{'x' * 200}{n}" for n in range(3))) for name in ("w1", "w2")]
        await stream.tell("Node", *(("ADDED", node) for node in many), ("SYNCED", {}))
        assert watching.addresses["w2"] == ()
        assert "the addresses of all nodes" in str(watching.excess)
        await stream.tell("Node", ("DELETED", many[0]), ("MODIFIED", many[1]))
        assert len(watching.addresses["w2"]) == 3
        assert watching.excess is None
    finally:
        await watching.close()


async def test_a_node_that_went_during_a_gap_is_forgotten() -> None:
    stream = Stream()
    watching = Watching(cast("Kube", stream), lambda: None, lambda _addon: None)
    try:
        await stream.tell("Node", ("ADDED", a_node("w1")), ("ADDED", a_node("w2")), ("SYNCED", {}))
        await stream.tell("Node", ("MODIFIED", a_node("w1")))
        gone = {"metadata": {"name": "w1"}}
        await stream.tell("Node", ("ADDED", a_node("w2")), ("DELETED", gone), ("SYNCED", {}))
        assert watching.nodes == {"w2": True}
    finally:
        await watching.close()


async def test_requests_for_certificates_are_followed_and_wake_the_cluster() -> None:
    stream, woken = Stream(), []
    watching = Watching(
        cast("Kube", stream),
        lambda: None,
        lambda _addon: None,
        on_requests=lambda: woken.append(1),
    )
    asked = csr("w7", hosts=["w7"])
    try:
        await stream.tell("CertificateSigningRequest", ("ADDED", asked))
        assert watching.requests is None  # Not all are known before the first SYNCED.
        await stream.tell("CertificateSigningRequest", ("SYNCED", {}))
        assert watching.requests is not None
        assert watching.requests.nodes() == {"w7"}
        before = len(woken)
        approved = {**asked, "status": {"conditions": [{"type": "Approved"}]}}
        await stream.tell("CertificateSigningRequest", ("MODIFIED", approved))
        assert watching.requests.nodes() == set()
        assert len(woken) == before + 1
        await stream.tell("CertificateSigningRequest", ("DELETED", approved))
        assert len(woken) == before + 1  # Nobody waited for it.
    finally:
        await watching.close()


async def test_new_addresses_of_a_node_wake_the_cluster() -> None:
    """A kubelet asks for its certificate before its Node tells the addresses in it."""
    stream, woken = Stream(), []
    watching = Watching(cast("Kube", stream), lambda: woken.append(1), lambda _addon: None)
    try:
        await stream.tell("Node", ("ADDED", a_node("w7")), ("SYNCED", {}))
        before = len(woken)
        await stream.tell("Node", ("MODIFIED", a_node("w7", "192.0.2.77")))
        assert watching.addresses == {"w7": ("192.0.2.77",)}
        assert len(woken) == before + 1
        await stream.tell("Node", ("DELETED", a_node("w7")))
        assert watching.addresses == {}
    finally:
        await watching.close()


async def test_an_addons_object_wakes_the_addon() -> None:
    stream, woken = Stream(), []
    watching = Watching(cast("Kube", stream), lambda: None, woken.append)
    try:
        live = {"metadata": {"name": "coredns", "labels": {"kok.dev/addon": "shop-coredns"}}}
        await stream.tell("Deployment", ("MODIFIED", live), ("SYNCED", {}))
        assert woken == ["shop-coredns"]
    finally:
        await watching.close()


AUTHORITY = pki.new_ca("shop-ca", NOW)


@cache
def identity(user: str = "kok:cluster-operator") -> Identity:
    return Identity(AUTHORITY.cert_pem, pki.issue(AUTHORITY, pki.LeafSpec(user), NOW))


def to(server: str) -> Way:
    return way(identity(), identity("admin"), server=server, public="https://public")


async def test_a_tenant_is_kept_while_its_access_holds() -> None:
    tenants = Tenants(limit=2, timeout=1)
    try:
        first = await tenants.connect(("n", "a"), to("https://a"))
        assert await tenants.connect(("n", "a"), to("https://a")) is first
        other = await tenants.connect(("n", "a"), to("https://b"))
        assert other is not first
        assert tenants.get(("n", "a")) is other
    finally:
        await tenants.close()


async def test_of_too_many_tenants_the_one_that_was_not_used_for_longest_goes() -> None:
    tenants = Tenants(limit=2, timeout=1)
    try:
        for name in ("a", "b"):
            await tenants.connect(("n", name), to("https://a"))
        tenants.get(("n", "a"))
        await tenants.connect(("n", "c"), to("https://a"))
        assert tenants.get(("n", "b")) is None
        assert len(tenants) == 2
    finally:
        await tenants.close()
    assert len(tenants) == 0


def test_no_credentials_show_in_a_representation() -> None:
    assert "PRIVATE KEY" not in repr(to("https://a"))
    assert "PRIVATE KEY" not in repr(identity())


async def test_bindings_of_others_take_no_memory_and_wake_nobody() -> None:
    stream, woken = Stream(), []
    watching = Watching(
        cast("Kube", stream), lambda: None, lambda _addon: None, lambda: woken.append(1)
    )
    ours = [("ADDED", m) for m in rbac.objects() if m["kind"] == "ClusterRoleBinding"]
    try:
        await stream.tell("ClusterRoleBinding", *ours, ("SYNCED", {}))
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        for number in range(2000):
            foreign = {"metadata": {"name": f"{number:0500}"}}
            await stream.tell("ClusterRoleBinding", ("DELETED", foreign))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        await watching.close()
    assert woken == []
    assert after - before < 200_000, "the names alone take a megabyte"


@pytest.mark.parametrize("wrong", ["deleted", "narrowed", "gone unseen"])
async def test_rights_that_somebody_took_wake_the_cluster(wrong: str) -> None:
    stream, woken = Stream(), []
    watching = Watching(
        cast("Kube", stream), lambda: None, lambda _addon: None, lambda: woken.append(1)
    )
    ours = [m for m in rbac.objects() if m["kind"] == "ClusterRoleBinding"]
    first = {**ours[0], "subjects": []} if wrong == "narrowed" else ours[0]
    told = [("ADDED", m) for m in ours]
    try:
        await stream.tell("ClusterRoleBinding", *told, ("SYNCED", {}))
        assert woken == []
        if wrong == "gone unseen":
            await stream.tell("ClusterRoleBinding", told[1], ("SYNCED", {}))
        else:
            what = "DELETED" if wrong == "deleted" else "MODIFIED"
            await stream.tell("ClusterRoleBinding", (what, first))
        assert woken == [1]
    finally:
        await watching.close()


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "ok"),
        (404, "ok"),
        (403, "forbidden"),
        (401, "unauthorized"),
        (500, "unreachable"),
        (503, "unreachable"),
    ],
)
async def test_how_an_api_answers(status: int, outcome: str) -> None:
    api = await FakeApi().start()

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({"kind": "Status", "message": "why"}, status=status)

    api.script("GET", "/api/v1/namespaces/kube-system", answer)
    try:
        async with await Kube.from_kubeconfig(api.kubeconfig(), field_manager="t") as admin:
            found = await ask(admin)
            assert found.outcome == outcome
            assert found.answers is (outcome in {"ok", "forbidden"})
    finally:
        await api.close()


@pytest.mark.parametrize(("failures", "outcome"), [(1, "ok"), (2, "ok"), (3, "unreachable")])
async def test_one_lost_request_is_no_outage(failures: int, outcome: str) -> None:
    api = await FakeApi().start()
    answers = iter([500] * failures + [200] * 5)

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response({}, status=next(answers))

    api.script("GET", "/api/v1/namespaces/kube-system", answer)
    try:
        async with await Kube.from_kubeconfig(api.kubeconfig(), field_manager="t") as admin:
            assert (await ask(admin, tries=3)).outcome == outcome
    finally:
        await api.close()


async def test_an_api_that_is_not_there_is_unreachable() -> None:
    async with Kube(Access("http://127.0.0.1:1"), field_manager="t") as admin:
        found = await ask(admin)
    assert found.outcome == "unreachable"
    assert "http://127.0.0.1:1" in found.message


PUBLIC, INTERNAL = "https://localhost:1", "https://127.0.0.1:2"
LOOPBACK = ("127.0.0.0/8", "::1/128")


async def test_only_the_public_address_must_not_lead_where_it_is_forbidden() -> None:
    tenants, elsewhere = Tenants(9, 5.0), Access(INTERNAL)
    inside = await tenants.connect(("ns", "a"), Way(elsewhere, Access(PUBLIC), "a", LOOPBACK))
    outside = await tenants.connect(("ns", "b"), Way(Access(PUBLIC), Access(PUBLIC), "b", LOOPBACK))
    try:
        for kube in (inside.admin, outside.admin, outside.kube):
            found = await ask(kube)
            assert found.outcome == "barred"
            assert "which is forbidden by the administrator" in found.message
        assert (await ask(inside.kube)).outcome == "unreachable"
    finally:
        await tenants.close()


async def test_nor_are_rights_put_in_place_there() -> None:
    with pytest.raises(Barred):
        await rbac.grant(Access(PUBLIC), field_manager="t", timeout=5.0, closed=LOOPBACK)


def test_only_a_host_that_somebody_chose_is_judged() -> None:
    settings = ClusterSettings(forbidden_ranges=("192.0.2.0/24",))
    assert closed_ranges(settings, a_cluster(endpoint={"host": "api.example"}))
    assert not closed_ranges(settings, a_cluster()), "an address of a meta node"


async def test_hosts_are_resolved_and_addresses_are_what_they_are() -> None:
    assert await resolve("192.0.2.7") == ("192.0.2.7",)
    assert "127.0.0.1" in await resolve("localhost")
    assert await resolve("no-such-host.invalid") == ()
    assert await resolve("x" * 70 + ".invalid") == ()


def test_of_an_addon_only_what_it_says_now_is_remembered() -> None:
    links, app = Links(), {"metadata": {"namespace": "n", "name": "app"}}
    links.register("n", "app", "shop", [], lambda: None)
    links.register("n", "other", "shop", ["app"], lambda: None)
    for i in range(100):
        links.register("n", "app", f"shop-{i}", [f"{i}-{j}" for j in range(16)], lambda: None)
    held = (links._said, links._addons, links._dependents)
    assert [len(one) for one in held] == [2, 2, 17]
    links.forget(("n", "app"))
    links.forget(("n", "app"))
    assert [len(one) for one in held] == [1, 1, 1]
    assert list(links.of_addon(app)) == [("n", "other")], "there may be another of that name"
    links.forget(("n", "other"))
    assert [len(one) for one in held] == [0, 0, 0]


def test_addons_are_woken_by_what_they_hang_on() -> None:
    links, woken = Links(), []
    links.register("n", "dns", "shop", [], lambda: woken.append("dns"))
    links.register("n", "app", "shop", ["dns"], lambda: woken.append("app"))
    links.register("m", "dns", "shop", [], lambda: woken.append("other"))
    links.wake_addons(("n", "shop"))
    assert woken == ["dns", "app"]
    links.wake_addon(("n", "shop"), "app")
    assert woken[2:] == ["app"]
    cluster = {"metadata": {"namespace": "n", "name": "shop"}}
    assert set(links.of_cluster(cluster)) == {("n", "dns"), ("n", "app")}
    dns = {"metadata": {"namespace": "n", "name": "dns"}}
    assert list(links.of_addon(dns)) == [("n", "app")]
    links.forget(("n", "app"))
    links.wake_addons(("n", "shop"))
    assert woken[3:] == ["dns"]


async def test_a_cluster_that_goes_keeps_no_other_from_being_told_of_machines() -> None:
    def one(name: str, address: str) -> Manifest:
        meta = {"name": name, "namespace": "n"}
        return {"metadata": meta, "spec": {"cluster": "b", "address": address}}

    machines, kube = Machines(), cast("Kube", Namespace(one("m1", "192.0.2.1")))
    clock = FakeClock()
    for cluster in ("a", "b"):
        await machines.of(kube, ("n", cluster), clock)
    machines.forget(("n", "a"))
    assert machines.changed(one("m2", "192.0.2.2")) == [("n", "b")]
    machines.forget(("n", "b"))
    assert machines.changed(one("m3", "192.0.2.3")) == []


async def test_machines_that_come_and_go_are_not_remembered_without_end() -> None:
    def one(number: int) -> Manifest:
        meta = {"name": f"m{number}", "namespace": "n"}
        return {"metadata": meta, "spec": {"cluster": "b", "address": "192.0.2.1"}}

    machines, kube = Machines(), cast("Kube", Namespace(one(0)))
    clock = FakeClock()
    await machines.of(kube, ("n", "a"), clock)
    woken = [list(machines.changed(one(number))) for number in range(1, SPARE + 4)]
    assert woken[0] == [("n", "b")]
    assert woken[-2:] == [[("n", "a")], []], "all who asked are to ask again"
    assert not machines._known
    assert await machines.of(kube, ("n", "b"), clock) == ("192.0.2.1",)


class Namespace:
    """A namespace whose Machines can be listed."""

    def __init__(self, *found: Manifest) -> None:
        self.found = found

    async def list(
        self, _kind: Kind, _namespace: str, *, keep: Callable[[Manifest], Manifest], **_: object
    ) -> list[Manifest]:
        """All of them."""
        return list(map(keep, self.found))
