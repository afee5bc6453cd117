"""Objects that go: their clean-up, and that nothing is kept of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tests.unit.runtime.widgets import KEY, PATH, Bench, Widget

from kok.runtime.controller.errors import Wait
from kok.runtime.controller.reconciler import DONE, Done, Pass, Result


def ending(*results: Result | Done | Exception) -> Callable[[Pass[Widget]], Awaitable[Any]]:
    """A clean-up that ends so, pass by pass."""
    left = iter(results)

    async def end(_: Pass[Widget]) -> Result | Done:
        result = next(left)
        if isinstance(result, Exception):
            raise result
        return result

    return end


async def test_a_clean_up_tells_what_it_waits_for(bench: Bench) -> None:
    bench.put(deletionTimestamp="2026-01-01T00:00:00Z")
    bench.reconciler.end = ending(Result(1), Wait("Pods", "2 pods still run"), OSError(), DONE)

    assert (await bench.passes.finalize(KEY, 0)).end == "ok"
    assert bench.status["phase"] == "Deleting"
    assert bench.ready == ("False", "Deleting", "being cleaned up")
    assert (await bench.passes.finalize(KEY, 0)).end == "wait"
    assert bench.ready == ("False", "Deleting", "2 pods still run")
    assert (await bench.passes.finalize(KEY, 0)).end == "error"
    assert "OSError" in bench.ready[2]
    assert (await bench.passes.finalize(KEY, 0)).end == "done"


async def test_a_clean_up_of_what_is_gone_is_over(bench: Bench) -> None:
    bench.put()
    assert (await bench.passes.finalize(KEY, 0)).end == "gone", "a namesake is not cleaned up"
    bench.put(deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["other"])
    assert (await bench.passes.finalize(KEY, 0)).end == "gone"
    bench.api.drop(PATH)
    assert (await bench.passes.finalize(KEY, 0)).end == "gone"


async def test_what_went_without_a_clean_up_is_forgotten(bench: Bench) -> None:
    await bench.run()
    await bench.run()
    assert bench.reconciler.forgotten == [], "it is still there"
    bench.put(finalizers=[])
    assert (await bench.run()).end == "idle"
    bench.api.drop(PATH)
    assert (await bench.run()).end == "gone"
    assert bench.reconciler.forgotten == ["u1"]
    await bench.run()
    bench.passes.forget(KEY)
    assert bench.reconciler.forgotten == ["u1"], "once"


async def test_what_goes_under_a_pass_is_forgotten_after_it(bench: Bench) -> None:
    async def act(p: Pass[Widget]) -> None:
        bench.api.drop(PATH)
        p.status.size = 3

    assert (await bench.run(act)).end == "gone"
    assert bench.reconciler.forgotten == ["u1"]


async def test_of_an_object_whose_clean_up_is_done_nothing_is_kept(bench: Bench) -> None:
    await bench.run()
    bench.put(deletionTimestamp="2026-01-01T00:00:00Z")
    bench.reconciler.end = ending(Result(1), DONE)
    await bench.passes.finalize(KEY, 0)
    assert bench.reconciler.forgotten == []
    assert (await bench.passes.finalize(KEY, 0)).end == "done"
    assert bench.reconciler.forgotten == ["u1"]


async def test_an_object_without_its_finalizer_is_forgotten_by_its_clean_up(bench: Bench) -> None:
    await bench.run()
    bench.put(deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["other"])
    assert (await bench.passes.finalize(KEY, 0)).end == "gone"
    assert bench.reconciler.forgotten == ["u1"]


async def test_a_namesake_is_another_object(bench: Bench) -> None:
    await bench.run()
    bench.put(uid="u2")
    known: list[list[str]] = []

    async def act(_: Pass[Widget]) -> None:
        known.append(list(bench.reconciler.forgotten))

    await bench.run(act)
    assert known == [["u1"]], "before its own first pass"
    assert (await bench.passes.finalize(KEY, 0)).end == "gone"
    bench.passes.forget(KEY, "u1")
    assert bench.reconciler.forgotten == ["u1"], "the one that is there is kept"
    bench.passes.forget(KEY, "u2")
    assert bench.reconciler.forgotten == ["u1", "u2"]
