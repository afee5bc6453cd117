"""Connections to business clusters: where they lead, and whom they wake."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from tests.unit.operators.machine.builders import NOW
from tests.unit.workload.fakewatches import FakeWatches

from kok import pki
from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.kube.errors import Barred, Unreachable
from kok.operators.machine.node.cluster_connections import (
    ClusterConnection,
    ClusterConnections,
    connection_spec,
)
from kok.workload.availability import Availability
from kok.workload.identity import Identity


def test_outside_of_pods_the_public_address_is_used_with_the_operators_own_rights() -> None:
    authority = pki.new_ca("shop", NOW)
    ours = Identity(authority.cert_pem, pki.issue(authority, pki.LeafSpec("ours"), NOW))
    public, internal = "https://192.0.2.10:31443", "https://shop-apiserver.team-a.svc:6443"
    outside = connection_spec(ours, public=public, internal=internal, inside=False)
    within = connection_spec(ours, public=public, internal=internal, inside=True)
    assert outside is not None
    assert within is not None
    assert (outside.access.server, within.access.server) == (public, internal)
    assert outside.digest != within.digest
    assert outside.access.key == ours.leaf.key_pem
    assert connection_spec(ours, public=None, internal=internal, inside=False) is None
    assert "PRIVATE KEY" not in repr(within)


async def test_the_public_address_must_not_lead_where_it_is_forbidden() -> None:
    authority = pki.new_ca("shop", NOW)
    ours = Identity(authority.cert_pem, pki.issue(authority, pki.LeafSpec("ours"), NOW))
    public, internal, closed = "https://localhost:1", "https://127.0.0.1:2", ("127.0.0.0/8", "::1")
    clusters = ClusterConnections(5.0)
    for inside, error in ((False, Barred), (True, Unreachable)):
        found = connection_spec(
            ours, public=public, internal=internal, inside=inside, closed=closed
        )
        assert found is not None
        connection = await clusters.connect(("team-a", str(inside)), found)
        with pytest.raises(Unreachable) as raised:
            await connection.kube.raw("GET", "/version")
        assert type(raised.value) is error
    await clusters.close()


class Business(FakeWatches):
    """A business cluster whose Nodes are told of, and that is asked for nothing else."""

    async def raw(self, *_: object, **__: object) -> None:
        """It answers."""


async def test_whether_somebody_let_pods_in_shows_also_where_a_node_looks_as_before() -> None:
    def node(version: int, *, cordoned: bool) -> Manifest:
        meta = {"name": "w1", "uid": "n", "resourceVersion": str(version)}
        return {"metadata": meta, "spec": {"unschedulable": cordoned}}

    cluster = Business()
    availability = Availability(asyncio.get_running_loop().time)
    connection = ClusterConnection("", cast("Kube", cluster), availability)
    closed = []
    try:
        for version, cordoned in enumerate((True, True, False, True)):
            await cluster.tell("Node", ("MODIFIED", node(version, cordoned=cordoned)))
            closed.append(connection.nodes["w1"].closed)
        # Who changes a Node says what came of it, before the watch does.
        connection.saw(node(4, cordoned=True))
        closed.append(connection.nodes["w1"].closed)
        # A watch that went on from a new list has not told of all.
        for version in (4, 5):
            found = node(version, cordoned=True)
            await cluster.tell("Node", ("MODIFIED", found), ("SYNCED", {}))
            closed.append(connection.nodes["w1"].closed)
        await cluster.tell("Node", ("MODIFIED", node(6, cordoned=True)))
        closed.append(connection.nodes["w1"].closed)
    finally:
        await connection.unfollow()
    assert closed == ["0", "0", "", "3", "3", "4", "5", "5"]


async def test_an_answer_that_the_watch_has_overtaken_makes_no_node_older() -> None:
    def node(version: str, uid: str = "n") -> Manifest:
        return {"metadata": {"name": "w1", "uid": uid, "resourceVersion": version}}

    cluster = Business()
    availability = Availability(asyncio.get_running_loop().time)
    connection = ClusterConnection("", cast("Kube", cluster), availability)
    try:
        await cluster.tell("Node", ("MODIFIED", node("10")))
        # Otherwise each change that is made from it is refused, until the Node happens to change again.
        assert connection.saw(node("9")).version == "10"
        assert connection.nodes["w1"].version == "10"
        assert connection.saw(node("11")).version == "11"
        # Another Node of that name, and versions of which it cannot be said.
        assert connection.saw(node("9", uid="other")).version == "9"
        assert connection.saw(node("x", uid="other")).version == "x"
        assert connection.saw(node("8", uid="other")).version == "8"
    finally:
        await connection.unfollow()
