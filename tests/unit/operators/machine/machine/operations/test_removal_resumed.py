"""A removal goes on after a death where it was: no step that is through is done once more."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.machine.operations.removals import (
    JOINED,
    pool,
    removal,
)
from tests.unit.operators.machine.views import CONNECTED, NODE

from kok.api.machine.machine import Machine, MachineStatus
from kok.kube.client import Kube
from kok.operators.machine.machine.operations.removal import resumed
from kok.operators.machine.remote.session import Session
from kok.operators.machine.remote.ssh import Credentials, Expected, Target
from kok.operators.machine.remote.survey import Owner
from kok.runtime.controller.errors import Wait

KEY = "SHA256:" + "A" * 43
CLEANED = 4
"""The write of the status by which it is known that the host is clean."""
PLACE = {"address": "192.0.2.21", "port": 22, "hostKey": KEY}


class Killed(Exception):
    """The process is gone at this very moment."""


@dataclass
class World:
    """A business cluster and a host, and what was done there, through any number of processes."""

    kube: Kube
    done: list[str] = field(default_factory=list)
    status: MachineStatus = field(default_factory=MachineStatus)
    latches: int = 0
    kill_at: int | None = None
    """The write of the status before which the process is killed; it ends with no more than that."""
    killed_after: bool = False
    """Whether that write still went through."""

    def machine(self) -> Machine:
        meta = {
            "deletionTimestamp": NOW.isoformat(),
            "labels": {"kok.dev/host": "w1", "kok.dev/kubenode": "shop-workers"},
        }
        return builders.machine(metadata=meta, status=self.status.manifest())

    async def process(self) -> bool:
        """A process works at the removal until it is through, or is killed."""
        session = Session(lambda: 0.0)
        for _ in range(20):
            going, p = removal(
                CONNECTED,
                0.0,
                kube=self.kube,
                session=session,
                machine=self.machine(),
                client=Client(self, session),
                business=Cluster(),
                node=None if "drain" in self.done else NODE,
            )

            async def latch(p: Any = p) -> None:
                self.latches += 1
                if self.latches == self.kill_at and not self.killed_after:
                    raise Killed
                self.status = MachineStatus.model_validate(p.status.manifest())
                if self.latches == self.kill_at:
                    raise Killed

            p.latching = latch
            self._drains(session)
            try:
                await going.run()
            except Wait:
                self.status = MachineStatus.model_validate(p.status.manifest())
                self._ends(session)
                continue
            except Killed:
                session.cancel()
                return False
            return True
        raise AssertionError(f"it came to no end: {self.status.operation}")

    def _drains(self, session: Session) -> None:
        def begun(name: str, work: Any, _wake: Any) -> None:
            operation = self.status.operation
            assert operation is not None, "nothing is begun that was not recorded"
            self.done.append(name)
            work.close()

        session.start = begun  # type: ignore[method-assign]

    def _ends(self, session: Session) -> None:
        """What was begun goes through before the next pass."""
        session.memory.drained = session.memory.drained or "drain" in self.done
        session.memory.cleaned = session.memory.cleaned or "clean" in self.done


class Cluster:
    """Its API: Nodes can be deleted there."""

    async def delete(self, *_: object, **__: object) -> bool:
        return True


class Client:
    """The way to the host."""

    def __init__(self, world: World, session: Session) -> None:
        self.target = Target(
            address="192.0.2.21",
            port=22,
            user="ops",
            secret="team-a/ops-ssh",
            credentials=Credentials(password="p"),
            expected=Expected(KEY),
        )

    async def clean(self, owner: Owner, *, marked: bool = False) -> None:
        """Nobody waits for it."""


def joined() -> MachineStatus:
    return MachineStatus.model_validate(
        {
            "conditions": [JOINED],
            "installedOn": PLACE,
            "components": [{"name": "kubelet", "config": "1", "found": "1.37.1"}],
        }
    )


@pytest.mark.parametrize("killed_after", [False, True])
@pytest.mark.parametrize("kill_at", [None, 1, 2, 3, 4])
async def test_each_step_is_done_once_wherever_the_process_is_killed(
    api: FakeApi, kube: Kube, kill_at: int | None, *, killed_after: bool
) -> None:
    pool(api)
    world = World(kube, status=joined(), kill_at=kill_at, killed_after=killed_after)
    while not await world.process():
        pass
    # The host was clean, and nobody knew: a clean-up finds nothing there any more.
    unknown = kill_at == CLEANED and not killed_after
    assert world.done == ["drain", "clean", *(["clean"] if unknown else [])]
    assert world.status.operation is not None
    assert world.status.operation.step == "LeavingCluster"
    assert world.latches >= 4, "each step, and since when the host is cleaned up"


@pytest.mark.parametrize(
    ("recorded", "step"),
    [
        ({}, "Draining"),
        ({"drainSince": 60}, "Draining"),
        ({"drainSince": 600, "cleanSince": 60}, "CleaningHost"),
    ],
)
def test_what_an_earlier_release_has_begun_goes_on_where_it_was(
    recorded: dict[str, int], step: str
) -> None:
    since = {key: (NOW - timedelta(seconds=ago)).isoformat() for key, ago in recorded.items()}
    operation = resumed(MachineStatus.model_validate(since), NOW)
    assert (operation.type, operation.step) == ("Remove", step)
    assert operation.since == NOW - timedelta(seconds=recorded.get("drainSince", 0))
