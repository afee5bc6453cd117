"""A graph of steps: each runs as soon as what it needs is done, and a failure stops the rest.

A step looks for itself what of its work is done already, which is what makes a run after a killed
one pick up where that one ended.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from e2e.lab.errors import LabError

Clock = Callable[[], float]


@dataclass(frozen=True)
class Step:
    """One piece of work. ``limit`` in seconds is how long it may take before it is given up.

    ``hint`` says where to look or what to do when it fails. ``expected`` is about how many seconds
    it takes on a quiet machine of two cores, 0 where that is not known or next to nothing.
    ``detail`` tells how far it is while it runs, or nothing.
    """

    name: str
    run: Callable[[], Awaitable[object]]
    needs: tuple[str, ...] = ()
    limit: float = 600.0
    hint: str = ""
    expected: float = 0.0
    detail: Callable[[], str] = str


class Reporter(Protocol):
    """Who tells people how a run goes; ``took`` is in seconds."""

    def planned(self, steps: Mapping[str, Step]) -> None: ...

    def started(self, step: Step) -> None: ...

    def finished(self, step: Step, took: float) -> None: ...

    def failed(self, step: Step, error: BaseException) -> None: ...


class StepError(LabError):
    """A step that failed or hung, in words for a person."""

    def __init__(self, step: Step, reason: str) -> None:
        self.step = step
        hint = f"\n{step.hint}" if step.hint else ""
        super().__init__(
            f"{step.name}: {reason}{hint}\nWhat is done stays done: the same command goes on from here."
        )


@dataclass
class Graph:
    """Steps with their dependencies. Names are unique; a step may need only earlier ones."""

    steps: dict[str, Step] = field(default_factory=dict)

    def add(self, step: Step) -> str:
        """Add a step and return its name.

        That a step can need only what was added before it rules circles out.
        """
        if step.name in self.steps:
            raise ValueError(f"two steps are called {step.name}")
        if unknown := [name for name in step.needs if name not in self.steps]:
            raise ValueError(f"{step.name} needs {', '.join(unknown)}, which is not there yet")
        self.steps[step.name] = step
        return step.name

    async def run(self, reporter: Reporter, clock: Clock = time.monotonic) -> dict[str, float]:
        """Run all steps; seconds that each took. Raises StepError for the first that fails."""
        done = {name: asyncio.Event() for name in self.steps}
        took: dict[str, float] = {}
        reporter.planned(self.steps)

        async def perform(step: Step) -> None:
            await _all(done[name] for name in step.needs)
            started = clock()
            reporter.started(step)
            try:
                async with asyncio.timeout(step.limit):
                    await step.run()
            except TimeoutError as error:
                reporter.failed(step, error)
                reason = str(error) or f"not done after {step.limit:.0f} s"
                raise StepError(step, reason) from error
            except (LabError, OSError, ExceptionGroup) as error:
                cause = _first(error) if isinstance(error, ExceptionGroup) else error
                reporter.failed(step, cause)
                if not isinstance(cause, LabError | OSError):
                    raise
                raise StepError(step, str(cause)) from cause
            took[step.name] = clock() - started
            reporter.finished(step, took[step.name])
            done[step.name].set()

        try:
            async with asyncio.TaskGroup() as group:
                for step in self.steps.values():
                    group.create_task(perform(step), name=step.name)
        except BaseExceptionGroup as errors:
            raise _first(errors) from None
        return took


async def _all(events: Iterable[asyncio.Event]) -> None:
    for event in events:
        await event.wait()


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure to tell: the others follow from it or come at the same moment."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
