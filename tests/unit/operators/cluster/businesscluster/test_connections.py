"""Clients of business clusters: how long they are kept, and where they may lead."""

from __future__ import annotations

from functools import cache

import pytest
from tests.unit.operators.cluster.builders import NOW, a_cluster

from kok import pki
from kok.kube.errors import Barred
from kok.kube.http.access import Access
from kok.operators.cluster.businesscluster import rbac
from kok.operators.cluster.businesscluster.connections import (
    Connections,
    ConnectionSpec,
    closed_ranges,
    connection_spec,
)
from kok.operators.cluster.businesscluster.reachability import probe
from kok.operators.cluster.settings import ClusterSettings
from kok.workload.identity import Identity

AUTHORITY = pki.new_ca("shop-ca", NOW)


@cache
def identity(user: str = "kok:cluster-operator") -> Identity:
    return Identity(AUTHORITY.cert_pem, pki.issue(AUTHORITY, pki.LeafSpec(user), NOW))


def to(server: str) -> ConnectionSpec:
    return connection_spec(identity(), identity("admin"), server=server, public="https://public")


async def test_a_tenant_is_kept_while_its_access_holds() -> None:
    connections = Connections(limit=2, timeout=1)
    try:
        first = await connections.connect(("n", "a"), to("https://a"))
        assert await connections.connect(("n", "a"), to("https://a")) is first
        other = await connections.connect(("n", "a"), to("https://b"))
        assert other is not first
        assert connections.get(("n", "a")) is other
    finally:
        await connections.close()


async def test_of_too_many_tenants_the_one_that_was_not_used_for_longest_goes() -> None:
    connections = Connections(limit=2, timeout=1)
    try:
        for name in ("a", "b"):
            await connections.connect(("n", name), to("https://a"))
        connections.get(("n", "a"))
        await connections.connect(("n", "c"), to("https://a"))
        assert connections.get(("n", "b")) is None
        assert len(connections) == 2
    finally:
        await connections.close()
    assert len(connections) == 0


def test_no_credentials_show_in_a_representation() -> None:
    assert "PRIVATE KEY" not in repr(to("https://a"))
    assert "PRIVATE KEY" not in repr(identity())


PUBLIC, INTERNAL = "https://localhost:1", "https://127.0.0.1:2"


LOOPBACK = ("127.0.0.0/8", "::1/128")


async def test_only_the_public_address_must_not_lead_where_it_is_forbidden() -> None:
    connections, elsewhere = Connections(9, 5.0), Access(INTERNAL)
    inside = await connections.connect(
        ("ns", "a"), ConnectionSpec(elsewhere, Access(PUBLIC), "a", LOOPBACK)
    )
    outside = await connections.connect(
        ("ns", "b"), ConnectionSpec(Access(PUBLIC), Access(PUBLIC), "b", LOOPBACK)
    )
    try:
        for kube in (inside.admin, outside.admin, outside.kube):
            found = await probe(kube)
            assert found.outcome == "barred"
            assert "which is forbidden by the administrator" in found.message
        assert (await probe(inside.kube)).outcome == "unreachable"
    finally:
        await connections.close()


async def test_nor_are_rights_put_in_place_there() -> None:
    with pytest.raises(Barred):
        await rbac.grant(Access(PUBLIC), field_manager="t", timeout=5.0, closed=LOOPBACK)


def test_only_a_host_that_somebody_chose_is_judged() -> None:
    settings = ClusterSettings(forbidden_ranges=("192.0.2.0/24",))
    assert closed_ranges(settings, a_cluster(endpoint={"host": "api.example"}))
    assert not closed_ranges(settings, a_cluster()), "an address of a meta node"
