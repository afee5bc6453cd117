"""What is followed in a business cluster, and who is woken by it."""

from __future__ import annotations

import asyncio
import tracemalloc
from dataclasses import replace
from typing import cast

import pytest
from aiohttp import web
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.cluster.builders import a_node
from tests.unit.workload.csrs import csr
from tests.unit.workload.fakewatches import FakeWatches

from kok.kube.budget.limits import TENANT
from kok.kube.client import Kube
from kok.operators.cluster.businesscluster import rbac
from kok.operators.cluster.businesscluster.watches import Watches


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
        watches = Watches(kube, lambda: told.set() if kube.excess is not None else None)
        try:
            async with asyncio.timeout(60):
                await told.wait()
        finally:
            await watches.close()
            await api.close()


async def test_nodes_of_a_business_cluster_are_counted_by_watching() -> None:
    stream, woken = FakeWatches(), []
    watches = Watches(cast("Kube", stream), lambda: woken.append(1))
    try:
        await stream.tell("Node", ("ADDED", a_node("w1")))
        assert watches.nodes is None  # Not all are known before the first SYNCED.
        await stream.tell("Node", ("ADDED", a_node("w2", ready=False)), ("SYNCED", {}))
        assert watches.nodes == {"w1": True, "w2": False}
        before = len(woken)
        await stream.tell("Node", ("MODIFIED", a_node("w1")))
        assert len(woken) == before  # A heartbeat.
        await stream.tell("Node", ("MODIFIED", a_node("w2")))
        assert watches.nodes == {"w1": True, "w2": True}
        assert len(woken) == before + 1
        await stream.tell("Node", ("DELETED", a_node("w1")))
        assert watches.nodes == {"w2": True}
    finally:
        await watches.close()


async def test_addresses_that_are_too_many_to_keep_are_told_as_long_as_they_are() -> None:
    stream = FakeWatches()
    watches = Watches(cast("Kube", stream), lambda: None, addresses_most=1000)
    try:
        many = [a_node(name, *(f"{'x' * 200}{n}" for n in range(3))) for name in ("w1", "w2")]
        await stream.tell("Node", *(("ADDED", node) for node in many), ("SYNCED", {}))
        assert watches.addresses["w2"] == ()
        assert "the addresses of all nodes" in str(watches.excess)
        await stream.tell("Node", ("DELETED", many[0]), ("MODIFIED", many[1]))
        assert len(watches.addresses["w2"]) == 3
        assert watches.excess is None
    finally:
        await watches.close()


async def test_a_node_that_went_during_a_gap_is_forgotten() -> None:
    stream = FakeWatches()
    watches = Watches(cast("Kube", stream), lambda: None)
    try:
        await stream.tell("Node", ("ADDED", a_node("w1")), ("ADDED", a_node("w2")), ("SYNCED", {}))
        await stream.tell("Node", ("MODIFIED", a_node("w1")))
        gone = {"metadata": {"name": "w1"}}
        await stream.tell("Node", ("ADDED", a_node("w2")), ("DELETED", gone), ("SYNCED", {}))
        assert watches.nodes == {"w2": True}
    finally:
        await watches.close()


async def test_requests_for_certificates_are_followed_and_wake_the_cluster() -> None:
    stream, woken = FakeWatches(), []
    watches = Watches(
        cast("Kube", stream),
        lambda: None,
        on_requests=lambda: woken.append(1),
    )
    asked = csr("w7", hosts=["w7"])
    try:
        await stream.tell("CertificateSigningRequest", ("ADDED", asked))
        assert watches.requests is None  # Not all are known before the first SYNCED.
        await stream.tell("CertificateSigningRequest", ("SYNCED", {}))
        assert watches.requests is not None
        assert watches.requests.nodes() == {"w7"}
        before = len(woken)
        approved = {**asked, "status": {"conditions": [{"type": "Approved"}]}}
        await stream.tell("CertificateSigningRequest", ("MODIFIED", approved))
        assert watches.requests.nodes() == set()
        assert len(woken) == before + 1
        await stream.tell("CertificateSigningRequest", ("DELETED", approved))
        assert len(woken) == before + 1  # Nobody waited for it.
    finally:
        await watches.close()


async def test_new_addresses_of_a_node_wake_the_cluster() -> None:
    """A kubelet asks for its certificate before its Node tells the addresses in it."""
    stream, woken = FakeWatches(), []
    watches = Watches(cast("Kube", stream), lambda: woken.append(1))
    try:
        await stream.tell("Node", ("ADDED", a_node("w7")), ("SYNCED", {}))
        before = len(woken)
        await stream.tell("Node", ("MODIFIED", a_node("w7", "192.0.2.77")))
        assert watches.addresses == {"w7": ("192.0.2.77",)}
        assert len(woken) == before + 1
        await stream.tell("Node", ("DELETED", a_node("w7")))
        assert watches.addresses == {}
    finally:
        await watches.close()


async def test_bindings_of_others_take_no_memory_and_wake_nobody() -> None:
    stream, woken = FakeWatches(), []
    watches = Watches(cast("Kube", stream), lambda: None, lambda: woken.append(1))
    ours = [("ADDED", m) for m in rbac.objects() if m["kind"] == "ClusterRoleBinding"]
    try:
        await stream.tell("ClusterRoleBinding", *ours, ("SYNCED", {}))
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        for number in range(2000):
            unmanaged = {"metadata": {"name": f"{number:0500}"}}
            await stream.tell("ClusterRoleBinding", ("DELETED", unmanaged))
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        await watches.close()
    assert woken == []
    assert after - before < 200_000, "the names alone take a megabyte"


@pytest.mark.parametrize("wrong", ["deleted", "narrowed", "gone unseen"])
async def test_rights_that_somebody_took_wake_the_cluster(wrong: str) -> None:
    stream, woken = FakeWatches(), []
    watches = Watches(cast("Kube", stream), lambda: None, lambda: woken.append(1))
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
        await watches.close()
