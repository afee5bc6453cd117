"""Slots shared by namespace: no order of arrival, no number of holders keeps others out."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable

from kok.runtime.clock import settle
from kok.runtime.fairness.slots import FairSlots, GaveWay


class Time:
    """Timers that a test lets expire."""

    def __init__(self) -> None:
        self.due: list[Callable[[], None]] = []

    def later(self, _seconds: float, call: Callable[[], None]) -> Time:
        """See `Later`."""
        self.due.append(call)
        return self

    def cancel(self) -> None:
        """Expired timers of holders that are gone do no harm either."""

    def expire(self) -> None:
        """All timers so far."""
        due, self.due = self.due, []
        for call in due:
            call()


class Hall:
    """Who holds a slot, in order of their turns; each until it is let go."""

    def __init__(self, slots: FairSlots) -> None:
        self.slots = slots
        self.turns: list[str] = []
        self.inside: list[tuple[str, asyncio.Event]] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.most = 0

    async def ask(self, *namespaces: str) -> None:
        """Each waits for a slot."""
        self.tasks += [asyncio.create_task(self._hold(n)) for n in namespaces]
        await settle()

    async def _hold(self, namespace: str) -> None:
        async with self.slots.one(namespace):
            self.turns.append(namespace)
            entry = (namespace, asyncio.Event())
            self.inside.append(entry)
            self.most = max(self.most, len(self.inside))
            try:
                await entry[1].wait()
            finally:
                self.inside.remove(entry)

    async def let_go(self, namespace: str) -> None:
        """The one of a namespace that has held for the longest time."""
        next(event for name, event in self.inside if name == namespace).set()
        await settle()

    def held(self) -> Counter[str]:
        """How many slots each namespace holds."""
        return Counter(name for name, _ in self.inside)

    async def close(self) -> None:
        """Cancels all."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_one_namespace_leaves_slots_for_others() -> None:
    hall = Hall(FairSlots(8, share=6))
    await hall.ask(*["loud"] * 50)
    assert hall.held() == {"loud": 6}
    await hall.ask("quiet")
    assert hall.held() == {"loud": 6, "quiet": 1}
    await hall.close()


async def test_a_free_slot_goes_to_who_holds_the_fewest_whoever_came_first() -> None:
    hall = Hall(FairSlots(4, share=3))
    await hall.ask(*["a"] * 9, *["b"] * 9, "c")
    assert hall.held() == {"a": 3, "b": 1}
    await hall.let_go("a")
    assert hall.turns[-1] == "c"
    await hall.let_go("a")
    assert hall.turns[-1] == "a", "all hold one, and its last turn is the longest ago"
    await hall.let_go("a")
    assert hall.held() == {"a": 1, "b": 2, "c": 1}
    await hall.close()


async def test_equals_take_turns() -> None:
    hall = Hall(FairSlots(1))
    await hall.ask(*["a"] * 3, *["b"] * 3, *["c"] * 3)
    for _ in range(8):
        await hall.let_go(hall.turns[-1])
    assert hall.turns == ["a", "b", "c"] * 3
    await hall.close()


async def test_who_only_waits_keeps_nobody_else_from_work() -> None:
    time = Time()
    hall = Hall(FairSlots(4, share=2, grace=2.0, later=time.later))
    for tenant in range(4):
        await hall.ask(*[f"silent-{tenant}"] * 20)
    await hall.ask("quiet")
    assert len(hall.inside) == 4
    for _ in range(3):
        time.expire()
        await settle()
    assert hall.held() == {"quiet": 1, **{f"silent-{n}": 2 for n in range(4)}}
    await hall.let_go("silent-0")
    assert hall.held()["silent-0"] == 2, "its own next one has its turn"
    await hall.close()


async def test_all_holders_together_are_bounded_but_who_has_none_gets_one() -> None:
    time = Time()
    hall = Hall(FairSlots(2, share=4, grace=2.0, ceiling=5, later=time.later))
    await hall.ask(*["silent-1", "silent-2", "silent-3"] * 4)
    for _ in range(9):
        time.expire()
        await settle()
    assert len(hall.inside) == 5
    await hall.ask("quiet", "quiet")
    assert hall.held()["quiet"] == 1, "at once, however many hang"
    assert len(hall.inside) == 6
    await hall.let_go("silent-1")
    assert len(hall.inside) == 5, "no other gets what is beyond the bound"
    await hall.let_go("quiet")
    assert hall.held()["quiet"] == 1
    await hall.close()


async def test_who_holds_for_long_makes_room_for_those_who_wait() -> None:
    time = Time()
    hall = Hall(FairSlots(2, share=1, span=60.0, later=time.later))
    await hall.ask("slow", "busy")
    time.expire()
    await settle()
    assert hall.held() == {"slow": 1, "busy": 1}, "while nobody waits"
    await hall.ask("slow")
    assert hall.turns == ["slow", "busy"], "for its own namespace nobody has to leave"
    await hall.ask("quiet")
    assert hall.held()["quiet"] == 1
    ended = [task.exception() for task in hall.tasks if task.done()]
    assert ended
    assert all(isinstance(error, GaveWay) for error in ended)
    await hall.close()


async def test_nobody_has_to_leave_before_its_time() -> None:
    time = Time()
    hall = Hall(FairSlots(1, span=60.0, later=time.later))
    await hall.ask("working", "quiet")
    assert hall.held() == {"working": 1}
    time.expire()
    await settle()
    assert hall.held() == {"quiet": 1}
    await hall.close()


async def test_whoever_is_cancelled_leaves_its_place_and_its_slot() -> None:
    hall = Hall(FairSlots(1))
    await hall.ask("a", "b", "c")
    hall.tasks[1].cancel()
    await settle()
    hall.tasks[0].cancel()
    await settle()
    assert hall.held() == {"c": 1}
    await hall.let_go("c")
    await hall.ask("a")
    assert hall.held() == {"a": 1}
    assert hall.slots.holds("a")
    assert not hall.slots.holds("b")
    await hall.close()


async def test_a_turn_that_comes_at_the_moment_of_a_cancellation_is_not_lost() -> None:
    hall = Hall(FairSlots(1))
    await hall.ask("a", "b", "c")
    hall.inside[0][1].set()
    await asyncio.sleep(0)
    hall.tasks[1].cancel()
    await settle()
    assert hall.held() == {"c": 1}
    await hall.close()


async def test_nothing_is_ever_lost_or_handed_out_twice() -> None:
    dice = random.Random(7)  # noqa: S311 - the same dice every time
    time = Time()
    slots = FairSlots(3, share=2, grace=1.0, ceiling=9, later=time.later)
    hall = Hall(slots)
    for _ in range(400):
        match dice.randrange(4):
            case 0 | 1:
                await hall.ask(dice.choice("abcd"))
            case 2 if hall.inside:
                await hall.let_go(dice.choice(hall.inside)[0])
            case 3 if hall.tasks:
                dice.choice(hall.tasks).cancel()
                time.expire()
        assert max(hall.held().values(), default=0) <= 2
    for _ in range(len(hall.tasks)):
        if hall.inside:
            await hall.let_go(hall.inside[0][0])
    await settle()
    assert all(task.done() for task in hall.tasks)
    await hall.ask("a", "b", "c", "d")
    assert len(hall.inside) == 3, "after all that there are as many slots as before"
    await hall.close()
