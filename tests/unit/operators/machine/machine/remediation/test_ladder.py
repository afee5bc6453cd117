"""What is tried of a host that is not well, one rung after the other, whatever happens meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.unit.operators.machine.builders import NOW

from kok.api.machine.remediation import Remediation, RemediationStatus
from kok.operators.machine.machine.remediation import ladder
from kok.operators.machine.machine.remediation.ladder import Fault, Remedy, Situation

HUNG = Fault("ServiceHung", "it hangs", "tool", "tool", settle=timedelta(seconds=1))
DEAD = Fault("HostDead", "it is away", rungs=("Replace",), settle=timedelta(minutes=5))


@dataclass
class Story:
    """One host, told from pass to pass."""

    policy: Remediation = field(default_factory=Remediation)
    known: RemediationStatus | None = None
    now: datetime = NOW
    done: list[str] = field(default_factory=list)

    def at(self, seconds: float, fault: Fault | None = HUNG, **more: Any) -> Remedy:
        """A pass so long after the beginning; what it begins goes through."""
        self.now = NOW + timedelta(seconds=seconds)
        base = Situation("u", self.policy, self.known, fault, self.now, pooled=True, boot_id="b1")
        found = ladder.decide(replace(base, **more))
        self.known = found.record
        if found.rung is not None:
            assert found.taken is not None
            self.known = found.taken
            if found.begins:
                self.done.append(found.rung)
            if found.taken.job is not None:
                job = found.taken.job.model_copy(update={"exit": 0})
                self.known = found.taken.model_copy(update={"job": job})
        return found


def test_one_rung_follows_the_other_each_with_its_patience() -> None:
    story = Story()
    assert story.at(0).rung is None
    assert story.at(1).rung == "Restart"
    assert story.at(20).rung is None
    assert story.at(31).rung == "Restart"
    # The second time it may take twice as long.
    assert story.at(90).rung is None
    assert story.at(91).rung == "Reinstall"
    assert story.at(91 + 179).rung is None
    assert story.at(91 + 180).rung == "Reboot"
    assert story.at(91 + 180 + 299).rung is None
    assert story.at(91 + 180 + 300).rung == "Replace"
    # Whoever takes another host is not asked again.
    assert story.at(5000).rung is None
    assert ladder.spent(story.known)
    assert story.known is not None
    assert [one.rung for one in story.known.history][:2] == ["Replace", "Reboot"]
    assert story.known.attempts == 5


def test_an_attempt_whose_job_failed_has_no_patience_left() -> None:
    story = Story()
    story.at(0)
    story.at(1)
    assert story.known is not None
    assert story.known.job is not None
    story.known.job.exit = 1
    assert story.at(5).rung is None
    assert story.at(6).rung == "Restart"


def test_a_host_that_cannot_be_replaced_is_tried_again_ever_less_often() -> None:
    story = Story(Remediation(up_to="Restart"))
    story.at(0)
    story.at(1)
    story.at(31)
    assert story.at(91).rung is None
    assert ladder.spent(story.known)
    assert story.at(31 + 599).rung is None
    assert story.at(31 + 600).rung == "Restart"
    for second in range(700, 4000, 10):
        story.at(second)
    # 2, 2 after ten minutes, 2 after another twenty.
    assert len(story.done) == 6
    assert set(story.done) == {"Restart"}


def test_what_was_tried_is_remembered_for_a_while_and_then_forgotten() -> None:
    story = Story()
    story.at(0)
    story.at(1)
    story.at(5, None)
    assert story.known is not None
    assert not ladder.active(story.known)
    # It comes back: the first restart did not help for long.
    story.at(60)
    assert story.at(61).rung == "Restart"
    assert story.known.tries == 2
    story.at(70, None)
    story.at(80)
    assert story.at(122).rung == "Reinstall"
    story.at(130, None)
    assert story.at(729, None).after is not None
    story.at(730, None)
    assert story.known is None


def test_another_fault_begins_with_its_first_rung() -> None:
    story = Story()
    story.at(0)
    story.at(1)
    story.at(31)
    story.at(40, None)
    other = replace(HUNG, service="other", component="other")
    story.at(50, other)
    assert story.at(51, other).rung == "Restart"


def test_a_job_whose_end_nobody_heard_of_keeps_no_other_fault_from_being_mended() -> None:
    story = Story()
    story.at(0)
    story.at(1)
    assert story.known is not None
    assert story.known.job is not None
    # The operator was killed while it was done, and the host was well before another one asked.
    story.known.job.exit = None
    story.at(20, None)
    other = replace(HUNG, kind="ServiceDown")
    story.at(30, other)
    assert story.at(31, other).rung == "Restart"
    assert story.done == ["Restart", "Restart"]


def test_what_goes_by_itself_leaves_nothing_behind() -> None:
    story = Story()
    story.at(0)
    story.at(0.5, None)
    assert story.known is None
    assert story.done == []


def test_a_host_that_is_not_known_to_be_well_is_not_well() -> None:
    story = Story()
    story.at(0)
    story.at(1)
    story.at(10, None, certain=False)
    assert ladder.active(story.known)


def test_only_hosts_that_are_reached_are_worked_on_and_only_those_of_a_pool_replaced() -> None:
    story = Story()
    story.at(0, DEAD, reached=False, pooled=False)
    assert story.at(301, DEAD, reached=False, pooled=False).rung is None
    assert story.at(302, DEAD, reached=False).rung == "Replace"


def test_a_host_that_does_not_come_back_from_its_reboot_is_replaced() -> None:
    story = Story()
    for second in (0, 1, 31, 91, 271):
        story.at(second)
    assert story.done[-1] == "Reboot"
    assert story.known is not None
    assert story.known.boot_id == "b1"
    story.at(280, DEAD, reached=False)
    assert story.at(500, DEAD, reached=False).rung is None
    assert story.at(571, DEAD, reached=False).rung == "Replace"


def test_a_boot_has_its_time_whatever_became_of_the_job_that_asked_for_it() -> None:
    story = Story()
    for second in (0, 1, 31, 91, 271):
        story.at(second)
    assert story.known is not None
    assert story.known.job is not None
    story.known.job.exit = -1
    assert story.at(300).rung is None
    assert story.at(571).rung == "Replace"


def test_a_host_is_given_up_for_its_silence_and_not_for_what_was_wrong_before() -> None:
    story = Story()
    story.at(0, Fault("DiskFull", "it is full", rungs=()))
    assert story.at(7200, DEAD, reached=False).rung is None
    assert story.at(7499, DEAD, reached=False).rung is None
    assert story.at(7500, DEAD, reached=False).rung == "Replace"


def test_a_host_that_answers_again_is_mended_where_nobody_has_taken_its_place() -> None:
    story = Story()
    story.at(0, DEAD, reached=False)
    assert story.at(301, DEAD, reached=False).rung == "Replace"
    story.at(400, HUNG)
    assert story.at(402, HUNG).rung == "Restart"


def test_nothing_is_done_where_nothing_may_be_done() -> None:
    for why in ({"busy": "it is being changed"}, {"held": "too many"}, {"paused": "it is paused"}):
        story = Story()
        for second in range(0, 3000, 7):
            story.at(second, **why)
        assert story.done == []
        assert story.known is not None
        assert story.known.held in why.values()
    for mode in ("Report", "Off"):
        story = Story(Remediation.model_validate({"mode": mode}))
        for second in range(0, 3000, 7):
            story.at(second)
        assert story.done == []
        assert (story.known is None) == (mode == "Off")


def test_a_pause_lets_what_was_begun_come_to_its_end_and_begins_nothing() -> None:
    story = Story()
    story.at(0)
    begun = story.at(2)
    assert begun.rung == "Restart"
    assert begun.taken is not None
    # The operator was killed before it was done.
    story.known = begun.taken
    again = story.at(60, paused="it is paused")
    assert again.taken == begun.taken
    for second in range(67, 3000, 7):
        story.at(second, paused="it is paused")
    assert story.done == ["Restart"]
    assert story.known.held == "it is paused"
    assert story.at(3000).begins


class World(RuleBasedStateMachine):
    """A host that jobs are done at, an operator that is killed between any two lines, and time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.recorded: RemediationStatus | None = None
        self.fault: Fault | None = None
        self.reached, self.pooled = True, True
        self.busy = self.held = ""
        self.mode = "Repair"
        self.started: dict[str, str] = {}
        """On the host: jobs that were begun, each with its rung."""
        self.told: dict[str, int] = {}
        self.runs: list[str] = []
        self.begun: list[tuple[datetime, str]] = []
        self.allowed = True

    @initialize(most=st.sampled_from(ladder.RUNGS))
    def policy(self, most: str) -> None:
        self.most = most

    @rule(seconds=st.sampled_from([1, 3, 15, 40, 200, 700, 5000]))
    def passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(fault=st.sampled_from([None, HUNG, replace(HUNG, kind="ServiceDown"), DEAD]))
    def happens(self, fault: Fault | None) -> None:
        self.fault = fault
        self.reached = fault is not DEAD

    @rule(
        busy=st.sampled_from(["", "", "it is being changed"]),
        held=st.sampled_from(["", "", "too many"]),
        mode=st.sampled_from(["Repair", "Repair", "Report", "Off"]),
    )
    def is_allowed(self, busy: str, held: str, mode: str) -> None:
        self.busy, self.held, self.mode = busy, held, mode

    @rule(
        dies=st.sampled_from(["", "before it is recorded", "before it is done"]),
        exit_=st.sampled_from([0, 1]),
    )
    def looks(self, dies: str, exit_: int) -> None:
        """A pass of an operator, which may die in it."""
        known = self.recorded
        if known is not None and known.job is not None and known.job.id in self.told:
            job = known.job.model_copy(update={"exit": self.told[known.job.id]})
            known = known.model_copy(update={"job": job})
        policy = Remediation.model_validate({"mode": self.mode, "upTo": self.most})
        given = Situation("u", policy, known, self.fault, self.now)
        given = replace(given, reached=self.reached, pooled=self.pooled)
        given = replace(given, busy=self.busy, held=self.held, boot_id="b")
        found = ladder.decide(given)
        if dies == "before it is recorded":
            return
        self.recorded = found.record
        if found.rung is None:
            free = self.mode == "Repair" and not self.busy and not self.held and self.reached
            if free and self.recorded is not None and self.fault is not None:
                # Nobody sleeps while something can still be tried.
                assert found.after is not None or self.recorded.rung == "Replace"
            return
        assert self.mode == "Repair"
        assert not self.busy
        assert self.fault is not None
        assert ladder.RUNGS.index(found.rung) <= ladder.RUNGS.index(policy.up_to)
        if found.begins:
            assert not self.held
            self.begun.append((self.now, found.rung))
        self.recorded = found.taken
        if dies or found.taken is None or found.taken.job is None:
            return
        assert self.reached
        ident = found.taken.job.id
        if ident not in self.started:
            self.started[ident] = found.rung
            self.runs.append(ident)
        self.told[ident] = exit_

    @invariant()
    def nothing_is_done_twice(self) -> None:
        assert len(self.runs) == len(set(self.runs))
        # And no more was done on the host than was recorded before.
        asked = [rung for _, rung in self.begun if rung != "Replace"]
        assert len(self.runs) <= len(asked)

    @invariant()
    def attempts_have_time_between_them(self) -> None:
        for (first, before), (second, after) in pairwise(self.begun):
            if "Replace" not in (before, after):
                assert second - first >= timedelta(seconds=1)

    @invariant()
    def reboots_are_rare(self) -> None:
        times = [at for at, rung in self.begun if rung == "Reboot"]
        assert all(b - a >= timedelta(minutes=10) for a, b in pairwise(times))

    @invariant()
    def the_status_stays_small(self) -> None:
        assert self.recorded is None or len(self.recorded.history) <= 8


TestWorld = World.TestCase
TestWorld.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
