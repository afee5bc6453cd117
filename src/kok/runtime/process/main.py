"""The process: probes, signals and an orderly end for one or more operators."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import CoroutineType
from typing import Any, NoReturn

import structlog

from kok.kube.http.access import Access
from kok.runtime.clock import Clock, SystemClock
from kok.runtime.controller.reconciler import Logger, OperatorSpec
from kok.runtime.kopf.isolation import kopf
from kok.runtime.process import health as health_
from kok.runtime.process import logs
from kok.runtime.process.election import new_identity
from kok.runtime.process.health import Health
from kok.runtime.process.operator import ProcessContext, RunningOperator
from kok.runtime.process.resolver import ProcessLoop, shorten_lookups
from kok.runtime.settings import Settings

STOP_LIMIT = 25.0
"""Seconds for an orderly end; Kubernetes kills after 30."""
COLLECT_AFTER = 10_000
"""Objects that are made and not gone; Python's 700 cost ten times as much and save 2 MiB."""
KOPF = str(Path(kopf.__file__).parent)
"""Where kopf's own code lies."""
OPEN_FILES = 65_536
"""A connection each for hosts and business clusters; some container runtimes allow 1,024 at first."""


def run(operators: Sequence[OperatorSpec], settings: Settings, access: Access) -> None:
    """Runs the operators until SIGTERM or SIGINT; leaves the process if a Lease is lost.

    `access` is their identity in the meta cluster. Raises `SystemExit` for whatever goes wrong.
    """
    logs.configure(settings)
    process = Process(operators, settings, access)
    shorten_lookups()
    allow_open_files()
    # Garbage collections, in which nothing else goes on, took a tenth of the processor time. What was
    # imported stays for ever and is not walked; and most of what passes make is gone by itself before it
    # is worth while to look for more.
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
    try:
        with asyncio.Runner(loop_factory=ProcessLoop) as runner:
            runner.run(process.main())
    except Exception:  # noqa: BLE001 - nothing is swallowed, the process ends
        # A line like all others: whoever reads the log as JSON is not to meet a bare traceback.
        structlog.stdlib.get_logger("kok.process").exception("the process ends")
        raise SystemExit(1) from None


def allow_open_files(most: int = OPEN_FILES) -> None:
    """As many as are wanted and the system lets a process give itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Process:
    """The operators of one process."""

    def __init__(
        self,
        operators: Sequence[OperatorSpec],
        settings: Settings,
        access: Access,
        *,
        clock: Clock | None = None,
        die: Callable[[int], NoReturn] = os._exit,
    ) -> None:
        """`die` ends the process at once: after a lost Lease no further act is allowed."""
        self._operators = operators
        self._log: Logger = structlog.stdlib.get_logger("kok.process")
        self.stop = asyncio.Event()
        self.health = Health(settings)
        self.port = 0
        """Port of the probes, once they are up."""
        self._around = ProcessContext(
            settings=settings,
            access=access,
            clock=clock or SystemClock(),
            health=self.health,
            identity=new_identity(settings.identity),
            stop=self.stop,
            started=self._catch_signals,
            die=die,
        )

    async def main(self) -> None:
        """Runs until `stop` is set, by a signal or from outside; raises what an operator raised."""
        self._catch_signals()
        async with AsyncExitStack() as stack:
            runner, self.port = await health_.serve(self.health)
            stack.push_async_callback(runner.cleanup)
            watcher = asyncio.create_task(self.health.watch_loop(), name="loop watcher")
            stack.callback(watcher.cancel)
            units = [RunningOperator(spec, self._around) for spec in self._operators]
            tasks = [asyncio.create_task(u.run(), name=f"operator {u.spec.name}") for u in units]
            stopping = asyncio.create_task(self.stop.wait(), name="stop")
            await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
            self.stop.set()
            self._log.info("stopping")
            stack.enter_context(logs.hushed("kopf"))
            asyncio.get_running_loop().set_exception_handler(leaving)
            done, late = await asyncio.wait(tasks, timeout=STOP_LIMIT)
            for task in late:
                self._log.warning("cut off", task=task.get_name())
                task.cancel()
            for task in done:
                task.result()

    def _catch_signals(self) -> None:
        # kopf installs handlers of its own at its start, each operator in place of the others';
        # ours stop them all, and are put back whenever one has started.
        loop = asyncio.get_running_loop()
        with suppress(NotImplementedError, ValueError, RuntimeError):
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self.stop.set)


def leaving(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What the loop complains of while the process ends, without what kopf leaves behind.

    It leaves its watch streams to the loop, which closes each of them and the generators it stands
    in side by side, so that they may trip over one another; and the requests of a look around the
    API that was broken off, which fail when their session closes. Nothing is lost by either.
    """
    if "asyncgen" not in context and not _of_kopf(context.get("future")):
        loop.default_exception_handler(context)


def _of_kopf(future: object) -> bool:
    coroutine = future.get_coro() if isinstance(future, asyncio.Task) else None
    return isinstance(coroutine, CoroutineType) and coroutine.cr_code.co_filename.startswith(KOPF)
