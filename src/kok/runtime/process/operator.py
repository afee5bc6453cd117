"""One operator within the process: it waits for its Lease, works, and gives the Lease back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import NoReturn

import structlog

from kok.kube.client import Kube
from kok.kube.errors import KubeError
from kok.kube.events import Event, Recorder
from kok.kube.http.access import Access
from kok.runtime import metrics
from kok.runtime.clock import Clock
from kok.runtime.controller.loop import Controller
from kok.runtime.controller.passes import Passes, Tools
from kok.runtime.controller.reconciler import Logger, OperatorSpec
from kok.runtime.fairness.slots import FairSlots
from kok.runtime.kopf.app import Kopf
from kok.runtime.kopf.served_kinds import guard_watched, until_served
from kok.runtime.process.election import Elector
from kok.runtime.process.health import Health
from kok.runtime.settings import Settings

EXIT_LEASE_LOST = 3
PATIENCE = 2.0
"""Seconds after which a pass that has not ended evidently waits for somebody's server."""


@dataclass(frozen=True, slots=True)
class ProcessContext:
    """What the operators of one process share."""

    settings: Settings
    access: Access
    clock: Clock
    health: Health
    identity: str
    stop: asyncio.Event
    started: Callable[[], None]
    """Called whenever kopf has started, which takes the process's signal handlers."""
    die: Callable[[int], NoReturn]
    """Ends the process at once."""


class RunningOperator:
    """One operator's life in this process."""

    def __init__(self, spec: OperatorSpec, around: ProcessContext) -> None:
        self.spec = spec
        self._around = around
        self._log: Logger = structlog.stdlib.get_logger("kok.process").bind(operator=spec.name)

    async def run(self) -> None:
        """Returns once `stop` is set and all is put in order; raises if kopf gives up."""
        around, name = self._around, self.spec.name
        around.health.waiting[name] = "the API server"
        kube = Kube(
            around.access,
            field_manager=self.spec.field_manager,
            timeout=around.settings.kube_timeout,
            observer=self._count,
        )
        elector = self._elector(kube)
        electing = asyncio.create_task(elector.run(), name=f"elector {name}")
        electing.add_done_callback(self._on_election_end)
        try:
            if not await self._unless_stopped(_set(elector.settled)):
                return
            if not elector.leading.is_set():
                # A process that stands by is as ready as it can be.
                around.health.waiting.pop(name, None)
            if await self._unless_stopped(_set(elector.leading)):
                await self._lead(kube)
        finally:
            electing.cancel()
            await asyncio.gather(electing, return_exceptions=True)
            await elector.release()
            await kube.close()

    async def _lead(self, kube: Kube) -> None:
        spec, around = self.spec, self._around
        controllers = self._controllers(kube)
        app = Kopf(spec, controllers, around.access)
        waiting = until_served(kube, app.kinds, around.clock, self._tell)
        if not await self._unless_stopped(waiting):
            return
        if spec.on_start is not None:
            await spec.on_start(kube, around.settings)
        around.health.pending[spec.name] = lambda: max(
            (c.pending() for c in controllers), default=0.0
        )
        try:
            await self._run(app, kube)
        finally:
            if spec.on_stop is not None:
                await spec.on_stop(kube, around.settings)
        if not around.stop.is_set():
            raise RuntimeError(f"kopf ended by itself in the {spec.name} operator")

    async def _run(self, app: Kopf, kube: Kube) -> None:
        around, name = self._around, self.spec.name
        self._tell("the start of the watches")
        ready = asyncio.Event()
        namespaces, stop = around.settings.namespaces, around.stop
        guard = guard_watched(kube, app.kinds, app.watched, around.clock)
        running = [
            asyncio.create_task(
                app.run(namespaces=namespaces, stop=stop, ready=ready), name=f"kopf {name}"
            ),
            asyncio.create_task(guard, name=f"guard {name}"),
        ]
        readying = asyncio.create_task(self._when_ready(ready), name=f"ready {name}")
        try:
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            stop.set() if running[1].done() else running[1].cancel()
            await asyncio.wait(running)
        finally:
            for task in (readying, *running):
                task.cancel()
        for task in running:
            if not task.cancelled():
                task.result()

    async def _when_ready(self, ready: asyncio.Event) -> None:
        await ready.wait()
        self._around.health.waiting.pop(self.spec.name, None)
        self._around.started()

    def _tell(self, what: str) -> None:
        """Says what is waited for, in the readiness probe and, once, in the log."""
        waiting = self._around.health.waiting
        if waiting.get(self.spec.name) != what:
            waiting[self.spec.name] = what
            self._log.info("waiting", what=what)

    async def _unless_stopped(self, waiting: Coroutine[None, None, None]) -> bool:
        """Whether that came to its end; False if the process is to stop before."""
        task = asyncio.create_task(waiting)
        stopping = asyncio.create_task(self._around.stop.wait())
        try:
            await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                return False
            task.result()
            return not self._around.stop.is_set()
        finally:
            task.cancel()
            stopping.cancel()

    def _controllers(self, kube: Kube) -> list[Controller]:
        around = self._around
        tools = Tools(
            operator=self.spec.name,
            finalizer=self.spec.finalizer,
            kube=kube,
            recorder=Recorder(
                kube, f"kok-{self.spec.name}-operator", around.clock.now, lost=self._event_lost
            ),
            clock=around.clock,
            settings=around.settings,
        )
        slots = FairSlots(around.settings.passes, grace=PATIENCE)
        return [
            Controller(r.model.info.kind, Passes(r, tools), tools, slots=slots)
            for r in self.spec.reconcilers
        ]

    def _elector(self, kube: Kube) -> Elector:
        around, settings = self._around, self._around.settings
        return Elector(
            kube,
            f"kok-{self.spec.name}-operator",
            settings.lease_namespace,
            around.identity,
            clock=around.clock,
            duration=settings.lease_duration,
            renew=settings.lease_renew,
            log=self._log,
            on_leading=lambda leads: metrics.LEADER.labels(self.spec.name).set(leads),
        )

    def _on_election_end(self, electing: asyncio.Task[None]) -> None:
        if electing.cancelled():
            return
        # Whatever ended the election: without it nobody says that we may still act.
        self._log.error("no longer leading, leaving at once", error=str(electing.exception()))
        self._around.die(EXIT_LEASE_LOST)

    def _count(self, method: str, status: int) -> None:
        metrics.REQUESTS.labels(self.spec.name, method, str(status)).inc()

    def _event_lost(self, event: Event, error: KubeError) -> None:
        metrics.EVENTS_LOST.labels(self.spec.name).inc()
        self._log.warning("event not written", reason=event.reason, error=str(error))


async def _set(event: asyncio.Event) -> None:
    await event.wait()
