"""One pass: what it reads, what it leaves in the status, what it tells."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs
from tests.unit.fakeapi import FakeApi, refusal
from tests.unit.runtime.widgets import FINALIZER, KEY, PATH, Act, Scripted, Widget, widget

from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.cutting import MOST
from kok.kube.errors import Conflict, KubeError
from kok.kube.events import Recorder
from kok.runtime.clock import FakeClock
from kok.runtime.errors import Invalid, Wait
from kok.runtime.outcome import Outcome
from kok.runtime.passes import Passes, Tools
from kok.runtime.reconciler import DONE, Done, Pass, Result
from kok.runtime.settings import Settings

STAMP = "2026-11-02T12:00:00Z"


class Bench:
    """A Widget in an API server in memory and passes over it."""

    def __init__(self, api: FakeApi, kube: Kube) -> None:
        self.api = api
        self.clock = FakeClock()
        self.reconciler = Scripted()
        self.settings = Settings(pass_timeout=600)
        tools = Tools(
            operator="test",
            finalizer=FINALIZER,
            kube=kube,
            recorder=Recorder(kube, "kok-test", self.clock.now),
            clock=self.clock,
            settings=self.settings,
        )
        self.passes = Passes(self.reconciler, tools)

    def put(self, **changes: Any) -> None:
        """Stores the Widget."""
        self.api.put(PATH, widget(**changes))

    async def run(self, act: Act | None = None, failures: int = 0) -> Outcome:
        """One pass."""
        if act is not None:
            self.reconciler.act = act
        return await self.passes.reconcile(KEY, failures)

    @property
    def status(self) -> dict[str, Any]:
        """The status in the API."""
        status: dict[str, Any] = self.api.objects[PATH]["status"]
        return status

    @property
    def ready(self) -> tuple[str, str, str]:
        """Status, reason and message of `Ready`."""
        (one,) = [c for c in self.status["conditions"] if c["type"] == "Ready"]
        return one["status"], one["reason"], one["message"]

    @property
    def events(self) -> list[tuple[str, str]]:
        """Types and reasons of the events."""
        found = [o for p, o in self.api.objects.items() if "/events/" in p]
        return [(o["type"], o["reason"]) for o in found]


@pytest.fixture
def bench(api: FakeApi, kube: Kube) -> Bench:
    """A stored Widget."""
    one = Bench(api, kube)
    one.put()
    return one


def raising(error: BaseException) -> Act:
    """A reconciler that fails."""

    async def act(_: Pass[Widget]) -> None:
        raise error

    return act


def judging(good: bool, reason: str, error: Exception | None = None) -> Act:
    """A reconciler that sets `Ready` and then perhaps fails."""

    async def act(p: Pass[Widget]) -> None:
        p.set_condition("Ready", good, reason)
        if error is not None:
            raise error

    return act


async def test_what_a_pass_left_for_later_is_looked_at_again(bench: Bench) -> None:
    async def act(p: Pass[Widget]) -> None:
        p.kube.postponed += [90.0, 61.0]

    assert (await bench.run(act)).after == 61.0

    async def nothing(p: Pass[Widget]) -> None:
        assert p.kube.postponed == []

    assert (await bench.run(nothing)).after is None


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


# --- how a pass ends


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
    assert isinstance(outcome.error, Conflict)


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
    assert isinstance(outcome.error, Conflict)
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


# --- clean-up


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


# --- forgetting


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
