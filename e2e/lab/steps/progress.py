"""How a run is shown: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table

from e2e.lab.steps.estimate import Estimate, told
from e2e.lab.steps.graph import Clock, Step

# A longer silence makes people wonder whether it hangs.
SILENCE = 15.0
# Steps that only saw that all is well would bury the others.
QUICK = 0.25


class Plain:
    """A line when a step ends, and one about what runs whenever nothing was said for a while."""

    def __init__(self, say: Callable[[str], None], clock: Clock = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._begin = clock()
        self._spoke = self._begin
        self._running: dict[str, tuple[float, Step]] = {}
        self._estimate = Estimate({}, clock)

    def planned(self, steps: Mapping[str, Step]) -> None:
        self._estimate = Estimate(steps, self._clock)

    def started(self, step: Step) -> None:
        self._running[step.name] = (self._clock(), step)
        self._estimate.started(step)

    def finished(self, step: Step, took: float) -> None:
        self._running.pop(step.name, None)
        self._estimate.finished(step)
        if took >= QUICK:
            self._line(f"{step.name}: done in {took:.1f} s")

    def failed(self, step: Step, error: BaseException) -> None:
        self._running.pop(step.name, None)
        self._line(f"{step.name}: failed: {type(error).__name__}")

    def tick(self) -> None:
        """Called every second or so; speaks when it is time to."""
        now = self._clock()
        if self._running and now - self._spoke >= SILENCE:
            times = (
                f"{name} ({', '.join(filter(None, (f'{now - since:.0f} s', step.detail())))})"
                for name, (since, step) in self._running.items()
            )
            self._line(f"still at: {', '.join(times)}{told(self._estimate.left())}")

    def _line(self, text: str) -> None:
        self._spoke = self._clock()
        self._say(f"[{self._spoke - self._begin:6.1f} s] {text}")


class Rich:
    """What runs, with times, below the list of what is done."""

    def __init__(self, console: Console, clock: Clock = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._begin = clock()
        self._running: dict[str, tuple[float, Spinner, Step]] = {}
        self._estimate = Estimate({}, clock)
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=8)

    def __enter__(self) -> Rich:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._running.clear()
        self._live.stop()

    def planned(self, steps: Mapping[str, Step]) -> None:
        self._estimate = Estimate(steps, self._clock)

    def started(self, step: Step) -> None:
        self._running[step.name] = (self._clock(), Spinner("dots"), step)
        self._estimate.started(step)

    def finished(self, step: Step, took: float) -> None:
        self._running.pop(step.name, None)
        self._estimate.finished(step)
        if took >= QUICK:
            at = self._clock() - self._begin
            self._console.print(f"[green]✓[/] {step.name} [dim]{took:.1f} s, at {at:.0f} s[/]")

    def failed(self, step: Step, error: BaseException) -> None:
        self._running.pop(step.name, None)
        self._console.print(f"[red]✗[/] {step.name} [dim]{type(error).__name__}[/]")

    def _render(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        for name, (since, spinner, step) in self._running.items():
            taken = f"{self._clock() - since:.0f} s"
            table.add_row(
                spinner, name, f"[dim]{' '.join(filter(None, (taken, step.detail())))}[/]"
            )
        if left := told(self._estimate.left()):
            table.add_row("", f"[dim]{left.removeprefix(', ')}[/]", "")
        return Group(table)


@contextlib.asynccontextmanager
async def reporter(console: Console) -> AsyncIterator[Plain | Rich]:
    """The reporter that suits the console."""
    if console.is_terminal:
        with Rich(console) as rich:
            yield rich
        return
    plain = Plain(lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True))

    async def tick() -> None:
        while True:
            await asyncio.sleep(1)
            plain.tick()

    ticking = asyncio.create_task(tick())
    try:
        yield plain
    finally:
        ticking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticking
