"""Work of tenants aside: fair, and not done again in vain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import kok.operators
from kok.runtime.clock import FakeClock, settle
from kok.runtime.sandbox.pool import HONEST, PROBATION, REST, Outcomes, SandboxPool
from kok.runtime.sandbox.process import Limits, TooMuch, Unfinished


class Bench:
    """Sandboxes whose work ends when a test says so."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.sandboxes = SandboxPool(run=self.run, clock=self.clock)
        self.begun: list[str] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.outcomes: dict[str, asyncio.Future[str]] = {}

    async def run(self, _function: Callable[[Any], Any], argument: Any, _limits: Limits) -> str:
        """See `run_limited`."""
        self.begun.append(argument)
        return await self.outcomes.setdefault(argument, asyncio.get_running_loop().create_future())

    async def ask(self, *work: str) -> None:
        """Pieces of work, each of the namespace before its slash."""
        for one in work:
            namespace = one.partition("/")[0]
            job = self.sandboxes.run(namespace, str, one, digest=one)
            self.tasks.append(asyncio.create_task(job))
        await settle()

    async def end(self, work: str, error: Exception | None = None) -> None:
        """Ends one."""
        coming = self.outcomes.pop(work)
        coming.set_exception(error) if error else coming.set_result(work)
        await settle()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """Sandboxes."""
    one = Bench()
    yield one
    for task in one.tasks:
        task.cancel()
    await asyncio.gather(*one.tasks, return_exceptions=True)


async def test_one_namespace_has_one_process_at_a_time(bench: Bench) -> None:
    await bench.ask("a/1", "a/2", "a/3", "b/1")
    assert bench.begun == ["a/1", "b/1"]
    await bench.ask("c/1")
    await bench.end("a/1")
    assert bench.begun[-1] == "c/1", "whoever holds none comes first"
    assert bench.tasks[0].result() == "a/1"


async def test_what_took_too_much_is_not_tried_again(bench: Bench) -> None:
    await bench.ask("a/1", "a/1")
    await bench.end("a/1", TooMuch("took longer than 5 s"))
    for task in bench.tasks:
        with pytest.raises(TooMuch, match="took longer than 5 s"):
            task.result()
    await bench.ask("a/1")
    assert bench.begun == ["a/1"]
    await bench.ask("a/2")
    assert bench.begun == ["a/1", "a/2"], "what changed is"


async def test_what_was_only_interrupted_is_tried_again(bench: Bench) -> None:
    await bench.ask("a/1")
    await bench.end("a/1", Unfinished("ended with -9"))
    await bench.ask("a/1")
    assert bench.begun == ["a/1", "a/1"]
    assert isinstance(bench.tasks[0].exception(), Unfinished)


async def test_whose_work_took_too_much_waits_for_his_like_only(bench: Bench) -> None:
    bad = [f"bad{n}/1" for n in range(5)]
    for one in bad:
        await bench.ask(one)
        await bench.end(one, TooMuch("took longer than 5 s"))
        assert isinstance(bench.tasks[-1].exception(), TooMuch)
    bench.begun.clear()
    await bench.ask(*[f"bad{n}/2" for n in range(5)])
    assert bench.begun == ["bad0/2"]
    await bench.ask("good/1", "fine/1")
    assert bench.begun == ["bad0/2", "good/1", "fine/1"]
    await bench.clock.advance(PROBATION)
    await bench.end("good/1")
    await bench.ask("bad4/3")
    assert bench.begun[-1] == "bad4/3", "not for ever"


async def test_heavy_work_leaves_most_of_the_processor_to_others(bench: Bench) -> None:
    for turn in range(2):
        await bench.ask(f"bad{turn}/1")
        await bench.clock.advance(5.0)
        await bench.end(f"bad{turn}/1", TooMuch("took longer than 5 s"))
    bench.begun.clear()
    await bench.ask("bad0/2", "bad1/2", "good/1")
    assert bench.begun == ["good/1"], "whoever did nothing bad does not rest"
    await bench.clock.advance(5.0 * REST)
    assert bench.begun == ["good/1", "bad0/2"]


@pytest.mark.parametrize(("cpu", "suspected"), [(HONEST / 2, False), (HONEST * 2, True)])
async def test_a_busy_machine_is_nobodys_fault(bench: Bench, cpu: float, suspected: bool) -> None:
    await bench.ask("a/1")
    await bench.clock.advance(60.0)
    await bench.end("a/1", Unfinished("was given up after 60 s", cpu))
    bench.begun.clear()
    await bench.ask("a/2")
    assert bench.begun == ([] if suspected else ["a/2"])


async def test_a_result_is_made_once(bench: Bench) -> None:
    await bench.ask("a/1")
    await bench.end("a/1")
    await bench.ask("a/1")
    assert bench.tasks[1].result() == "a/1"
    assert bench.begun == ["a/1"]


def test_who_has_much_remembered_pushes_out_his_own() -> None:
    outcomes = Outcomes(room=5000)
    outcomes.keep(("quiet", "1"), good=True, text='"kept"')
    for number in range(100):
        outcomes.keep(("loud", str(number)), good=True, text="x" * 1000)
    assert outcomes.find(("quiet", "1")) == (True, '"kept"')
    assert outcomes.find(("loud", "0")) is None
    assert outcomes.find(("loud", "99")) is not None


def test_an_operator_has_one_pool_of_sandboxes() -> None:
    """Of several each would have its own processes, and its own memory beside the operator's."""
    for operator in ("cluster", "machine"):
        package = Path(kok.operators.__path__[0]) / operator
        text = "".join(file.read_text() for file in package.rglob("*.py"))
        assert text.count("SandboxPool()") == 1
