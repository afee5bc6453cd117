"""One pass: what it reads, what it leaves in the status, what it tells."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from aiohttp import web
from tests.unit.fakeapi import refusal
from tests.unit.runtime.widgets import KEY, PATH, Bench, Widget, judging, raising

from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import LONGEST, Conflict
from kok.runtime.controller.errors import Invalid, Wait
from kok.runtime.controller.reconciler import Pass

READY = {
    "type": "Ready",
    "status": "True",
    "reason": "Made",
    "message": "",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}


async def test_what_a_pass_left_for_later_is_looked_at_again(bench: Bench) -> None:
    async def act(p: Pass[Widget]) -> None:
        p.kube.postponed += [90.0, 61.0]

    assert (await bench.run(act)).after == 61.0

    async def nothing(p: Pass[Widget]) -> None:
        assert p.kube.postponed == []

    assert (await bench.run(nothing)).after is None


@pytest.mark.parametrize("error", [Wait("Later", "not yet"), Conflict(409, "Conflict", "changed")])
async def test_what_a_pass_had_in_memory_goes_with_it_however_it_ends(
    bench: Bench, error: Exception
) -> None:
    held: list[weakref.ref[_Large]] = []

    async def act(p: Pass[Widget]) -> None:
        large = _Large()
        held.append(weakref.ref(large))
        try:
            raise ValueError(large)
        except ValueError as cause:
            raise error from cause

    gc.disable()
    try:
        outcome = await bench.run(act)
        assert [one() for one in held] == [None], "kept until the next pass begins"
    finally:
        gc.enable()
    assert outcome.conflict is isinstance(error, Conflict)


async def test_a_sentence_is_cut_however_much_of_others_it_quotes(bench: Bench) -> None:
    for error in (Wait("Later", "x" * 10**6), Invalid("Wrong", "\U0001f600" * 10**6)):
        await bench.run(raising(error))
        assert len(str(error)) <= LONGEST + 10
        assert len(error.message) == LONGEST


class _Large:
    """What a reconciler renders."""


# --- reading


async def test_an_object_that_is_gone_ends_its_care(bench: Bench) -> None:
    bench.api.drop(PATH)
    assert (await bench.run()).end == "gone"
    assert bench.reconciler.passes == []


async def test_nothing_is_done_before_the_finalizer_is_there(bench: Bench) -> None:
    bench.put(finalizers=[])
    assert (await bench.run()).end == "idle"
    assert bench.reconciler.passes == []
    assert bench.api.writes == []


async def test_an_object_on_its_way_out_is_left_to_the_clean_up(bench: Bench) -> None:
    bench.put(deletionTimestamp="2026-01-01T00:00:00Z")
    assert (await bench.run()).end == "idle"
    assert bench.reconciler.passes == []


async def test_a_kind_that_is_not_served_for_a_moment_is_no_deletion(bench: Bench) -> None:
    async def starting(_: web.Request) -> web.StreamResponse:
        return web.Response(status=404, text="404 page not found")

    bench.api.script("GET", "widgets", starting)
    assert (await bench.run()).end == "error"
    assert (await bench.passes.finalize(KEY, 0)).end == "error"


# --- status


async def test_the_status_is_written_once_and_then_not_again(bench: Bench) -> None:
    async def act(p: Pass[Widget]) -> None:
        p.status.size = p.obj.spec.size
        p.set_condition("Ready", True, "Made")

    assert (await bench.run(act)).end == "ok"
    assert bench.status["size"] == 1
    assert bench.status["observedGeneration"] == 1
    assert bench.ready[0] == "True"
    written = len(bench.api.writes)
    await bench.clock.advance(1000)

    await bench.run(act)

    assert len(bench.api.writes) == written


async def test_only_what_changed_is_written(bench: Bench) -> None:
    bench.put(status={"size": 7, "phase": "Old", "ofAnotherVersion": {"x": 1}})
    bodies: list[Any] = []

    async def note(request: web.Request) -> None:
        bodies.append(await request.json())

    bench.api.script("PATCH", "status", note)

    async def act(p: Pass[Widget]) -> None:
        p.status.phase = None

    await bench.run(act)

    (body,) = bodies
    assert body["status"] == {"phase": None, "observedGeneration": 1}
    assert bench.status["ofAnotherVersion"] == {"x": 1}


@pytest.mark.parametrize("latches", [True, False], ids=["latched", "at the end"])
async def test_of_a_status_that_is_refused_ready_alone_tells(bench: Bench, latches: bool) -> None:
    """The condition about it stands in the status that is refused."""
    bench.put(status={"size": 7, "conditions": [{**READY, "type": "Other"}, READY]})

    async def bounded(request: web.Request) -> web.Response | None:
        size = (await request.json())["status"].get("size")
        return None if size is None else refusal(422, "Invalid", "status.size: must be an integer")

    bench.api.script("PATCH", "status", bounded)

    async def act(p: Pass[Widget]) -> None:
        p.status.size = 2**70
        p.set_condition("Other", False, "Another")
        if latches:
            await p.latch()

    assert (await bench.run(act)).end == "error"

    assert bench.ready == (
        "False",
        "StatusRefused",
        "its status cannot be written: status.size: must be an integer",
    )
    assert bench.status["size"] == 7
    assert [c["type"] for c in bench.status["conditions"] if c["status"] == "True"] == ["Other"]
    writes = len(bench.api.writes)
    await bench.run(act)
    assert len(bench.api.writes) == writes + 1 + latches, "nothing but what is refused"


async def test_the_object_given_to_a_pass_keeps_its_status(bench: Bench) -> None:
    async def act(p: Pass[Widget]) -> None:
        p.status.size = 99
        assert p.obj.status.size is None

    assert (await bench.run(act)).end == "ok"


async def test_a_status_is_not_written_to_a_namesake(bench: Bench) -> None:
    async def act(p: Pass[Widget]) -> None:
        p.status.size = 1
        bench.api.drop(PATH)
        bench.put(uid="u2")

    assert (await bench.run(act)).end == "gone"
    assert "size" not in bench.status


async def test_a_status_is_written_although_the_spec_changed_meanwhile(bench: Bench) -> None:
    async def act(p: Pass[Widget]) -> None:
        p.status.size = p.obj.spec.size
        bench.put(generation=2, spec={"size": 2})

    assert (await bench.run(act)).end == "ok"
    assert bench.status["size"] == 1
    assert bench.status["observedGeneration"] == 1


async def test_an_object_that_goes_during_its_pass_is_gone(bench: Bench) -> None:
    async def act(p: Pass[Widget]) -> None:
        bench.api.drop(PATH)

    assert (await bench.run(act)).end == "gone"


# --- latch


async def test_a_latch_is_written_before_the_act(bench: Bench) -> None:
    seen: list[str] = []

    async def act(p: Pass[Widget]) -> None:
        p.status.phase = "Begun"
        await p.latch()
        seen.append(bench.status["phase"])
        p.status.phase = "Done"
        await p.latch()
        seen.append(bench.status["phase"])

    await bench.run(act)
    assert seen == ["Begun", "Done"]


async def test_a_latch_refuses_an_object_that_changed(bench: Bench) -> None:
    acted: list[bool] = []

    async def act(p: Pass[Widget]) -> None:
        bench.put(generation=2)
        p.status.phase = "Begun"
        await p.latch()
        acted.append(True)

    outcome = await bench.run(act)
    assert outcome.conflict
    assert acted == []
    assert "phase" not in bench.status


# --- pause


async def test_a_paused_object_is_not_written_to(bench: Bench) -> None:
    bench.put(spec={"paused": True})

    async def act(p: Pass[Widget]) -> None:
        assert p.paused
        p.set_condition("Ready", True, "Serving")
        assert await p.kube.list(kinds.SECRET, "ns") == []
        await p.kube.create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}})

    outcome = await bench.run(act)
    assert outcome.end == "paused"
    assert bench.ready[:2] == ("True", "Serving")
    assert {c["type"]: c["status"] for c in bench.status["conditions"]} == {
        "Ready": "True",
        "Paused": "True",
    }
    assert not any("secrets" in path for path in bench.api.objects)

    bench.put(spec={"paused": False}, status=bench.status)
    await bench.run(judging(True, "Serving"))
    assert {c["type"] for c in bench.status["conditions"]} == {"Ready"}


async def test_another_clusters_client_is_guarded_too(bench: Bench, kube: Kube) -> None:
    bench.put(spec={"paused": True})

    async def act(p: Pass[Widget]) -> None:
        await p.guarded(kube).delete(kinds.SECRET, "s", "ns")

    assert (await bench.run(act)).end == "paused"


# --- events


async def test_transitions_of_ready_are_told_once(bench: Bench) -> None:
    await bench.run(judging(True, "Serving"))
    await bench.run(judging(True, "Serving"))
    await bench.run(raising(Invalid("Even", "odd, please")))
    await bench.run(judging(True, "Serving"))
    assert bench.events == [("Normal", "Serving"), ("Warning", "Even")]


async def test_events_that_cannot_be_written_do_not_matter(bench: Bench) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return refusal(403, "Forbidden", "no")

    bench.api.script("POST", "events", refuse)

    async def act(p: Pass[Widget]) -> None:
        p.event("Grown", "it grew")

    assert (await bench.run(act)).end == "ok"
