"""`kok etcd-worker <command>`: one command, one report, an exit code."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pydantic import BaseModel, ValidationError

from kok.backup import log
from kok.backup import spec as specs
from kok.backup.errors import WorkerError
from kok.backup.paths import WorkerPaths
from kok.backup.reasons import Reason
from kok.backup.report import Failure, Report
from kok.runtime.redact import redact_text

_SENTENCE = 1024
"""Bytes of a failure's message at most."""
_COMMANDS: dict[specs.Command, tuple[type[BaseModel], str]] = {
    "backup": (specs.BackupSpec, "backup"),
    "fetch": (specs.FetchSpec, "fetch"),
    "check": (specs.CheckSpec, "check"),
    "remove": (specs.RemoveSpec, "remove"),
    "list": (specs.ListSpec, "listing"),
}
"""The model of each command's spec, and where its result stands in the report."""


def run(command: specs.Command) -> int:
    """Carries a command out as the environment says; returns the exit code."""
    paths = WorkerPaths.from_environment()
    text = os.environ.get(specs.SPEC_VARIABLE, "")
    report = asyncio.run(_until_told(perform(command, text, paths)))
    failure = report.failure
    if failure is None:
        log.info("done", command=command)
    else:
        log.error(failure.message, command=command, reason=failure.reason.value)
    try:
        paths.termination_message.write_text(report.text())
    except OSError as error:
        # By hand, outside of a container, there is no such file.
        log.warning("the report could not be left", error=str(error), report=report.text())
    return 0 if failure is None else 1


async def perform(command: specs.Command, text: str, paths: WorkerPaths) -> Report:
    """The report of a command, whatever comes of it; `text` is its spec in JSON.

    Cancelling it is how it is told to end: what was begun is taken back before it returns.
    """
    model, place = _COMMANDS[command]
    try:
        spec = _parse(model, text)
        result = await _in_time(_act(command)(spec, paths), spec.limits.deadline)
    except WorkerError as error:
        return _failed(error.reason, error.message)
    except asyncio.CancelledError:
        return _failed(Reason.INTERRUPTED, "the worker was told to end before it was through")
    except Exception as error:  # noqa: BLE001 - the report must tell of everything
        log.error("the worker failed", error)
        return _failed(Reason.INTERNAL, f"the worker failed: {type(error).__name__}; see its log")
    return Report.model_validate({place: result})


async def _until_told(act: Coroutine[Any, Any, Report]) -> Report:
    """Cancels `act` when the process is told to end."""
    loop = asyncio.get_running_loop()
    # One stream needs no more threads; each would keep memory of its own.
    loop.set_default_executor(ThreadPoolExecutor(max_workers=1))
    task = asyncio.create_task(act)
    for number in (signal.SIGTERM, signal.SIGINT):
        # A second one must not disturb the taking back.
        loop.add_signal_handler(number, lambda: None if task.cancelling() else task.cancel())
    return await task


def _parse(model: type[BaseModel], text: str) -> Any:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        what = "; ".join(
            f"{'.'.join(str(p) for p in e['loc']) or specs.SPEC_VARIABLE}: {e['msg']}"
            for e in error.errors()[:5]
        )
        raise WorkerError(
            Reason.SPEC_INVALID, f"the worker's specification does not fit: {what}"
        ) from error


async def _in_time(act: Awaitable[BaseModel], deadline: float) -> BaseModel:
    try:
        async with asyncio.timeout(deadline) as limit:
            return await act
    except TimeoutError:
        if not limit.expired():
            raise
        raise WorkerError(
            Reason.DEADLINE_EXCEEDED, f"the command was not through after {deadline:.0f} s"
        ) from None


def _act(command: specs.Command) -> Callable[[Any, WorkerPaths], Awaitable[BaseModel]]:
    # Imported one by one: what talks to etcd costs memory that the others need not pay.
    if command == "backup":
        from kok.backup.commands.backup import backup  # noqa: PLC0415

        return backup
    if command == "fetch":
        from kok.backup.commands.fetch import fetch  # noqa: PLC0415

        return fetch
    if command == "check":
        from kok.backup.commands.check import check  # noqa: PLC0415

        return check
    from kok.backup.commands import catalog  # noqa: PLC0415

    return catalog.remove if command == "remove" else catalog.list_


def _failed(reason: Reason, message: str) -> Report:
    """What others said is a part of many sentences: it is bounded, and cannot break lines."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in redact_text(message)).split())
    if len(clean.encode()) > _SENTENCE:
        clean = clean.encode()[: _SENTENCE - 3].decode(errors="ignore") + "..."
    return Report(failure=Failure(reason=reason, message=clean))
