"""Machines that go and leave their hosts the nodes that they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.machine.operations.removals import (
    GONE,
    HOST,
    JOINED,
    SILENT,
    pool,
    removal,
)
from tests.unit.operators.machine.views import CONNECTED, NODE

from kok.api.machine.machine import Machine
from kok.kube.client import Kube
from kok.operators.machine.remote.commands import HostTaken
from kok.operators.machine.remote.session import Session
from kok.operators.machine.remote.ssh import HostUnreachable
from kok.operators.machine.remote.survey import Owner
from kok.runtime.controller.errors import Wait

LATELY = {"deletionTimestamp": NOW.isoformat()}


def released(*, by: str = "spec", metadata: dict[str, Any] | None = None, **status: Any) -> Machine:
    """A Machine with software on its host that is being deleted and leaves it as it is."""
    notes = {"kok.dev/release": "true"} if by == "annotation" else {}
    meta = {**LATELY, **(metadata or {})}
    meta["annotations"] = {**notes, **meta.get("annotations", {})}
    served = {"conditions": [JOINED], "firstReady": "2026-11-02T11:00:00Z"}
    known = {**served, "components": [{"name": "kubelet", "config": "1"}], **status}
    spec = {"onRemove": "Release"} if by == "spec" else {}
    return builders.machine(metadata=meta, status=known, **spec)


class Host:
    """What is asked of the host."""

    target = None

    def __init__(self, session: Session) -> None:
        self.asked: list[str] = []
        self._session = session

    async def release(self, *, token: bool) -> None:
        self.asked.append(f"release token={token}")
        self._session.memory.cleaned = True

    async def clean(self, *_: object, **__: object) -> None:
        raise AssertionError("the host is cleaned up")


async def at_its_end(session: Session) -> None:
    """Returns when what goes on at the host has ended."""
    task = session._task
    assert task
    await task


@pytest.mark.parametrize("by", ["spec", "annotation"])
async def test_nothing_is_drained_deleted_or_cleaned_up(api: FakeApi, kube: Kube, by: str) -> None:
    pool(api)
    session = Session(lambda: 0.0)
    host = Host(session)
    host.target = object()  # type: ignore[assignment] # there is a way
    machine = released(by=by, metadata={"labels": {"kok.dev/host": "w1"}})
    going, p = removal(
        CONNECTED, 0, kube=kube, machine=machine, session=session, client=host, business=kube
    )
    with pytest.raises(Wait, match="which stays node w1"):
        await going.run()
    assert p.status.operation
    assert (p.status.operation.type, p.status.operation.step) == ("Release", "ReleasingHost")
    await at_its_end(session)
    assert host.asked == ["release token=False"]
    machine.status.operation = p.status.operation
    going, p = removal(
        CONNECTED, 0, kube=kube, machine=machine, session=session, client=host, business=kube
    )
    await going.run()
    assert [event.reason for event in p.events] == ["Released"]
    assert not [request for request in api.requests if "/nodes/" in str(request)]


async def test_who_cordoned_it_lets_pods_in_again(api: FakeApi, kube: Kube) -> None:
    place = "/api/v1/nodes/w1"
    meta = {
        "name": "w1",
        "uid": "n",
        "annotations": {"kok.dev/cordoned-by": "team-a/shop-workers-w1"},
    }
    api.put(place, {"metadata": meta, "spec": {"unschedulable": True}})
    version = api.objects[place]["metadata"]["resourceVersion"]
    ours = replace(NODE, unschedulable=True, cordoned_by="team-a/shop-workers-w1", version=version)
    machine = released(components=[])
    going, _ = removal(CONNECTED, 0, kube=kube, machine=machine, business=kube, node=ours)
    await going.run()
    assert not api.objects[place]["spec"].get("unschedulable")
    assert "kok.dev/cordoned-by" not in api.objects[place]["metadata"].get("annotations", {})


async def test_a_host_that_cannot_be_reached_is_waited_for_and_never_listed_as_abandoned(
    api: FakeApi, kube: Kube
) -> None:
    pool(api)
    session = Session(lambda: 0.0)
    session.memory.error = HostUnreachable("host 192.0.2.21 cannot be reached over SSH")
    session.memory.clean_seen = NOW
    host = Host(session)
    host.target = object()  # type: ignore[assignment] # there is a way
    operation = {
        "type": "Release",
        "step": "ReleasingHost",
        "since": "2026-10-02T12:00:00Z",
        "reason": "the Machine is being deleted, and its host stays as it is",
    }
    machine = released(operation=operation, drainSince="2026-10-02T12:00:00Z")
    going, p = removal(None, 0, kube=kube, machine=machine, session=session, client=host)
    with pytest.raises(Wait, match="cannot be reached over SSH; it is tried again"):
        await going.run()
    await at_its_end(session)
    assert not p.events


async def test_told_to_it_leaves_the_mark_and_says_what_that_means(
    api: FakeApi, kube: Kube
) -> None:
    pool(api)
    api.objects[HOST]["status"]["usedBy"] = {
        "machine": "shop-workers-w1",
        "uid": "uid-shop-workers-w1",
    }
    meta = {"annotations": {"kok.dev/abandon-host": "true"}, "labels": {"kok.dev/host": "w1"}}
    machine = released(metadata=meta)
    going, p = removal(
        None, 0, kube=kube, machine=machine, credentials=None, refusal=GONE, cluster=None
    )
    await going.run()
    assert [event.reason for event in p.events] == ["HostAbandoned", "Released"]
    assert "remove /var/lib/kok" in p.events[0].note
    # Nobody takes the node for remains.
    assert not api.objects[HOST]["status"].get("usedBy")


async def test_what_somebody_else_has_by_now_is_let_be(api: FakeApi, kube: Kube) -> None:
    pool(api)
    session = Session(lambda: 0.0)
    session.memory.error = HostTaken("it serves another", Owner(uid="uid-2"))
    machine = released()
    going, p = removal(None, 0, kube=kube, machine=machine, session=session, cluster=None)
    await going.run()
    assert [event.reason for event in p.events] == ["Released"]


async def test_a_clean_up_that_has_begun_is_brought_to_its_end(api: FakeApi, kube: Kube) -> None:
    pool(api)
    machine = released(drainSince=NOW.isoformat(), cleanSince=NOW.isoformat())
    going, p = removal(None, 0, kube=kube, machine=machine, cluster=None)
    with pytest.raises(Wait, match="cleaning up host"):
        await going.run()
    assert p.status.operation
    assert p.status.operation.type == "Remove"


async def test_what_never_was_a_node_is_cleaned_up(api: FakeApi, kube: Kube) -> None:
    machine = released(firstReady=None)
    going, p = removal(None, 0, kube=kube, machine=machine, cluster=None)
    with pytest.raises(Wait, match="cleaning up host"):
        await going.run()
    assert p.status.operation
    assert p.status.operation.type == "Remove"


async def test_a_silent_api_is_given_its_time_and_then_told_of(api: FakeApi, kube: Kube) -> None:
    machine = released(components=[])
    going, _ = removal(SILENT, 0, kube=kube, machine=machine, business=kube)
    with pytest.raises(Wait, match="waiting for the API of Cluster shop"):
        await going.run()
