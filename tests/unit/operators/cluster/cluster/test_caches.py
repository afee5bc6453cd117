"""What is known of meta nodes and Machines, and who is woken by them."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from tests.unit.operators.cluster.builders import a_node

from kok.api.meta import Kind, Manifest
from kok.kube.client import Kube
from kok.operators.cluster.cluster.caches import REFRESH, SPARE, MachineAddressCache, MetaNodeCache
from kok.runtime.clock import FakeClock


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
    nodes, clock = MetaNodeCache(), FakeClock()
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
    nodes = MetaNodeCache()
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
    found = await MetaNodeCache().all(cast("Kube", listing), FakeClock())
    assert {n.name: n.usable for n in found} == {"a": True, "b": False, "c": False}


async def test_a_cluster_that_goes_keeps_no_other_from_being_told_of_machines() -> None:
    def one(name: str, address: str) -> Manifest:
        meta = {"name": name, "namespace": "n"}
        return {"metadata": meta, "spec": {"cluster": "b", "address": address}}

    machines, kube = MachineAddressCache(), cast("Kube", Namespace(one("m1", "192.0.2.1")))
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

    machines, kube = MachineAddressCache(), cast("Kube", Namespace(one(0)))
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
