"""What a pass knows of a business cluster's API is as of its look, whatever becomes of that later."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
import structlog
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.shop import Shop
from tests.unit.workload.fakewatches import FakeWatches

from kok.api.meta import Condition, Manifest
from kok.kube.client import Kube
from kok.operators.machine.machine.conditions.report import Outcome
from kok.operators.machine.machine.reconcile import MachineReconciler
from kok.operators.machine.machine_lists import MachineLists
from kok.operators.machine.node.cluster_connections import ClusterConnection, ConnectionSpec
from kok.operators.machine.settings import MachineSettings
from kok.runtime.clock import FakeClock, settle
from kok.runtime.controller.reconciler import Pass
from kok.runtime.sandbox.pool import SandboxPool
from kok.runtime.settings import Settings
from kok.workload.availability import Availability

READY = {"conditions": [{"type": "Ready", "status": "True"}]}
NODE = {"metadata": {"name": "w1", "uid": "n"}, "status": READY}
SINCE = {"reason": "X", "message": "", "lastTransitionTime": "2026-11-02T11:59:00Z"}
JOINED = {"conditions": [{"type": "Joined", "status": "True", **SINCE}]}


class Business(FakeWatches):
    """The API of the business cluster: it says of its nodes what a test puts in."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.availability = Availability(lambda: self.now)
        self.availability.observe("GET", 200)
        self.turned: Callable[[], None] = lambda: None
        self.told_too_much: str | None = None

    def excess_of(self, _kind: object) -> str | None:
        return self.told_too_much

    async def raw(self, *_: object, **__: object) -> None:
        """Nobody waits for it."""

    async def close(self) -> None:
        """Nothing is open."""

    def falls_silent(self) -> None:
        for _ in range(2):
            self.availability.observe("GET", 0)
            self.now += 60.0

    def refuses(self) -> None:
        self.availability.observe("GET", 403)

    def tells_too_much(self) -> None:
        self.told_too_much = "it says more than is read"
        self.turned()


class Meta(Shop):
    """The meta cluster, in which there are no other Machines."""

    async def list(self, *_: object, **__: object) -> list[Manifest]:
        return []


class Story:
    """Passes over a Machine that has joined, stage by stage."""

    def __init__(self) -> None:
        self.reconciler = MachineReconciler(
            MachineSettings(business_api="public"),
            SandboxPool(),
            MachineLists(lambda: 0.0),
            FakeClock(builders.NOW),
        )
        self.business, self.woken = Business(), 0
        self.reconciler.clusters._made = self._made  # type: ignore[method-assign]
        self.meta: Any = Meta("https://192.0.2.10:31443")

    def _made(self, spec: ConnectionSpec) -> ClusterConnection:
        kube = cast("Kube", self.business)
        return ClusterConnection(spec.digest, kube, self.business.availability)

    def _wake(self) -> None:
        self.woken += 1

    async def judged(self, meanwhile: Callable[[], None] = lambda: None) -> Condition:
        """What a pass says of the Node, where that happens between its look and its verdicts."""
        machine = builders.machine(components=[], status=JOINED)
        p = Pass(
            obj=machine,
            status=machine.status.model_copy(deep=True),
            kube=self.meta,
            clock=self.reconciler.clock,
            now=builders.NOW,
            log=structlog.stdlib.get_logger(),
            settings=Settings(),
            wake=self._wake,
        )
        view = await self.reconciler.observe(p)
        decision = self.reconciler.decide(p, view)
        meanwhile()
        self.reconciler.conditions(p, view, decision, Outcome(), None)
        found = p.status.condition("NodeReady")
        assert isinstance(found, Condition)
        return found


@pytest.fixture
async def story() -> AsyncIterator[Story]:
    """One whose business cluster is connected and has told of its one node."""
    story = Story()
    await story.judged()
    await story.business.tell("Node", ("ADDED", NODE), ("SYNCED", {}))
    yield story
    await story.reconciler.close()


@pytest.mark.parametrize(
    ("happens", "reason"),
    [
        (Business.falls_silent, "ClusterUnreachable"),
        (Business.refuses, "ClusterRefuses"),
        (Business.tells_too_much, "AnswerTooLarge"),
    ],
)
async def test_what_happens_after_the_look_is_told_by_the_next_pass(
    story: Story, happens: Callable[[Business], None], reason: str
) -> None:
    """Else what is decided and what is said would go by different states of one thing."""
    woken = story.woken
    found = await story.judged(lambda: happens(story.business))
    assert (found.status, found.reason) == ("True", "NodeReady")
    assert story.woken > woken, "there is a next pass"
    found = await story.judged()
    assert (found.status, found.reason) == ("Unknown", reason)


async def test_a_node_that_went_after_the_look_is_told_by_the_next_pass(story: Story) -> None:
    found = await story.judged(lambda: story.business.put("Node", "DELETED", NODE))
    assert found.status == "True"
    woken = story.woken
    await settle()
    assert story.woken > woken
    assert (await story.judged()).reason == "NodeMissing"
