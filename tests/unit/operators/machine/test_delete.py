"""Machines that go: how long a business cluster is waited for that does not answer."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
import structlog
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.cases import NODE, case, world

from kok.api.machine import Machine
from kok.kube.errors import Forbidden
from kok.operators.machine.machines.delete import Removal
from kok.operators.machine.session import Session
from kok.operators.machine.settings import MachineSettings
from kok.runtime.clock import FakeClock
from kok.runtime.errors import Wait
from kok.runtime.reconciler import DONE, Pass
from kok.runtime.settings import Settings

JOINED = {
    "type": "Joined",
    "status": "True",
    "reason": "Joined",
    "lastTransitionTime": "2026-11-02T11:00:00Z",
}


@dataclass
class Tenant:
    """A business cluster as far as a removal looks at it before it asks anything."""

    known: bool = False
    age: float = 3600.0
    silence: float = 0.0
    answers: bool | None = False


def removal(tenant: Tenant | None, deleted_for: float) -> tuple[Removal, Pass[Machine]]:
    """The removal of a Machine that joined and whose host needs nothing any more."""
    began = NOW - timedelta(seconds=deleted_for)
    machine = builders.machine(
        metadata={"deletionTimestamp": began.isoformat()}, status={"conditions": [JOINED]}
    )
    session = Session(lambda: 0.0)
    p = Pass(
        obj=machine,
        status=machine.status.model_copy(deep=True),
        kube=None,  # type: ignore[arg-type] # the meta cluster is not asked
        clock=FakeClock(NOW),
        now=NOW,
        log=structlog.stdlib.get_logger(),
        settings=Settings(),
    )
    given = replace(
        case(machine, view=session.view, world=world(tenant=tenant, node=NODE)), status=p.status
    )
    return Removal(p, given, session, None, MachineSettings()), p


@pytest.mark.parametrize(
    ("tenant", "deleted_for"),
    [
        (Tenant(silence=5.0), 5.0),
        # Its API servers are being rolled in the middle of a long drain.
        (Tenant(silence=5.0), 300.0),
        # The operator was just started.
        (Tenant(age=2.0, answers=None), 300.0),
        (None, 5.0),
    ],
)
async def test_an_api_that_is_away_for_a_moment_costs_no_drain(
    tenant: Tenant | None, deleted_for: float
) -> None:
    going, p = removal(tenant, deleted_for)
    with pytest.raises(Wait) as told:
        await going.step()
    assert told.value.message == "waiting for the API of Cluster shop"
    assert p.events == []


@pytest.mark.parametrize(
    ("tenant", "deleted_for"),
    [
        (Tenant(silence=31.0), 60.0),
        # Away again and again, each time for a moment: there is a limit to all patience.
        (Tenant(silence=5.0), 391.0),
        (Tenant(age=2.0, answers=None), 391.0),
        (None, 31.0),
    ],
)
async def test_an_api_that_is_away_for_good_keeps_no_machine(
    tenant: Tenant | None, deleted_for: float
) -> None:
    going, p = removal(tenant, deleted_for)
    assert await going.step() is DONE
    assert [event.reason for event in p.events] == ["NodeLeftBehind"]


class Refusing:
    """An API whose admission webhook forbids that Nodes are deleted."""

    async def delete(self, *_: object, **__: object) -> bool:
        raise Forbidden(403, "Forbidden", "admission webhook nodes.example denied the request")


@dataclass
class Known(Tenant):
    """One that answers, and refuses."""

    known: bool = True
    silence: float = 31.0
    kube: Refusing = field(default_factory=Refusing)


async def test_an_api_that_refuses_is_not_said_to_be_silent() -> None:
    going, p = removal(Known(), 391.0)
    with suppress(Wait):
        await going._forget_node()
    [event] = p.events
    assert "whose API refuses what it is asked (HTTP status 403): admission webhook" in event.note
    assert "answer" not in event.note
