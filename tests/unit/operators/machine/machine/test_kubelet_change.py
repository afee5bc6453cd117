"""A kubelet that was changed has proven itself once it was heard of, and by nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import VERSIONS
from tests.unit.operators.machine.kubenode.rollout.rolling import changeable
from tests.unit.operators.machine.views import (
    CONNECTED,
    MEMBER,
    NODE,
    machine_view,
    observed,
    seen,
)

from kok.api.machine.machine import KubeletChange, Machine, MachineStatus
from kok.api.meta import Manifest
from kok.kube.errors import KubeError
from kok.operators.machine.machine import decide, kubelet_change, record
from kok.operators.machine.machine.conditions.report import report
from kok.operators.machine.machine.reconcile import MachineReconciler
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.node.cluster_connections import ConnectionState
from kok.operators.machine.remote.session import HostMemory
from kok.operators.machine.remote.survey import Found

OLD, LATE, NEW = "2026-11-02T12:00:00Z", "2026-11-02T12:00:07Z", "2026-11-02T12:00:40Z"
STARTED = 1793620810.4
"""12:00:10.4 of that day: when the changed kubelet was started, by the clock of its host."""
SERVED = {
    "firstReady": "2026-11-02T11:00:00Z",
    "conditions": [
        {
            "type": kind,
            "status": "True",
            "reason": "X",
            "lastTransitionTime": "2026-11-02T11:00:00Z",
        }
        for kind in ("Ready", "Joined", "NodeReady", "UpToDate")
    ],
}
UNKNOWN = replace(CONNECTED, nodes_known=False)


@dataclass
class Api:
    """An API server with one Node, or without, or one that fails."""

    heard: str | None = OLD
    error: KubeError | None = None
    asked: int = 0

    async def get(self, kind: object, name: str) -> Manifest | None:
        del kind
        self.asked += 1
        if self.error is not None:
            raise self.error
        if self.heard is None:
            return None
        ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": self.heard}
        return {"metadata": {"name": name}, "status": {"conditions": [ready]}}


@dataclass
class Story:
    """A Machine that serves, and pass after pass over it."""

    machine: Machine = field(default_factory=builders.machine)
    api: Api = field(default_factory=Api)
    connection: ConnectionState = CONNECTED
    memory: HostMemory = field(default_factory=lambda: seen(identity=MEMBER))
    watched: str | None = OLD
    """When the watch of Nodes says that the kubelet posted its status; None: it knows of none."""
    doing: str = ""
    now: float = 1000.0
    status: MachineStatus = field(default_factory=lambda: MachineStatus.model_validate(SERVED))

    def view(self) -> MachineView:
        node = replace(NODE, heard=self.watched) if self.watched is not None else None
        around = observed(node=node, connection=self.connection)
        given = machine_view(
            self.machine, self.memory, objects=around, doing=self.doing, monotonic=self.now
        )
        recorded = {"host_key": given.status.host_key}
        self.status = self.status.model_copy(update=recorded)
        return replace(given, status=self.status.model_copy(deep=True))

    def begin(self, job: str = "j") -> None:
        view = self.view()
        self.status.kubelet_change = kubelet_change.begun(view, self.status, job)
        kubelet_change.mark(self.status, self.memory, self.now)
        # What is not written down before the act is not known after it.
        self.status = MachineStatus.model_validate(self.status.manifest())

    async def done(self, change: Any = None) -> None:
        """The change goes through, on the host and before the operator's eyes."""

        async def nothing() -> None:
            self.memory.changed = self.now

        p = cast("Any", SimpleNamespace(obj=self.machine, status=self.status))
        kube = cast("Any", self.api)
        await kubelet_change.noting(p, kube, self.memory, change or nothing)

    async def passes(self) -> tuple[str, str]:
        """What UpToDate says after a pass."""
        log = structlog.stdlib.get_logger()
        p = cast("Any", SimpleNamespace(obj=self.machine, status=self.status, log=log))
        clusters = SimpleNamespace(get=lambda _key: SimpleNamespace(kube=self.api))
        reconciler = MachineReconciler.__new__(MachineReconciler)
        reconciler.clusters = cast("Any", clusters)
        given = await reconciler._posted(p, self.view())
        decision = decide.decide(given)
        record.facts(self.status, given, decision)
        report(self.status, given, decision)
        found = self.status.condition("UpToDate")
        assert found
        assert self.status.is_true("Ready"), "what runs there runs on"
        return found.status, found.message

    async def proven(self) -> bool:
        return (await self.passes())[0] == "True"

    def restart(self) -> None:
        """Another operator: it knows what is written down, and looks at the host anew."""
        self.status = MachineStatus.model_validate(self.status.manifest())
        self.memory = seen(identity=replace(MEMBER, started=_started(self.memory)))
        self.memory.identified = self.now


def _started(memory: HostMemory) -> float | None:
    return memory.identity.started if memory.identity is not None else None


async def test_a_changed_kubelet_has_proven_itself_once_it_posted_its_status() -> None:
    story = Story()
    story.begin()
    await story.done()
    assert await story.passes() == (
        "False",
        "the kubelet was changed and has not posted its status since",
    )
    story.watched = story.api.heard = NEW
    assert await story.proven()
    # For good: that no Node is known while the API restarts does not make it doubtful again.
    story.watched, story.connection = None, UNKNOWN
    assert await story.proven()


async def test_silence_proves_nothing_however_long_it_is() -> None:
    """After a minute a Node is no longer Ready, unless nobody there sees to it, or the API was away."""
    story = Story()
    story.begin()
    await story.done()
    for later in (30.0, 31.0, 600.0, 86400.0):
        story.now += later
        assert not await story.proven()


async def test_nor_does_a_restart_of_the_operator_at_any_moment() -> None:
    story = Story()
    story.begin()
    story.restart()
    assert not await story.proven()
    story.restart()
    story.now += 3600
    assert not await story.proven()
    story.watched = story.api.heard = NEW
    story.restart()
    assert await story.proven()


async def test_nor_what_the_kubelet_before_posts_while_software_is_fetched() -> None:
    story = Story()
    assert story.memory.survey
    right = story.memory.survey
    rest = {name: found for name, found in right.found.items() if name != "kubelet"}
    story.memory.survey = replace(right, found={**rest, "kubelet": Found("1.36.4")})
    story.begin()
    story.doing = "install"
    for heard in ("2026-11-02T12:00:03Z", LATE):
        story.watched = story.api.heard = heard
        assert not await story.proven()
    # It ends before anybody has seen another status.
    story.doing, story.memory.survey = "", right
    await story.done()
    assert not await story.proven()
    story.watched = story.api.heard = NEW
    assert await story.proven()


@pytest.mark.parametrize("code", [500, 429])
async def test_nor_that_nodes_cannot_be_listed(code: int) -> None:
    story = Story(watched=None)
    story.connection = UNKNOWN
    story.api.error = KubeError(code, "InternalError", "storage is (re)initializing")
    story.begin()
    await story.done()
    status, text = await story.passes()
    assert status == "Unknown"
    assert text.startswith("the kubelet was changed, and it is not known whether it works: ")
    # Now it answers: that is what the kubelet before has posted, or the changed one.
    story.api.error = None
    assert not await story.proven()
    story.api.heard = NEW
    assert await story.proven(), "one Node can be read though all cannot"


async def test_nor_a_watch_that_is_late() -> None:
    """It brings what the kubelet before posted last, after the change was through."""
    story = Story()
    story.begin()
    story.api.heard = LATE
    await story.done()
    assert not await story.proven()
    story.watched = LATE
    assert not await story.proven()
    story.watched = story.api.heard = NEW
    assert await story.proven()


async def test_a_host_tells_when_its_kubelet_was_started() -> None:
    """One that posted before anybody looked says nothing new for minutes."""
    story = Story()
    story.begin()
    story.watched = story.api.heard = NEW
    await story.done()
    assert not await story.proven()
    story.memory.identity = replace(MEMBER, started=STARTED)
    assert not await story.proven(), "it was asked for that before the change"
    story.memory.identified = story.now + 1
    assert await story.proven()


@pytest.mark.parametrize("heard", ["2026-11-02T12:00:09Z", "2026-11-02T12:00:10Z", "soon"])
async def test_what_may_have_been_posted_before_it_was_started_is_no_proof(heard: str) -> None:
    story = Story()
    story.begin()
    story.watched = story.api.heard = heard
    await story.done()
    story.memory.identity = replace(MEMBER, started=STARTED)
    story.memory.identified = story.now + 1
    assert not await story.proven()


async def test_a_clock_that_was_set_back_makes_no_proof_of_what_was_posted_before() -> None:
    story = Story(watched=NEW)
    story.api.heard = NEW
    story.begin()
    await story.done()
    story.memory.identity = replace(MEMBER, started=STARTED)
    story.memory.identified = story.now + 1
    assert not await story.proven()
    # Nor does it keep the changed kubelet from proving itself.
    story.watched = story.api.heard = OLD
    assert await story.proven()


async def test_an_api_that_answers_is_asked_no_more_than_it_takes() -> None:
    story = Story()
    story.begin()
    await story.done()
    for _ in range(50):
        await story.passes()
    assert story.api.asked == 1


async def test_one_that_is_changed_once_more_proves_the_last_change() -> None:
    story = Story()
    story.begin("first")
    await story.done()
    story.watched = "2026-11-02T12:00:03Z"
    for _ in range(2):
        # It is found again by an operator that was restarted.
        story.begin("second")
        found = story.status.kubelet_change
        assert found == KubeletChange(job="second", before="2026-11-02T12:00:03Z")
        story.watched = LATE
    story.doing = "install"
    story.watched = story.api.heard = LATE
    assert not await story.proven()
    story.doing = ""
    await story.done()
    assert not await story.proven()
    story.watched = story.api.heard = NEW
    assert await story.proven()


async def test_who_never_was_a_node_or_is_none_any_more_has_nothing_to_prove() -> None:
    fresh = Story(watched=None, status=MachineStatus())
    fresh.begin()
    assert fresh.status.kubelet_change is None
    rest = [{"name": n, "version": v} for n, v in VERSIONS.items() if n != "kubelet"]
    without = builders.machine(components=rest)
    story = Story(machine=without, memory=seen(without, identity=MEMBER))
    story.status.kubelet_change = KubeletChange(job="uninstall")
    assert await story.proven()
    # Nor one that an earlier release has changed.
    assert await Story().proven()


async def test_the_next_node_is_not_changed_before_that() -> None:
    """With a bad configuration one node after the other would be lost."""
    story = Story()
    story.begin()
    await story.done()
    story.now += 3600
    await story.passes()
    changed, serving = _live("a", story.status), _live("b", MachineStatus.model_validate(SERVED))
    wanted = {
        "a": _live("a"),
        "b": {**_live("b"), "spec": {**_live("b")["spec"], "components": []}},
    }
    lives = {"a": changed, "b": serving}
    assert changeable(wanted, lives)["b"]["spec"]["components"], "it waits"
    story.watched = story.api.heard = NEW
    await story.passes()
    lives["a"] = _live("a", story.status)
    assert not changeable(wanted, lives)["b"]["spec"]["components"]


def _live(name: str, status: MachineStatus | None = None) -> Manifest:
    status = status or MachineStatus()
    status = status.model_copy(update={"observed_generation": 1})
    return builders.machine(metadata={"name": name}, status=status.manifest()).manifest()


async def test_a_change_that_is_given_up_at_once_leaves_nothing_behind() -> None:
    """No coroutine that nobody waits for."""
    story, begun = Story(), []

    async def change() -> None:
        begun.append(True)

    p = cast("Any", SimpleNamespace(obj=story.machine, status=story.status))
    noting = kubelet_change.noting(p, cast("Any", story.api), story.memory, change)
    task = asyncio.create_task(noting)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not begun
