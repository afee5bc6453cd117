"""Machines that go: how long their nodes are drained, and what becomes of a Node."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.machine.operations.removals import JOINED, SILENT, removal
from tests.unit.operators.machine.views import CONNECTED, NODE

from kok.kube.client import Kube
from kok.kube.errors import Forbidden, KubeError
from kok.operators.machine.machine.delete import Removal
from kok.operators.machine.machine.operations.removal import drain_deadline
from kok.operators.machine.node.cluster_connections import ConnectionState
from kok.operators.machine.remote.session import LEAST, Session
from kok.runtime.controller.errors import Paused, Wait


@pytest.mark.parametrize(
    ("connection", "removed_for"),
    [
        (replace(SILENT, silence=5.0), 5.0),
        # Its API servers are being rolled in the middle of a long drain.
        (replace(SILENT, silence=5.0), 300.0),
        # The operator was just started.
        (replace(SILENT, age=2.0, answers=None), 300.0),
        (None, 5.0),
    ],
)
async def test_an_api_that_is_away_for_a_moment_costs_no_drain(
    connection: ConnectionState | None, removed_for: float
) -> None:
    going, p = removal(connection, removed_for)
    with pytest.raises(Wait) as told:
        await going.run()
    assert told.value.message == "waiting for the API of Cluster shop"
    assert p.events == []


async def test_a_node_that_was_not_known_yet_when_it_was_looked_for_costs_no_drain() -> None:
    late = replace(CONNECTED, nodes_known=False, age=1.0)
    going, _ = removal(late, 0.0, node=None)
    with pytest.raises(Wait, match="waiting for the API of Cluster shop"):
        await going.run()


@pytest.mark.parametrize(
    ("connection", "removed_for"),
    [
        (replace(SILENT, silence=31.0), 60.0),
        # Away again and again, each time for a moment: there is a limit to all patience.
        (replace(SILENT, silence=5.0), 331.0),
        (replace(SILENT, age=2.0, answers=None), 331.0),
        (None, 31.0),
    ],
)
async def test_an_api_that_is_away_for_good_keeps_no_machine(
    connection: ConnectionState | None, removed_for: float
) -> None:
    going, p = removal(connection, removed_for)
    assert await going.run() is None
    assert [event.reason for event in p.events] == ["NodeLeftBehind"]


class Refusing:
    """An API whose admission webhook forbids that Nodes are deleted."""

    async def delete(self, *_: object, **__: object) -> bool:
        raise Forbidden(403, "Forbidden", "admission webhook nodes.example denied the request")


async def test_an_api_that_refuses_is_not_said_to_be_silent() -> None:
    began = (NOW - timedelta(seconds=391)).isoformat()
    operation = {"type": "Remove", "step": "LeavingCluster", "since": began}
    machine = builders.machine(
        metadata={"deletionTimestamp": began},
        status={"conditions": [JOINED], "drainSince": began, "operation": operation},
    )
    going, p = removal(CONNECTED, 391.0, machine=machine, business=Refusing())
    await going.run()
    [event] = p.events
    assert "whose API refuses what it is asked (HTTP status 403): admission webhook" in event.note
    assert "answer" not in event.note


def draining(removed_for: float, *, error: KubeError | None = None) -> tuple[Removal, Session]:
    """A drain of 5 minutes that is under way."""
    session = Session(lambda: 0.0)
    session.memory.drain_seen = NOW - timedelta(seconds=removed_for)
    session.memory.error = error
    session.memory.retry = 1.0  # What is refused is tried again, but not in this very moment.
    going, _ = removal(
        CONNECTED,
        removed_for,
        session=session,
        kube=None,
    )
    return going, session


@pytest.mark.parametrize(
    ("removed_for", "error", "ends"),
    [
        (299.0, None, False),
        # Pods that are deleted against their budgets get their time to end.
        (301.0, None, False),
        (340.0, None, True),
        (299.0, KubeError(403, "Forbidden", "a webhook says no"), False),
        # Nobody ends pods where nothing can be asked for: there is nothing to wait for.
        (300.0, KubeError(403, "Forbidden", "a webhook says no"), True),
    ],
)
async def test_a_drain_ends_when_its_time_is_over(
    removed_for: float, error: KubeError | None, *, ends: bool
) -> None:
    """It went on for 90 s more where the Node could not be deleted."""
    going, session = draining(removed_for, error=error)
    if ends:
        # The host, which was never changed, needs no clean-up, so that only the Node is left.
        with suppress(AttributeError):
            await going.run()
        assert session.memory.drained
    else:
        with pytest.raises(Wait, match="draining node w1"):
            await going.run()
        assert not session.memory.drained


async def test_an_operator_that_was_away_has_its_whole_time() -> None:
    """The Machine was deleted hours ago; nobody has drained anything yet."""
    long_ago = (NOW - timedelta(hours=5)).isoformat()
    machine = builders.machine(
        metadata={"deletionTimestamp": long_ago}, status={"conditions": [JOINED]}
    )
    session = Session(lambda: 0.0)
    session.memory.retry = 1.0
    going, p = removal(CONNECTED, 0.0, machine=machine, session=session)
    with pytest.raises(Wait, match="draining node w1"):
        await going.run()
    assert p.status.drain_since == NOW


async def test_the_time_in_which_an_operator_was_away_drains_nothing() -> None:
    """It was killed in the middle of a drain, and comes back when that should be over."""
    session = Session(lambda: 0.0)
    session.memory.retry = 1.0
    going, _ = removal(CONNECTED, 390.0, session=session)
    with pytest.raises(Wait, match="draining node w1"):
        await going.run()
    assert not session.memory.drained
    assert drain_deadline(going._look()) == NOW + LEAST
    # Nor does the time in which the Machine was paused.
    session.memory.drain_seen = NOW - timedelta(hours=1)
    going, p = removal(CONNECTED, 390.0, session=session)
    p.paused = True
    with pytest.raises(Paused):
        await going.run()
    assert session.memory.drain_seen is None


async def test_a_node_that_was_made_before_its_kubelet_joined_goes_with_its_machine(
    api: FakeApi, kube: Kube
) -> None:
    """Its making may have been under way as it was looked for in order to be drained."""
    where = "/api/v1/nodes/w1"
    api.put(where, {"metadata": {"name": "w1", "uid": NODE.uid}})
    step = {"type": "Remove", "step": "LeavingCluster", "since": NOW.isoformat(), "reason": "gone"}
    status = {"tokenId": "abcdef", "drainSince": NOW.isoformat(), "operation": step}
    machine = builders.machine(metadata={"deletionTimestamp": NOW.isoformat()}, status=status)
    going, _ = removal(CONNECTED, 0.0, machine=machine, business=kube)
    await going.run()
    assert where not in api.objects
