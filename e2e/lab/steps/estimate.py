"""How long a run still takes: the longest way through the steps that are not done.

What a step takes is known from a quiet machine of two cores. How much faster or slower this one is
shows in what it has done so far, so that the first minutes say least.
"""

from __future__ import annotations

from collections.abc import Mapping

from e2e.lab.steps.graph import Clock, Step

TOLD_FROM = 20.0
"""Seconds of which nothing is said: what is left is over before anybody has read it."""
_ENOUGH = 30.0
"""Seconds of known work after which this machine's pace is believed."""


class Estimate:
    """Follows one run of a graph."""

    def __init__(self, steps: Mapping[str, Step], clock: Clock) -> None:
        self._steps = steps
        self._clock = clock
        self._running: dict[str, float] = {}
        self._done: set[str] = set()
        self._expected = self._took = 0.0

    def started(self, step: Step) -> None:
        self._running[step.name] = self._clock()

    def finished(self, step: Step) -> None:
        begun = self._running.pop(step.name)
        self._done.add(step.name)
        if step.expected:
            self._expected += step.expected
            self._took += self._clock() - begun

    def left(self) -> float:
        """Seconds until the last step is done, by all that is known; 0 if nothing is."""
        pace = self._took / self._expected if self._expected >= _ENOUGH else 1.0
        longest: dict[str, float] = {}
        for name, step in self._steps.items():  # each stands behind what it needs
            before = max((longest[need] for need in step.needs), default=0.0)
            longest[name] = 0.0 if name in self._done else before + self._rest(step, pace)
        return max(longest.values(), default=0.0)

    def _rest(self, step: Step, pace: float) -> float:
        begun = self._running.get(step.name)
        gone = self._clock() - begun if begun is not None else 0.0
        return max(0.0, step.expected * pace - gone)


def told(seconds: float) -> str:
    """Such as ``, about 12 min to go``; empty for what is soon over or not known."""
    if seconds < TOLD_FROM:
        return ""
    if seconds < 90:
        return f", about {round(seconds, -1):.0f} s to go"
    return f", about {seconds / 60:.0f} min to go"
