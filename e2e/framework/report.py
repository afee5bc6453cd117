"""What a scenario shows: steps with their times, and its figures as the last line."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console

from e2e.framework.follow import TooLate
from e2e.lab.errors import LabError
from kok.kube.errors import KubeError

T = TypeVar("T")


def run_to_end(work: Coroutine[Any, Any, T]) -> T:
    """Runs a demo, scenarios or benchmarks; what a person can mend ends them with a sentence.

    A failure of what they assert keeps its traceback, which tells where.
    """
    try:
        return asyncio.run(work)
    except (LabError, TooLate, KubeError) as error:
        sys.stderr.write(f"\n{error}\n")
        raise SystemExit(1) from None


class Report:
    """Prints steps as they happen and keeps their durations in seconds."""

    def __init__(self, console: Console | None = None) -> None:
        """Starts the clock."""
        self.console = console or Console(highlight=False, soft_wrap=True)
        self.figures: dict[str, float | int | str] = {}
        self._start = time.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._start

    def line(self, text: str) -> None:
        """One line with the time since the start."""
        self.console.print(f"[dim]{self.elapsed:7.1f} s[/dim]  ", end="")
        self.console.print(text, markup=False)

    def title(self, text: str) -> None:
        """A heading."""
        self.console.print(f"\n[bold]{text}[/bold]")

    def text(self, text: str) -> None:
        """A block as it is."""
        self.console.print(text.rstrip(), markup=False)

    @contextmanager
    def step(self, what: str, figure: str | None = None) -> Iterator[None]:
        """Announces a step and tells how long it took; keeps it as a figure if named."""
        self.line(f"{what} ...")
        begin = time.monotonic()
        try:
            yield
        except BaseException:
            self.line(f"{what}: FAILED after {time.monotonic() - begin:.1f} s")
            raise
        took = time.monotonic() - begin
        if figure is not None:
            self.figures[figure] = round(took, 1)
        self.line(f"{what}: {took:.1f} s")

    def last_line(self, name: str) -> None:
        """The figures, as JSON on one line."""
        figures = {"scenario": name, **self.figures, "total_s": round(self.elapsed, 1)}
        print(json.dumps(figures), flush=True)
