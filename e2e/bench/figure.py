"""One figure: several values, a target, and the line that shows it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured, with every value of the run; `target` is an upper bound."""

    name: str
    values: tuple[float, ...]
    unit: str
    target: float | None = None
    note: str = ""

    @property
    def value(self) -> float:
        """The median, which is what counts against the target."""
        return statistics.median(self.values)

    @property
    def spread(self) -> str:
        """Smallest and largest value, and how many there are."""
        return f"{_short(min(self.values))}-{_short(max(self.values))} (n={len(self.values)})"

    @property
    def verdict(self) -> str:
        """`pass` or `miss`; `-` where there is no target."""
        if self.target is None:
            return "-"
        return "pass" if self.value <= self.target else "miss"

    def line(self) -> str:
        """`name value unit target pass|miss`."""
        target = "-" if self.target is None else _short(self.target)
        return f"{self.name} {_short(self.value)} {self.unit} {target} {self.verdict}"


def figure(
    name: str,
    values: Sequence[float] | float,
    unit: str,
    target: float | None = None,
    note: str = "",
) -> Figure:
    """A figure of one or more values."""
    many = (values,) if isinstance(values, int | float) else tuple(values)
    return Figure(name, tuple(float(v) for v in many), unit, target, note)


def _short(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:.2f}"
