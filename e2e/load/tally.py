"""The bookkeeping of the load: what counts as a failure to whoever uses client-go, and what does not. Pure."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

TELLS = 40
"""Failures that are listed, the first ones and the last ones; all are counted."""
MOST_TRIES = 11
"""How often client-go asks a server that tells it to come again."""


def comes_again(status: int, retry_after: float | None) -> bool:
    """Whether client-go asks again without a word to whoever called it."""
    return retry_after is not None and (status == 429 or status >= 500)


@dataclass(slots=True)
class Count:
    """Requests of one kind."""

    times: list[float] = field(default_factory=list)
    """Seconds of those that went well, waits that the server asked for included."""
    failed: int = 0
    waited: int = 0
    """Answers that told to come again."""
    races: int = 0
    """Kept connections that ended under a request which was sent again without harm."""
    torn: int = 0
    """Writes by HTTP/1.1 that were sent while the server ended the connection as idle."""
    held: int = 0
    """Requests that were due behind one that a server had told to come again."""
    skipped: int = 0
    """Requests that were due while too many others were under way: the load was less than it says."""

    def told(self) -> dict[str, Any]:
        """As JSON; times in milliseconds."""
        return {
            "done": len(self.times),
            "failed": self.failed,
            "waited": self.waited,
            "races": self.races,
            "torn": self.torn,
            "held": self.held,
            "skipped": self.skipped,
            "p50_ms": quantile(self.times, 0.5),
            "p99_ms": quantile(self.times, 0.99),
            "max_ms": quantile(self.times, 1.0),
        }


def quantile(times: Sequence[float], share: float) -> float:
    """In milliseconds, the time that so many of all did not exceed; 0 of none."""
    if not times:
        return 0.0
    ordered = sorted(times)
    if share == 0.5:
        return round(1000 * statistics.median(ordered), 1)
    return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 1)


class Tally:
    """What came of all requests since the last lap; times are seconds of one clock."""

    def __init__(self, now: float) -> None:
        """The first lap begins."""
        self._zero = self._began = now
        self._kinds: dict[str, Count] = {}
        self._first: list[dict[str, Any]] = []
        self._latest: deque[dict[str, Any]] = deque(maxlen=TELLS // 2)

    def of(self, kind: str) -> Count:
        """The count of a kind."""
        return self._kinds.setdefault(kind, Count())

    def fail(self, kind: str, now: float, text: str) -> None:
        """A request whose sender has to be told that it failed."""
        self.of(kind).failed += 1
        one = {"at": round(now - self._zero, 2), "kind": kind, "text": text[:300]}
        if len(self._first) < TELLS // 2:
            self._first.append(one)
        else:
            self._latest.append(one)

    def lap(self, now: float) -> dict[str, Any]:
        """Everything since the last one, as JSON; the next one begins."""
        kinds = dict(sorted(self._kinds.items()))
        times = [one for count in kinds.values() for one in count.times]
        told = {
            "seconds": round(now - self._began, 1),
            "done": len(times),
            **{
                name: sum(getattr(count, name) for count in kinds.values())
                for name in ("failed", "waited", "races", "torn", "held", "skipped")
            },
            "p50_ms": quantile(times, 0.5),
            "p99_ms": quantile(times, 0.99),
            "max_ms": quantile(times, 1.0),
            "kinds": {name: count.told() for name, count in kinds.items()},
            "failures": [*self._first, *self._latest],
        }
        self._kinds, self._began = {}, now
        self._first, self._latest = [], deque(maxlen=TELLS // 2)
        return told
