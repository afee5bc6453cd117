"""One pass over one object: read, reconcile, write the status, tell of transitions."""

from __future__ import annotations

import asyncio
import secrets
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from kok.api.meta import Manifest, Resource
from kok.api.unreadable import Unreadable
from kok.kube.budget.limits import memory_of
from kok.kube.budget.pass_memory import PassMemory, PassMemoryExceeded
from kok.kube.client import Kube
from kok.kube.decoding.truncation import ANYTHING, FREE_FORM, sentence, truncated_paths
from kok.kube.errors import Conflict, KubeError, NotFound
from kok.kube.events import Recorder
from kok.runtime import metrics
from kok.runtime.clock import Clock
from kok.runtime.controller.errors import Invalid, NoRoom, ReconcileStop, TimedOut
from kok.runtime.controller.outcome import (
    PATIENCE,
    Outcome,
    classify,
    conclude,
    mark_deleting,
    mark_paused,
    ready_event,
)
from kok.runtime.controller.reasons import TOO_MANY_VALUES, UNREADABLE
from kok.runtime.controller.reconciler import Done, Key, Logger, Pass, Reconciler, Result, guarded
from kok.runtime.controller.status import StatusWriter
from kok.runtime.fairness.memory import SPAN, MemoryTurns
from kok.runtime.fairness.slots import GaveWay
from kok.runtime.settings import Settings

Step = Callable[[Pass[Any]], Awaitable[Result | Done]]

_GIST = 2000
"""Characters of an error that tell whether it was logged already."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What all passes of an operator share."""

    operator: str
    finalizer: str
    kube: Kube
    recorder: Recorder
    clock: Clock
    settings: Settings
    memory_turns: MemoryTurns = field(default_factory=MemoryTurns)


class Passes:
    """Carries out passes for one reconciler; nothing but cancellation ever escapes."""

    def __init__(self, reconciler: Reconciler[Any], tools: Tools) -> None:
        self._reconciler = reconciler
        self._tools = tools
        self._kind = reconciler.model.info.kind
        self._labels = (tools.operator, self._kind.kind)
        self._told: dict[Key, str] = {}
        self._uids: dict[Key, str] = {}
        """The objects of which the reconciler may keep something in memory."""
        self.waker: Callable[[Key], None] = lambda _key: None
        """Wakes an object; set by whoever runs the passes."""
        self._log: Logger = structlog.stdlib.get_logger("kok").bind(
            operator=tools.operator, kind=self._kind.kind
        )

    async def reconcile(self, key: Key, failures: int) -> Outcome:
        """One pass; `failures` is the number of errors in a row before it."""
        return await self._one(key, failures, deleting=False)

    async def finalize(self, key: Key, failures: int) -> Outcome:
        """One pass of clean-up; ends `done` or `gone` when the object may go."""
        return await self._one(key, failures, deleting=True)

    def forget(self, key: Key, uid: str | None = None) -> None:
        """What had the key at the last pass is gone, however it went; only if its UID is `uid`."""
        self._told.pop(key, None)
        known = self._uids.get(key)
        if known is not None and uid in {None, known}:
            del self._uids[key]
            self._tools.memory_turns.forget((self._kind.kind, key))
            self._reconciler.forget(key, known)

    async def _one(self, key: Key, failures: int, *, deleting: bool) -> Outcome:
        namespace, name = key
        log = self._log.bind(namespace=namespace, name=name, reconcile=secrets.token_hex(4))
        clock = self._tools.clock
        begun = clock.monotonic()
        try:
            outcome = await self._in_its_turn(key, failures, log, deleting=deleting)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Not we were cancelled, but something a library waited for within this pass.
            outcome = Outcome("error", error=RuntimeError(f"cancelled from within: {error}"))
        except Exception as error:  # noqa: BLE001 - an object's daemon must outlive any error
            outcome = Outcome("error", error=error)
        metrics.PASS_SECONDS.labels(*self._labels).observe(clock.monotonic() - begun)
        self._account(key, outcome, failures, log)
        # The next one may be long in coming, and nothing of this one is to be kept until then.
        return outcome.kept()

    async def _in_its_turn(
        self, key: Key, failures: int, log: Logger, *, deleting: bool
    ) -> Outcome:
        """The pass when there is room for what it holds; begun anew if that is more than thought.

        It holds most before it does anything, and what it did it finds done.
        """
        memory_turns, owner = self._tools.memory_turns, (self._kind.kind, key)
        while True:
            try:
                async with memory_turns.one(owner) as memory:
                    return await self._read_and_run(key, failures, log, memory, deleting=deleting)
            except PassMemoryExceeded:
                memory_turns.grew(owner)
            except GaveWay:
                # Nobody else can say so in the object.
                stop = NoRoom(SPAN)
                return await self._read_and_run(key, failures, log, stop, deleting=deleting)

    async def _read_and_run(
        self, key: Key, failures: int, log: Logger, room: PassMemory | NoRoom, *, deleting: bool
    ) -> Outcome:
        live = await self._read(key, room)
        uid = str(live["metadata"]["uid"]) if live is not None else ""
        if self._uids.get(key) != uid:
            self.forget(key)
        if live is None:
            return Outcome("gone")
        model, unreadable = self._reconciler.model, None
        try:
            obj = model.parse(live)
        except Unreadable as error:
            obj, unreadable = model.bare(live), error
        if self._tools.finalizer not in obj.metadata.finalizers:
            # Without it a deletion would not wait for our clean-up: nothing may be made yet.
            if deleting:
                self.forget(key)
            return Outcome("gone" if deleting else "idle")
        if deleting and not obj.deleting:
            # Another object of that name: the one to be cleaned up is gone.
            return Outcome("gone")
        if obj.deleting and not deleting:
            return Outcome("idle", generation=obj.metadata.generation)
        step = self._step(live, unreadable, deleting=deleting)
        self._uids[key] = uid
        outcome = await self._run(obj, step, failures, log, room)
        if outcome.end in {"gone", "done"}:
            self.forget(key)
        return outcome

    async def _read(self, key: Key, room: PassMemory | NoRoom) -> Manifest | None:
        namespace, name = key
        live = await self._tools.kube.get(self._kind, name, namespace, unread=ANYTHING)
        if live is not None and isinstance(room, PassMemory) and not room.final:
            # As large as it may be: with all the room there is it counts for nothing.
            room.add(memory_of(live), name)
        return live

    def _step(self, live: Manifest, unreadable: Unreadable | None, *, deleting: bool) -> Step:
        """What is done with the object; if nothing can be, its author is told why."""
        # A clean-up needs nothing of what an author may write at will.
        gone = truncated_paths(live, FREE_FORM if deleting else ())
        if gone:
            return partial(_refused, TOO_MANY_VALUES, sentence(gone))
        if unreadable is not None:
            return partial(_refused, UNREADABLE, self._word(unreadable, deleting=deleting))
        return self._reconciler.finalize if deleting else self._reconciler.reconcile

    def _word(self, unreadable: Unreadable, *, deleting: bool) -> str:
        """What its author is told, who alone can mend it."""
        if not deleting:
            return unreadable.message
        return (
            f"{unreadable.message}; the deletion then goes on by itself. To have it go as it is, "
            f"with nothing cleaned up, take {self._tools.finalizer} out of its finalizers"
        )

    async def _run(
        self, obj: Resource, step: Step, failures: int, log: Logger, room: PassMemory | NoRoom
    ) -> Outcome:
        tools, generation = self._tools, obj.metadata.generation
        writer = StatusWriter(tools.kube, obj, metrics.STATUS_WRITES.labels(*self._labels).inc)
        paused = bool(getattr(obj.spec, "paused", False))
        memory = room if isinstance(room, PassMemory) else None
        if isinstance(room, NoRoom):
            step = partial(_stopped, room)
        work: Pass[Any] = Pass(
            obj=obj,
            status=writer.status,
            kube=(guarded(tools.kube) if paused else tools.kube).apart(memory),
            clock=tools.clock,
            now=tools.clock.now(),
            log=log,
            settings=tools.settings,
            paused=paused,
            latching=writer.latch,
            wake=partial(self.waker, (obj.namespace, obj.name)),
        )
        error: Exception | None = None
        after: float | None = None
        quiet = 0.0
        try:
            result = await self._in_time(step(work))
            if isinstance(result, Done):
                # Last words: the object goes with this pass.
                for event in work.events:
                    await tools.recorder.record(obj, event)
                return Outcome("done", generation=generation)
            waits = [*work.kube.postponed, result.requeue_after]
            after = min((w for w in waits if w is not None), default=None)
            quiet = result.quiet
        except PassMemoryExceeded:
            raise
        except Exception as raised:  # noqa: BLE001 - becomes a condition, a log line and back-off
            error = raised
            after = getattr(raised, "after", None) or getattr(raised, "retry_after", None)
            if _passing(raised, failures):
                # Something changed under our hands: look again, and record nothing before.
                return Outcome("error", error=error, generation=generation)
        ended = Outcome("ok", after, error, generation, quiet=quiet)
        return await self._finish(work, writer, ended, failures)

    async def _in_time(self, step: Awaitable[Result | Done]) -> Result | Done:
        limit = self._tools.settings.pass_timeout
        try:
            async with asyncio.timeout(limit) as deadline:
                return await step
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise TimedOut(limit) from error

    async def _finish(
        self, work: Pass[Any], writer: StatusWriter, outcome: Outcome, failures: int
    ) -> Outcome:
        obj, error = work.obj, outcome.error
        now, generation = work.now, obj.metadata.generation
        status = writer.status
        end = classify(error)[0] if error is not None else outcome.end
        spoken = True
        if obj.deleting:
            mark_deleting(status, error, now=now, generation=generation)
        else:
            spoken = conclude(
                status,
                writer.ready_before,
                error,
                failures=failures + 1,
                now=now,
                generation=generation,
            )
        mark_paused(status, work.paused, now=now, generation=generation)
        if spoken:
            status.observed_generation = generation
        try:
            await writer.write(now)
        except NotFound:
            return Outcome("gone")
        told = ready_event(writer.ready_told, writer.ready, end)
        for event in [*work.events, *([told] if told is not None else [])]:
            await self._tools.recorder.record(obj, event)
        return Outcome(end, outcome.after, error, generation, quiet=outcome.quiet)

    def _account(self, key: Key, outcome: Outcome, failures: int, log: Logger) -> None:
        metrics.PASSES.labels(*self._labels, outcome.end).inc()
        error = outcome.error
        if error is None:
            self._told.pop(key, None)
            log.debug("pass ended", end=outcome.end, after=outcome.after)
            return
        _, reason, message = classify(error)
        if outcome.end == "error":
            metrics.PASS_ERRORS.labels(*self._labels, metrics.reason_of(error, reason)).inc()
        gist = f"{type(error).__name__}: {error}"[:_GIST]
        if self._told.get(key) == gist or _passing(error, failures):
            log.debug("pass ended", end=outcome.end, reason=reason)
            return
        self._told[key] = gist
        if outcome.end == "error":
            # Of a pass that hung the traceback tells where.
            expected = (
                isinstance(error, KubeError | ReconcileStop | Unreadable)
                and type(error) is not TimedOut
            )
            trace = None if expected else "".join(traceback.format_exception(error))
            log.error("pass failed", reason=reason, error=gist, traceback=trace)
        else:
            log.info("pass ended", end=outcome.end, reason=reason, message=message)


async def _refused(reason: str, why: str, _work: Pass[Any]) -> Result:
    raise Invalid(reason, why)


async def _stopped(stop: ReconcileStop, _work: Pass[Any]) -> Result:
    raise stop


def _passing(error: Exception, failures: int) -> bool:
    """Whether it is a conflict of the kind that the next pass knows nothing of any more."""
    return isinstance(error, Conflict) and failures < PATIENCE
