"""When passes come: wake-ups, resync, back-off, crowds, clean-up. Time is moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from tests.unit.runtime.widgets import KEY, WIDGET

from kok.kube.budget.cpu_shares import shares
from kok.kube.errors import Conflict
from kok.runtime.clock import FakeClock, settle
from kok.runtime.controller.loop import Controller
from kok.runtime.controller.outcome import Outcome
from kok.runtime.controller.reconciler import Key
from kok.runtime.fairness.slots import FairSlots
from kok.runtime.settings import Settings

ERROR = Outcome("error", error=OSError("lost"), generation=1)
OK = Outcome("ok", generation=1)


@dataclass
class Plan:
    """Passes that end as planned; remembers when they came."""

    clock: FakeClock
    outcomes: list[Outcome] = field(default_factory=list)
    rest: Outcome = OK
    times: list[float] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)
    hold: asyncio.Event | None = None
    running: int = 0
    most: int = 0
    forgotten: list[tuple[Key, str | None]] = field(default_factory=list)

    async def reconcile(self, key: Key, failures: int) -> Outcome:
        """One pass."""
        self.times.append(self.clock.monotonic())
        self.keys.append(key)
        self.running += 1
        self.most = max(self.most, self.running)
        if self.hold is not None:
            await self.hold.wait()
        self.running -= 1
        return self.outcomes.pop(0) if self.outcomes else self.rest

    async def finalize(self, key: Key, failures: int) -> Outcome:
        """One pass of clean-up."""
        return await self.reconcile(key, failures)

    def forget(self, key: Key, uid: str | None = None) -> None:
        """The object is gone."""
        self.forgotten.append((key, uid))


@dataclass(frozen=True)
class FakeTools:
    """What a controller needs of the operator."""

    clock: FakeClock
    settings: Settings
    operator: str = "test"


class Bench:
    """A controller on a clock that stands still."""

    def __init__(self, limit: int = 16) -> None:
        self.clock = FakeClock()
        self.plan = Plan(self.clock)
        tools = FakeTools(self.clock, Settings(resync=300, backoff_min=1, backoff_max=60))
        self.controller = Controller(
            WIDGET,
            self.plan,  # type: ignore[arg-type]
            tools,  # type: ignore[arg-type]
            slots=FairSlots(limit),
            spread=lambda: 0.5,
        )
        self.tasks: list[asyncio.Task[None]] = []

    async def care(self, key: Key = KEY) -> asyncio.Task[None]:
        """Starts to care for an object."""
        self.tasks.append(asyncio.create_task(self.controller.care(key)))
        await settle()
        return self.tasks[-1]

    async def wake(self, key: Key = KEY, *, hard: bool = False) -> None:
        """Wakes an object and lets it act."""
        self.controller.triggers.wake(key, hard=hard)
        await settle()

    @property
    def times(self) -> list[float]:
        """When the passes came."""
        return [round(time, 2) for time in self.plan.times]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """A controller."""
    one = Bench()
    yield one
    for task in one.tasks:
        task.cancel()
    await asyncio.gather(*one.tasks, return_exceptions=True)


async def test_the_first_pass_comes_at_once_and_then_at_the_resync(bench: Bench) -> None:
    await bench.care()
    assert bench.times == [0]
    await bench.clock.advance(299)
    assert bench.times == [0]
    await bench.clock.advance(2)
    assert bench.times == [0, 300]


async def test_a_pass_may_ask_for_the_next(bench: Bench) -> None:
    bench.plan.outcomes = [Outcome("wait", after=7, generation=1)]
    await bench.care()
    await bench.clock.advance(8)
    assert bench.times == [0, 7]


async def test_a_wake_up_brings_a_pass_and_a_burst_brings_one(bench: Bench) -> None:
    await bench.care()
    await bench.clock.advance(10)
    for _ in range(20):
        await bench.wake()
    assert bench.times == [0, 10]
    await bench.clock.advance(0.1)
    assert bench.times == [0, 10, 10.05], "what came during the pass is looked at once more"
    await bench.clock.advance(10)
    assert len(bench.times) == 3


async def test_a_wake_up_during_a_pass_is_not_lost(bench: Bench) -> None:
    bench.plan.hold = asyncio.Event()
    await bench.care()
    assert bench.plan.running == 1
    await bench.wake()
    bench.plan.hold.set()
    bench.plan.hold = None
    await bench.clock.advance(1)
    assert bench.times == [0, 0.05]


async def test_errors_back_off_and_success_resets(bench: Bench) -> None:
    bench.plan.outcomes = [ERROR, ERROR, ERROR, OK, ERROR]
    await bench.care()
    await bench.clock.advance(6.2)
    gaps = [round(b - a, 3) for a, b in zip(bench.plan.times, bench.plan.times[1:], strict=False)]
    assert gaps == [0.875, 1.75, 3.5]
    await bench.wake()
    await bench.clock.advance(0.875)
    assert len(bench.times) == 6, "after the success the first delay is short again"


async def test_the_back_off_has_an_end(bench: Bench) -> None:
    bench.plan.rest = ERROR
    await bench.care()
    await bench.clock.advance(600)
    assert bench.times[-1] - bench.times[-2] == pytest.approx(60 * 0.875)


async def test_children_cannot_hurry_an_object_that_fails(bench: Bench) -> None:
    bench.plan.rest = ERROR
    await bench.care()
    await bench.clock.advance(30)
    count = len(bench.times)
    last = bench.times[-1]
    await bench.wake()
    assert len(bench.times) == count
    await bench.clock.advance(last + 5.1 - bench.clock.monotonic())
    assert len(bench.times) == count + 1, "but the wake-up is not lost either"


async def test_an_object_that_asked_for_quiet_is_woken_by_nobody_else_for_so_long(
    bench: Bench,
) -> None:
    bench.plan.outcomes = [Outcome("ok", generation=1, quiet=5)]
    await bench.care()
    await bench.wake()
    await bench.clock.advance(4)
    await bench.wake()
    assert bench.times == [0]
    await bench.clock.advance(2)
    assert bench.times == [0, 5], "many changes are one, and none is lost"
    bench.plan.outcomes = [Outcome("ok", generation=1, quiet=5)]
    await bench.wake()
    await bench.wake(hard=True)
    assert bench.times == [0, 5, 6, 6], "a change of the object itself does not wait"


async def test_a_changed_object_is_looked_at_at_once_in_spite_of_errors(bench: Bench) -> None:
    bench.plan.rest = ERROR
    await bench.care()
    await bench.clock.advance(30)
    count = len(bench.times)
    bench.plan.rest = Outcome("error", error=OSError("lost"), generation=2)
    await bench.wake(hard=True)
    assert len(bench.times) == count + 1
    await bench.clock.advance(1)
    assert len(bench.times) == count + 2, "a new generation begins with a short delay"


async def test_conflicts_are_tried_again_quickly(bench: Bench) -> None:
    conflict = Outcome("error", error=Conflict(409, "Conflict", "changed"), generation=1).kept()
    bench.plan.outcomes = [conflict, conflict]
    await bench.care()
    await bench.clock.advance(1)
    assert bench.times == [0, 0.2, 0.6]


async def test_care_ends_with_the_object(bench: Bench) -> None:
    bench.plan.outcomes = [Outcome("gone")]
    task = await bench.care()
    assert task.done()
    assert len(bench.controller.triggers) == 0


async def test_a_crowd_at_the_start_is_spread_out() -> None:
    bench = Bench()
    for number in range(200):
        await bench.care(("ns", str(number)))
    at_once = len(bench.plan.times)
    await bench.clock.advance(3)
    assert at_once <= 51
    assert len(bench.plan.times) == 200
    for task in bench.tasks:
        task.cancel()
    await asyncio.gather(*bench.tasks, return_exceptions=True)


async def test_only_so_many_passes_run_at_the_same_time_and_waiting_shows() -> None:
    bench = Bench(limit=2)
    bench.plan.hold = asyncio.Event()
    for number in range(5):
        await bench.care((f"ns-{number}", "w"))
    await bench.clock.advance(30)
    assert bench.plan.most == 2
    assert bench.controller.pending() == 30
    bench.plan.hold.set()
    await settle()
    assert len(bench.plan.times) == 5
    assert bench.plan.most == 2
    assert bench.controller.pending() == 0
    for task in bench.tasks:
        task.cancel()
    await asyncio.gather(*bench.tasks, return_exceptions=True)


async def test_a_namespace_that_hangs_keeps_neither_others_waiting_nor_the_probe() -> None:
    bench = Bench(limit=4)
    bench.plan.hold = asyncio.Event()
    for number in range(40):
        await bench.care(("hangs", str(number)))
    await bench.clock.advance(700)
    assert bench.plan.running == 3
    assert bench.controller.pending() == 0, "it waits for itself: a restart would help nobody"
    begun = bench.clock.monotonic()
    await bench.care(("quiet", "w"))
    assert bench.plan.keys[-1] == ("quiet", "w")
    assert bench.plan.times[-1] == begun
    for task in bench.tasks:
        task.cancel()
    await asyncio.gather(*bench.tasks, return_exceptions=True)


async def test_the_crowd_of_one_namespace_delays_no_other() -> None:
    bench = Bench()
    for number in range(200):
        await bench.care(("crowd", str(number)))
    await bench.care(("quiet", "w"))
    assert bench.plan.keys[-1] == ("quiet", "w")
    for task in bench.tasks:
        task.cancel()
    await asyncio.gather(*bench.tasks, return_exceptions=True)


async def test_one_wake_up_may_be_for_all_of_a_namespace(bench: Bench) -> None:
    for key in (("a", "1"), ("a", "2"), ("b", "1")):
        await bench.care(key)
    await bench.clock.advance(10)
    bench.plan.keys.clear()
    await bench.wake(("a", "*"))
    assert bench.plan.keys == [("a", "1"), ("a", "2")]
    bench.plan.keys.clear()
    await bench.clock.advance(1)
    await bench.wake(("", "*"))
    assert len(bench.plan.keys) == 3


async def test_a_clean_up_goes_on_until_it_is_done(bench: Bench) -> None:
    bench.plan.outcomes = [
        Outcome("ok", generation=1),
        ERROR,
        Outcome("wait", after=60, generation=1),
        Outcome("done", generation=1),
    ]
    task = asyncio.create_task(bench.controller.clean_up(KEY))
    await bench.clock.advance(11)
    assert bench.times == [0, 10, 10.88], "nobody tells of the object: it is looked at by itself"
    await bench.wake()
    await bench.clock.advance(1)
    assert task.done()
    assert len(bench.times) == 4


async def test_the_clean_up_begins_when_the_last_pass_has_ended(bench: Bench) -> None:
    bench.plan.hold = asyncio.Event()
    await bench.care()
    bench.plan.outcomes = [OK, Outcome("done")]
    task = asyncio.create_task(bench.controller.clean_up(KEY))
    await settle()
    assert len(bench.times) == 1
    bench.plan.hold.set()
    await settle()
    assert task.done()
    assert bench.plan.most == 1


async def test_what_is_gone_is_forgotten_though_its_care_is_cancelled(bench: Bench) -> None:
    bench.plan.hold = asyncio.Event()
    care = await bench.care()
    bench.controller.gone(KEY, "u1")
    assert bench.plan.forgotten == [], "its pass may still make something to be forgotten"
    care.cancel()
    await settle()
    assert bench.plan.forgotten == [(KEY, "u1")]


async def test_what_nobody_works_on_is_forgotten_at_once(bench: Bench) -> None:
    care = await bench.care()
    care.cancel()
    await settle()
    assert bench.plan.forgotten == [], "its clean-up may need it"
    bench.controller.gone(KEY, "u1")
    assert bench.plan.forgotten == [(KEY, "u1")]


async def test_a_pass_finds_out_that_the_object_is_gone(bench: Bench) -> None:
    care = await bench.care()
    bench.plan.rest = Outcome("gone")
    bench.controller.gone(KEY, "u1")
    await bench.clock.advance(1)
    assert care.done()
    assert len(bench.times) == 2


async def test_a_clean_up_under_way_forgets_when_it_ends(bench: Bench) -> None:
    care = await bench.care()
    bench.plan.hold = asyncio.Event()
    clean_up = asyncio.create_task(bench.controller.clean_up(KEY))
    await settle()
    bench.controller.gone(KEY, "u1")
    care.cancel()
    await settle()
    assert bench.plan.forgotten == [], "the other one still works on it"
    bench.plan.rest = Outcome("gone")
    bench.plan.hold.set()
    await settle()
    assert clean_up.done()
    assert bench.plan.forgotten == [(KEY, "u1")]


async def test_who_has_kept_the_operator_from_others_rests_and_nobody_else(bench: Bench) -> None:
    shares().owe("bad", 1000)
    shares().worked("good", 0.001)
    await bench.care(("bad", "a"))
    await bench.care(("good", "a"))
    assert bench.plan.keys == [("good", "a")]
    await bench.clock.advance(100)
    # A restart would help nobody.
    assert bench.controller.pending() == 0
