"""How a pass ends, whatever happens in it."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web
from structlog.testing import capture_logs
from tests.unit.runtime.widgets import FINALIZER, KEY, PATH, Bench, Widget, judging, raising

from kok.kube.decoding.truncation import MOST
from kok.kube.errors import Conflict, KubeError
from kok.runtime.controller.errors import Invalid, Wait
from kok.runtime.controller.reconciler import Pass

STAMP = "2026-11-02T12:00:00Z"


async def test_waiting_is_no_error(bench: Bench) -> None:
    outcome = await bench.run(raising(Wait("NoSecret", "Secret x is missing", after=7)))
    assert (outcome.end, outcome.after) == ("wait", 7)
    assert bench.ready == ("False", "NoSecret", "Secret x is missing")


async def test_an_invalid_spec_waits_for_the_resync(bench: Bench) -> None:
    outcome = await bench.run(raising(Invalid("Even", "write an odd size")))
    assert (outcome.end, outcome.after) == ("invalid", None)
    assert bench.ready == ("False", "Even", "write an odd size")


async def test_an_unknown_error_is_shown_without_what_it_says(bench: Bench) -> None:
    outcome = await bench.run(raising(ValueError("token=abcdef")))
    assert outcome.end == "error"
    assert bench.ready[1] == "InternalError"
    assert "ValueError" in bench.ready[2]
    assert "abcdef" not in json.dumps(bench.api.objects)


async def test_a_refusal_of_the_api_is_shown_with_its_reason(bench: Bench) -> None:
    await bench.run(raising(KubeError(403, "Forbidden", "no rights for secrets")))
    assert bench.ready == ("False", "Forbidden", "no rights for secrets")


async def test_a_judgement_of_the_reconciler_stands_while_it_waits(bench: Bench) -> None:
    wait = Wait("RollingOut", "member 2 of 3")
    await bench.run(judging(True, "Serving", wait))
    assert bench.ready[:2] == ("True", "Serving")
    await bench.run(judging(False, "NoQuorum", wait))
    assert bench.ready[:2] == ("False", "NoQuorum")
    await bench.run(judging(False, "NoQuorum", wait))
    assert bench.ready[:2] == ("False", "NoQuorum")


async def test_a_judgement_of_an_earlier_pass_does_not_stand(bench: Bench) -> None:
    await bench.run(judging(True, "Serving"))
    await bench.run(raising(Wait("Gone", "it is gone")))
    assert bench.ready[:2] == ("False", "Gone")


async def test_a_good_judgement_does_not_hide_an_error(bench: Bench) -> None:
    await bench.run(judging(True, "Serving", Invalid("Even", "odd, please")))
    assert bench.ready[:2] == ("False", "Even")


async def test_one_error_is_no_outage_and_speaks_of_no_new_generation(bench: Bench) -> None:
    await bench.run(judging(True, "Serving"))
    bench.put(generation=2, status=bench.status)

    await bench.run(raising(OSError("lost")), failures=0)
    assert bench.ready[:2] == ("True", "Serving")
    assert bench.status["observedGeneration"] == 1

    await bench.run(raising(OSError("lost")), failures=1)
    assert bench.ready[:2] == ("False", "InternalError")
    assert bench.status["observedGeneration"] == 2


async def test_a_conflict_starts_the_pass_again_and_leaves_no_trace(bench: Bench) -> None:
    async def act(p: Pass[Widget]) -> None:
        p.status.phase = "Begun"
        raise Conflict(409, "Conflict", "changed")

    with capture_logs() as logged:
        outcome = await bench.run(act)
    assert outcome.end == "error"
    assert bench.api.writes == []
    assert {line["log_level"] for line in logged} <= {"debug"}
    with capture_logs() as logged:
        await bench.run(act, failures=3)
    assert bench.ready[:2] == ("False", "Conflict")
    assert [line["event"] for line in logged if line["log_level"] == "error"] == ["pass failed"]


async def test_a_pass_that_hangs_is_given_up_and_the_object_says_so(bench: Bench) -> None:
    bench.settings.pass_timeout = 0.01

    async def hang(p: Pass[Widget]) -> None:
        p.status.size = 5
        await asyncio.Event().wait()

    outcome = await bench.run(hang)
    assert outcome.end == "error"
    assert bench.status["size"] == 5
    assert bench.ready[1] == "PassTimedOut"
    assert "given up after 0.01 s" in bench.ready[2]


async def test_a_time_out_within_a_pass_is_an_error_like_others(bench: Bench) -> None:
    await bench.run(raising(TimeoutError("of a library")))
    assert bench.ready[1] == "InternalError"


async def test_a_status_that_cannot_be_written_is_tried_again(bench: Bench) -> None:
    async def change_first(_: web.Request) -> None:
        bench.put()

    bench.api.script("PATCH", "status", change_first)
    outcome = await bench.run(judging(True, "Serving"))
    assert outcome.end == "error", "the next pass comes at once and not at the resync"
    assert outcome.conflict


async def test_a_cancellation_from_within_does_not_end_the_care(bench: Bench) -> None:
    outcome = await bench.run(raising(asyncio.CancelledError("by a library")))
    assert outcome.end == "error"


async def test_a_cancellation_from_outside_ends_it_and_writes_nothing(bench: Bench) -> None:
    begun = asyncio.Event()

    async def hang(p: Pass[Widget]) -> None:
        p.status.size = 5
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(bench.run(hang))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bench.api.writes == []


async def test_of_an_object_that_cannot_be_read_its_author_is_told(bench: Bench) -> None:
    await bench.run()
    known = {"type": "Joined", "status": "True", "reason": "R", "lastTransitionTime": STAMP}
    bench.put(spec={"size": "many"}, status={"conditions": [known, {"type": "Odd"}], "size": 7})
    for _ in range(2):
        assert (await bench.run()).end == "invalid"
    assert bench.ready[:2] == ("False", "Unreadable")
    assert bench.ready[2].startswith("Widget ns/w cannot be read: spec.size: Input should be")
    assert "many" not in bench.ready[2]
    # What was known of it stays, and nothing was done to it.
    assert {"Joined", "Ready"} == {c["type"] for c in bench.status["conditions"]}
    assert bench.status["size"] == 7
    assert ("Warning", "Unreadable") in bench.events
    assert len(bench.reconciler.passes) == 1
    bench.put(spec={"size": 3})
    assert (await bench.run()).end == "ok"


async def test_the_deletion_of_one_that_cannot_be_read_goes_on_once_it_is_corrected(
    bench: Bench,
) -> None:
    bench.put(spec={"size": "many"}, deletionTimestamp=STAMP)
    assert (await bench.passes.finalize(KEY, 0)).end == "invalid"
    assert bench.ready[1] == "Deleting"
    assert "the deletion then goes on by itself" in bench.ready[2]
    assert f"take {FINALIZER} out of its finalizers" in bench.ready[2]
    assert bench.reconciler.passes == []
    bench.put(spec={"size": 3}, deletionTimestamp=STAMP)
    assert (await bench.passes.finalize(KEY, 0)).end == "done"


async def test_that_one_which_it_needs_cannot_be_read_is_said_in_a_sentence(bench: Bench) -> None:
    async def act(_: Pass[Widget]) -> None:
        Widget.parse({"metadata": {"name": "other", "namespace": "ns"}, "spec": {"size": "x"}})

    assert (await bench.run(act)).end == "error"
    assert bench.ready[1] == "Unreadable"
    assert bench.ready[2].startswith("Widget ns/other cannot be read: spec.size")


LARGE = {"x": [0] * MOST}
"""A field that takes anything, with more in it than an operator takes."""


async def test_nothing_is_made_of_an_object_that_was_cut(bench: Bench) -> None:
    bench.put()
    bench.api.objects[PATH]["spec"]["values"] = LARGE
    assert (await bench.run()).end == "invalid"
    assert not bench.reconciler.passes
    status, reason, message = bench.ready
    assert (status, reason) == ("False", "TooManyValues")
    assert message.startswith("spec.values holds too much")
    del bench.api.objects[PATH]["spec"]["values"]
    assert (await bench.run()).end == "ok"
    assert bench.reconciler.passes


async def test_an_object_that_was_cut_can_be_deleted_unless_its_status_was(bench: Bench) -> None:
    bench.put(deletionTimestamp="2026-01-01T00:00:00Z")
    bench.api.objects[PATH]["spec"]["values"] = LARGE
    assert (await bench.passes.finalize(KEY, 0)).end == "done"
    bench.api.objects[PATH]["status"] = {"inventory": LARGE}
    assert (await bench.passes.finalize(KEY, 0)).end == "invalid"
    assert "status.inventory holds too much" in bench.ready[2]
