"""The graph of steps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import pytest
from e2e.lab.errors import LabError
from e2e.lab.steps.graph import Graph, Step, StepError
from e2e.lab.steps.progress import Plain


class Journal:
    """Work that notes when it begins and ends, and a reporter that notes what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def work(self, name: str) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            self.lines.append(f"begin {name}")
            await asyncio.sleep(0)
            self.lines.append(f"end {name}")

        return run

    def planned(self, steps: Mapping[str, Step]) -> None:
        pass

    def started(self, step: Step) -> None:
        pass

    def finished(self, step: Step, took: float) -> None:
        self.lines.append(f"finished {step.name}")

    def failed(self, step: Step, error: BaseException) -> None:
        self.lines.append(f"failed {step.name}")


def _graph(journal: Journal, **needs: tuple[str, ...]) -> Graph:
    graph = Graph()
    for name, wanted in needs.items():
        graph.add(Step(name, journal.work(name), wanted))
    return graph


async def test_a_step_waits_for_all_that_it_needs() -> None:
    journal = Journal()
    await _graph(journal, a=(), b=(), c=("a", "b")).run(journal)
    begin = journal.lines.index("begin c")
    assert {"end a", "end b"} <= set(journal.lines[:begin])


async def test_steps_that_need_nothing_of_each_other_run_side_by_side() -> None:
    journal = Journal()
    await _graph(journal, a=(), b=()).run(journal)
    assert journal.lines.index("begin b") < journal.lines.index("end a")


async def test_the_time_of_every_step_is_told() -> None:
    journal = Journal()
    times = iter(range(100))
    took = await _graph(journal, a=(), b=("a",)).run(journal, clock=lambda: float(next(times)))
    assert set(took) == {"a", "b"}
    assert all(seconds > 0 for seconds in took.values())


async def _fail() -> None:
    raise LabError("no space is left")


async def _hang() -> None:
    await asyncio.Event().wait()


async def _fail_in_a_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(_fail())


@pytest.mark.parametrize("failing", [_fail, _fail_in_a_group])
async def test_a_failure_ends_the_run_with_its_reason_and_a_hint(
    failing: Callable[[], Awaitable[None]],
) -> None:
    journal = Journal()
    graph = Graph()
    graph.add(Step("disk", failing, hint="log: /tmp/disk.log"))
    graph.add(Step("long", _hang))
    graph.add(Step("after", journal.work("after"), ("disk",)))
    with pytest.raises(StepError) as caught:
        await graph.run(journal)
    assert "disk: no space is left" in str(caught.value)
    assert "log: /tmp/disk.log" in str(caught.value)
    assert "begin after" not in journal.lines
    assert "failed disk" in journal.lines


async def test_a_step_that_hangs_is_given_up_and_named() -> None:
    graph = Graph()
    graph.add(Step("stuck", _hang, limit=0.01))
    with pytest.raises(StepError, match=r"stuck: not done after 0 s"):
        await graph.run(Journal())


async def test_a_defect_is_no_failure_of_the_lab() -> None:
    async def defect() -> None:
        raise KeyError("oops")

    graph = Graph()
    graph.add(Step("a", defect))
    with pytest.raises(KeyError):
        await graph.run(Journal())


async def test_a_second_run_goes_on_where_the_first_failed() -> None:
    done: list[str] = []
    broken = True

    def build(name: str) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            if name in done:
                return
            if name == "b" and broken:
                raise LabError("not yet")
            done.append(name)

        return run

    graph = Graph()
    graph.add(Step("a", build("a")))
    graph.add(Step("b", build("b"), ("a",)))
    graph.add(Step("c", build("c"), ("b",)))
    with pytest.raises(StepError):
        await graph.run(Journal())
    assert done == ["a"]
    broken = False
    await graph.run(Journal())
    assert done == ["a", "b", "c"]


def test_a_step_cannot_need_what_was_not_added_before() -> None:
    with pytest.raises(ValueError, match="needs b"):
        Graph().add(Step("a", _hang, ("b",)))


def test_two_steps_cannot_have_one_name() -> None:
    graph = Graph()
    graph.add(Step("a", _hang))
    with pytest.raises(ValueError, match="two steps"):
        graph.add(Step("a", _hang))


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_plain_progress_is_never_silent_for_long() -> None:
    lines: list[str] = []
    clock = Clock()
    plain = Plain(lines.append, clock)
    step = Step("build kubernetes", _hang)
    plain.started(step)
    for _ in range(31):
        clock.now += 1.0
        plain.tick()
    plain.finished(step, 31.0)
    assert lines == [
        "[  15.0 s] still at: build kubernetes (15 s)",
        "[  30.0 s] still at: build kubernetes (30 s)",
        "[  31.0 s] build kubernetes: done in 31.0 s",
    ]


def test_plain_progress_tells_how_far_a_step_is() -> None:
    lines: list[str] = []
    clock = Clock()
    plain = Plain(lines.append, clock)
    plain.started(Step("download etcd", _hang, detail=lambda: "3 of 23 MiB"))
    clock.now += 15.0
    plain.tick()
    assert lines == ["[  15.0 s] still at: download etcd (15 s, 3 of 23 MiB)"]


def test_plain_progress_leaves_out_what_took_no_time() -> None:
    lines: list[str] = []
    plain = Plain(lines.append)
    step = Step("network", _hang)
    plain.started(step)
    plain.finished(step, 0.1)
    assert lines == []
