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

from kok.api.machine.machine import HostPlace, MachineStatus
from kok.operators.machine.machine import decide
from kok.operators.machine.machine.decide import MachineView
from kok.operators.machine.machine.reconcile import MachineReconciler
from kok.operators.machine.machine.steps import Install, Join
from kok.operators.machine.remote.ssh import Credentials, Expected, Target
from kok.operators.machine.remote.survey import Found
from kok.runtime.clock import FakeClock

HEARD = "2026-11-02T12:00:00Z"
OTHER = "SHA256:" + "B" * 43


@dataclass
class Act:
    """One step on a host; what is written down is kept in the order in which things happen."""

    given: MachineView
    key: str = KEY
    happened: list[object] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    async def latch(self) -> None:
        self.happened.append(MachineStatus.model_validate(self.given.status.manifest()))

    def start(self, name: str, work: Any, wake: object) -> None:
        work.close()
        self.happened.append(name)

    def event(self, reason: str, text: str, *, warning: bool) -> None:
        assert warning
        self.events.append(f"{reason}: {text}")

    async def run(self) -> MachineStatus:
        """What was written down before it was begun."""
        decision = decide.decide(self.given)
        assert isinstance(decision.step, Install | Join)
        reconciler = MachineReconciler.__new__(MachineReconciler)
        reconciler.clock = FakeClock(NOW)
        spec = self.given.machine.spec
        target = Target(
            address=spec.address,
            port=spec.port,
            user="ops",
            secret="team-a/ops-ssh",
            credentials=Credentials(password="p"),
            expected=Expected(self.key),
        )
        p = SimpleNamespace(
            obj=self.given.machine,
            status=self.given.status,
            latch=self.latch,
            event=self.event,
            wake=lambda: None,
        )
        hand = SimpleNamespace(target=target, install=print, join=print)
        session = SimpleNamespace(start=self.start)
        around = (cast("Any", one) for one in (p, self.given, decision, session, hand))
        await reconciler._on_host(*around)
        *before, begun = self.happened
        assert begun in ("install", "join")
        assert isinstance(before[-1], MachineStatus)
        return before[-1]


def outdated() -> Any:
    """A host whose kubelet is to be changed."""
    memory = seen(identity=MEMBER)
    assert memory.survey
    found = {**memory.survey.found, "kubelet": Found("1.37.1", begun=True)}
    memory.survey = replace(memory.survey, found=found)
    return memory


async def test_the_word_of_the_kubelet_before_is_written_down_before_a_job_changes_it() -> None:
    act = Act(machine_view(memory=outdated(), objects=observed(node=replace(NODE, heard=HEARD))))
    written = await act.run()
    assert written.kubelet_change is not None
    assert (written.kubelet_change.before, written.kubelet_change.after) == (HEARD, None)
    decision = decide.decide(act.given)
    assert isinstance(decision.step, Install)
    assert [job.id for job in decision.step.plans] == [written.kubelet_change.job]


async def test_and_before_it_turns_to_another_ca() -> None:
    around = observed(
        node=replace(NODE, heard=HEARD), access=replace(ACCESS, ca=ACCESS.ca + b"\n# another\n")
    )
    act = Act(machine_view(memory=seen(identity=MEMBER), objects=around))
    written = await act.run()
    assert written.kubelet_change is not None
    assert (written.kubelet_change.job, written.kubelet_change.before) == ("join", HEARD)


async def test_where_something_is_installed_is_written_down_before_it_is_begun() -> None:
    machine = builders.machine(port=2222)
    act = Act(machine_view(machine, memory=seen(machine, complete=False, mine=False)))
    # It was asked for what a Machine at that port asks.
    act.given.memory.asked = _asked(act.given)
    written = await act.run()
    assert written.installed_on == HostPlace(address="192.0.2.21", port=2222, host_key=KEY)
    assert act.events == []


async def test_that_a_host_with_another_key_is_used_is_told() -> None:
    machine = builders.machine(hostKey=OTHER)
    before = {"installedOn": {"address": "192.0.2.21", "port": 22, "hostKey": KEY}}
    given = machine_view(machine, memory=seen(machine, complete=False, mine=False), status=before)
    given.memory.asked = _asked(given)
    act = Act(given, key=OTHER)
    written = await act.run()
    assert written.installed_on is not None
    assert written.installed_on.host_key == OTHER
    [told] = act.events
    assert told.startswith(f"HostReplaced: host 192.0.2.21 has key {OTHER} in the place of {KEY}")


def _asked(given: MachineView) -> str:
    look = decide.decide(replace(given, memory=type(given.memory)())).step
    return str(look.digest)  # type: ignore[union-attr]
