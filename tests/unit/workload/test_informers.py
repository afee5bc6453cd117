"""Nodes and requests of a business cluster are followed, and what is kept of them has a limit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any, Self, cast

import pytest
from tests.unit.workload.csrs import csr
from tests.unit.workload.fakewatches import FakeWatches

from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.workload.csr import Request
from kok.workload.informers import NodeInformer, RequestInformer

NODE, REQUEST = "Node", "CertificateSigningRequest"


@dataclass(frozen=True)
class Words:
    """What a Node says, as something to be remembered of it."""

    name: str
    words: str

    @property
    def size(self) -> int:
        return len(self.words)

    def bare(self) -> Self:
        return replace(self, words="")


def words_of(node: Manifest) -> Words:
    return Words(node["metadata"]["name"], node["words"])


def node(name: str, words: str = "") -> Manifest:
    return {"metadata": {"name": name}, "words": words}


GONE = {"metadata": {"name": "w1"}}
"""A Node that is gone, as a watch tells of it after a gap."""


class Followed:
    """A business cluster, what is known of its Nodes, and who was told what."""

    def __init__(self) -> None:
        self.watches = FakeWatches()
        self.told: list[tuple[str, Words | None, Words | None]] = []
        self.synced = 0
        self.informer = NodeInformer(
            cast("Kube", self.watches),
            words_of,
            limit=10,
            on_change=lambda *change: self.told.append(change),
            on_synced=self._sync,
        )

    def _sync(self) -> None:
        self.synced += 1

    async def tell(self, *events: tuple[Any, Manifest]) -> None:
        await self.watches.tell(NODE, *events)

    @property
    def words(self) -> dict[str, str]:
        return {name: record.words for name, record in self.informer.nodes.items()}


@pytest.fixture
async def cluster() -> AsyncIterator[Followed]:
    followed = Followed()
    yield followed
    await followed.informer.close()


async def test_nodes_are_known_as_they_are_and_each_change_is_told(cluster: Followed) -> None:
    await cluster.tell(("ADDED", node("w1", "a")))
    assert not cluster.informer.synced.is_set()
    await cluster.tell(("SYNCED", {}), ("MODIFIED", node("w1", "b")))
    assert (cluster.informer.synced.is_set(), cluster.synced) == (True, 1)
    assert cluster.words == {"w1": "b"}
    await cluster.tell(("DELETED", GONE), ("SYNCED", {}))
    assert (cluster.words, cluster.synced) == ({}, 2)
    first, second = Words("w1", "a"), Words("w1", "b")
    assert cluster.told == [("w1", None, first), ("w1", first, second), ("w1", second, None)]


async def test_beyond_the_limit_the_rest_is_known_bare_for_as_long_as_that_lasts(
    cluster: Followed,
) -> None:
    await cluster.tell(("ADDED", node("w1", "x" * 6)), ("ADDED", node("w2", "y" * 6)))
    assert cluster.words == {"w1": "x" * 6, "w2": ""}
    assert cluster.informer.cut == {"w2"}
    # One that tells less makes room, and so does one that goes; what was counted is counted no more.
    for _ in range(3):
        await cluster.tell(("MODIFIED", node("w1", "x")), ("MODIFIED", node("w2", "y" * 6)))
        assert (cluster.words["w2"], cluster.informer.cut) == ("y" * 6, set())
        await cluster.tell(("DELETED", node("w2")), ("MODIFIED", node("w1", "x" * 10)))
        await cluster.tell(("ADDED", node("w2", "y" * 6)))
        assert (cluster.words["w2"], cluster.informer.cut) == ("", {"w2"})
    await cluster.tell(("DELETED", node("w2")))
    assert cluster.informer.cut == set()


async def test_what_somebody_else_found_out_counts_and_is_told_to_nobody(
    cluster: Followed,
) -> None:
    await cluster.tell(("ADDED", node("w1", "a" * 6)), ("SYNCED", {}))
    told = len(cluster.told)
    assert cluster.informer.put(node("w1", "b" * 6)) == Words("w1", "b" * 6)
    assert (len(cluster.told), cluster.words) == (told, {"w1": "b" * 6})


async def test_of_requests_it_is_told_what_waited_and_what_waits() -> None:
    watches = FakeWatches()
    told: list[tuple[Request | None, Request | None]] = []
    synced: list[int] = []
    requests = RequestInformer(
        cast("Kube", watches),
        on_change=lambda *change: told.append(change),
        on_synced=lambda: synced.append(1),
    )
    asked = csr("w7", hosts=["w7"])
    approved = {**asked, "status": {"conditions": [{"type": "Approved"}]}}
    try:
        await watches.tell(REQUEST, ("ADDED", asked), ("SYNCED", {}))
        assert synced == [1]
        [request] = requests.pending.of("system:node:w7")
        await watches.tell(REQUEST, ("MODIFIED", approved), ("DELETED", approved))
        assert requests.pending.of("system:node:w7") == []
        assert told == [(None, request), (request, None), (None, None)]
    finally:
        await requests.close()
