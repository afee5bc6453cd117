"""The way through a pass: what is written before anything is done, and who speaks last."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.unit.runtime.widgets import PATH, Bench, Scripted, Widget

from kok.runtime.controller.errors import Invalid, TimedOut, Wait
from kok.runtime.controller.reconciler import Pass, Result
from kok.runtime.controller.staged import Staged


@dataclass
class Found:
    """What acting found out."""

    made: list[str] = field(default_factory=list)


class Stages(Staged[Widget, int, str, Found]):
    """Makes parts, one after the other, and fails where it is told to."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.raises: Exception | None = None
        self.stored: Any = None
        self.ended: Exception | None = None

    async def observe(self, p: Pass[Widget]) -> int:
        return p.obj.spec.size

    def decide(self, p: Pass[Widget], view: int) -> str:
        return "grow" if view > 1 else "rest"

    def record(self, p: Pass[Widget], view: int, decision: str) -> bool:
        p.status.size = view
        return decision == "grow"

    def outcome(self, view: int, decision: str) -> Found:
        return Found()

    async def act(self, p: Pass[Widget], view: int, decision: str, outcome: Found) -> float | None:
        self.stored = self.bench.status.get("size")
        self.told = self.bench.status.get("conditions") or []
        outcome.made.append("one")
        if self.raises is not None:
            raise self.raises
        outcome.made.append("two")
        return 3.0 if decision == "grow" else None

    async def look(self, p: Pass[Widget], view: int, decision: str, outcome: Found) -> float | None:
        if self.raises is not None:
            raise self.raises
        outcome.made.append("seen")
        return 5.0 if view > 2 else None

    def conditions(
        self, p: Pass[Widget], view: int, decision: str, outcome: Found, ended: Exception | None
    ) -> None:
        p.set_condition("Made", len(outcome.made) == 2, decision.title(), ",".join(outcome.made))
        self.ended = ended
        if ended is None:
            p.set_condition("Ready", True, "Fine")

    def rest(self, p: Pass[Widget], view: int, decision: str, outcome: Found) -> float | None:
        return 7.0


@pytest.fixture
def stages(bench: Bench) -> Stages:
    made = Stages(bench)

    async def act(p: Pass[Widget]) -> Result:
        return await made.reconcile(p)

    reconciler = bench.reconciler
    assert isinstance(reconciler, Scripted)
    reconciler.act = act
    return made


def said(bench: Bench, type_: str) -> str:
    (one,) = [c for c in bench.status["conditions"] if c["type"] == type_]
    return f"{one['status']} {one['reason']}: {one['message']}"


async def test_what_must_not_be_forgotten_is_stored_before_anything_is_done(
    bench: Bench, stages: Stages
) -> None:
    bench.put(spec={"size": 2})

    assert (await bench.run()).after == 3.0
    assert stages.stored == 2


@pytest.mark.parametrize("early", [False, True])
async def test_what_is_under_way_is_told_of_at_once_where_that_is_true_then(
    bench: Bench, stages: Stages, early: bool
) -> None:
    bench.put(spec={"size": 2})
    stages.tells_early = early  # type: ignore[misc]

    await bench.run()

    assert [c["type"] for c in stages.told] == (["Made", "Ready"] if early else [])
    assert said(bench, "Made") == "True Grow: one,two", "and at the end once more"


async def test_what_may_be_forgotten_costs_no_write_of_its_own(
    bench: Bench, stages: Stages
) -> None:
    bench.put()

    assert (await bench.run()).after == 7.0
    assert stages.stored is None
    assert bench.status["size"] == 1


@pytest.mark.parametrize(
    ("error", "ready"),
    [
        (Wait("NotYet", "waits"), "False NotYet: waits"),
        (Invalid("Wrong", "is wrong"), "False Wrong: is wrong"),
        (
            OSError("broke"),
            "False InternalError: unexpected OSError; the operator's log tells more",
        ),
    ],
)
async def test_conditions_tell_how_far_it_came_however_it_ends(
    bench: Bench, stages: Stages, error: Exception, ready: str
) -> None:
    bench.put()
    stages.raises = error

    await bench.run()

    assert said(bench, "Made") == "False Rest: one"
    assert said(bench, "Ready") == ready


async def test_a_paused_object_is_seen_and_judged_and_left_as_it_is(
    bench: Bench, stages: Stages
) -> None:
    bench.put(spec={"size": 2, "paused": True})

    assert (await bench.run()).after == 7.0
    assert stages.stored is None, "nothing was done"
    assert said(bench, "Made") == "False Grow: seen"
    assert bench.api.objects[PATH]["status"]["size"] == 2


async def test_what_is_asked_while_paused_may_end_the_pass_as_acting_may(
    bench: Bench, stages: Stages
) -> None:
    bench.put(spec={"size": 3, "paused": True})
    assert (await bench.run()).after == 5.0

    stages.raises = Invalid("Wrong", "is wrong")
    await bench.run()

    assert said(bench, "Ready") == "False Wrong: is wrong"


async def test_a_pass_that_was_given_up_is_not_judged_as_one_that_went_through(
    bench: Bench, stages: Stages
) -> None:
    bench.put()
    hanging = asyncio.Event()

    async def hang(*_: Any) -> float | None:
        hanging.set()
        await asyncio.Event().wait()
        return None

    stages.act = hang  # type: ignore[method-assign]
    task = asyncio.create_task(bench.run())
    await hanging.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

    assert isinstance(stages.ended, TimedOut)
