"""What stands in the status of a Machine before anything is begun on its host."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

from tests.unit.operators.machine import builders
from tests.unit.operators.machine.builders import NOW
from tests.unit.operators.machine.views import (
    ACCESS,
    KEY,
    MEMBER,
    NODE,
    machine_view,
    observed,
    seen,
)

from kok.api.machine.machine import HostPlace, Machine, MachineStatus
from kok.operators.machine.machine import decide
from kok.operators.machine.machine.operations.host_steps import Install, StepContext
from kok.operators.machine.machine.reconcile import MachineReconciler
from kok.operators.machine.machine.view import MachineView
from kok.operators.machine.machine_lists import MachineLists
from kok.operators.machine.remote.ssh import Credentials, Expected, Target
from kok.operators.machine.remote.survey import Found
from kok.operators.machine.settings import MachineSettings
from kok.runtime.controller.reconciler import Pass
from kok.runtime.sandbox.pool import SandboxPool

HEARD = "2026-11-02T12:00:00Z"
OTHER = "SHA256:" + "B" * 43


@dataclass
class Begun:
    """One step on a host; what is written down is kept in the order in which things happen."""

    given: MachineView
    key: str = KEY
    happened: list[object] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    async def latch(self) -> None:
        self.happened.append(MachineStatus.model_validate(self.p.status.manifest()))

    def start(self, name: str, work: Any, wake: object) -> None:
        work.close()
        self.happened.append(name)

    def event(self, reason: str, text: str, *, warning: bool) -> None:
        assert warning
        self.events.append(f"{reason}: {text}")

    async def run(self) -> MachineStatus:
        """What was written down before it was begun, by a whole pass."""
        spec = self.given.machine.spec
        target = Target(
            address=spec.address,
            port=spec.port,
            user="ops",
            secret="team-a/ops-ssh",
            credentials=Credentials(password="p"),
            expected=Expected(self.key),
        )
        self.p = SimpleNamespace(
            obj=self.given.machine,
            status=self.given.status.model_copy(deep=True),
            latch=self.latch,
            event=self.event,
            wake=lambda: None,
            paused=False,
            now=NOW,
        )
        session = SimpleNamespace(start=self.start, memory=self.given.memory)
        client = SimpleNamespace(target=target)
        connection = SimpleNamespace(kube=None)
        context = StepContext(
            *(cast("Any", one) for one in (self.p, self.given, session, 0, client, connection))
        )
        reconciler = Prepared(self.given, context)
        await reconciler.reconcile(cast("Any", self.p))
        *before, begun = self.happened
        assert begun in ("install", "join")
        assert isinstance(before[-1], MachineStatus)
        return before[-1]


class Prepared(MachineReconciler):
    """One that has seen what it is given, and looks after nothing but the host."""

    def __init__(self, given: MachineView, context: StepContext) -> None:
        super().__init__(MachineSettings(), SandboxPool(), MachineLists(lambda: 0.0))
        self.given, self.context = given, context

    async def observe(self, p: Pass[Machine]) -> MachineView:
        return self.given

    async def _look_after_node(self, *_: Any) -> None:
        """No Node."""

    def _context(self, *_: Any) -> StepContext:
        return self.context


def outdated() -> Any:
    """A host whose kubelet is to be changed."""
    memory = seen(identity=MEMBER)
    assert memory.survey
    found = {**memory.survey.found, "kubelet": Found("1.37.1", begun=True)}
    memory.survey = replace(memory.survey, found=found)
    return memory


async def test_the_word_of_the_kubelet_before_is_written_down_before_a_job_changes_it() -> None:
    begun = Begun(
        machine_view(memory=outdated(), objects=observed(node=replace(NODE, heard=HEARD)))
    )
    written = await begun.run()
    assert written.kubelet_change is not None
    assert (written.kubelet_change.before, written.kubelet_change.after) == (HEARD, None)
    call = decide.decide(begun.given).step.call
    assert isinstance(call, Install)
    assert [job.id for job in call.plans] == [written.kubelet_change.job]


async def test_and_before_it_turns_to_another_ca() -> None:
    around = observed(
        node=replace(NODE, heard=HEARD), endpoint=replace(ACCESS, ca=ACCESS.ca + b"\n# another\n")
    )
    begun = Begun(machine_view(memory=seen(identity=MEMBER), objects=around))
    written = await begun.run()
    assert written.kubelet_change is not None
    assert (written.kubelet_change.job, written.kubelet_change.before) == ("join", HEARD)


async def test_where_something_is_installed_is_written_down_before_it_is_begun() -> None:
    machine = builders.machine(port=2222)
    begun = Begun(machine_view(machine, memory=seen(machine, complete=False, mine=False)))
    # It was asked for what a Machine at that port asks.
    begun.given.memory.asked = _asked(begun.given)
    written = await begun.run()
    assert written.installed_on == HostPlace(address="192.0.2.21", port=2222, jump="", host_key=KEY)
    assert begun.events == []


async def test_that_a_host_with_another_key_is_used_is_told() -> None:
    machine = builders.machine(hostKey=OTHER)
    before = {"installedOn": {"address": "192.0.2.21", "port": 22, "hostKey": KEY}}
    given = machine_view(machine, memory=seen(machine, complete=False, mine=False), status=before)
    given.memory.asked = _asked(given)
    begun = Begun(given, key=OTHER)
    written = await begun.run()
    assert written.installed_on is not None
    assert written.installed_on.host_key == OTHER
    [told] = begun.events
    assert told.startswith(f"HostReplaced: host 192.0.2.21 has key {OTHER} in the place of {KEY}")


def _asked(given: MachineView) -> str:
    look = decide.decide(replace(given, memory=type(given.memory)())).step.call
    return str(look.request.digest)  # type: ignore[union-attr]
