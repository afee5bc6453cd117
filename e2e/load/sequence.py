"""Numbers that have to come one after the other, and times at which something has to happen. Pure."""

from __future__ import annotations

from datetime import datetime

NAMED = 10


class Numbers:
    """What one watcher saw of numbers of which each is the one before and one more."""

    def __init__(self, last: int | None = None) -> None:
        """`last` was seen already; None: whatever comes first is the first."""
        self.last = last
        self.seen = 0
        self.lost = 0
        self.doubled = 0
        self.named: list[str] = []
        """The first gaps and repetitions."""

    def see(self, number: int) -> None:
        """The next one that came."""
        self.seen += 1
        if self.last is None or number == self.last + 1:
            self.last = number
        elif number <= self.last:
            self.doubled += 1
            self._name(f"{number} after {self.last}")
        else:
            self.lost += number - self.last - 1
            self._name(f"{number} after {self.last}")
            self.last = number

    def find(self, number: int) -> None:
        """What is there now, from a list: what led to it was not seen."""
        if self.last is not None and number > self.last:
            self.lost += number - self.last
            self._name(f"{number} was found after {self.last}")
        self.last = number

    def missing(self, latest: int) -> int:
        """How many are still to come, up to the latest that there is."""
        return max(0, latest - (self.last or 0))

    def _name(self, what: str) -> None:
        if len(self.named) < NAMED:
            self.named.append(what)


class Gaps:
    """The longest time between two signs of life."""

    def __init__(self) -> None:
        self._longest = 0.0
        self.last: float | None = None

    def see(self, at: float) -> None:
        """A sign of life, in seconds of any clock; one that is older than the last is none."""
        if self.last is not None:
            self._longest = max(self._longest, at - self.last)
        self.last = at if self.last is None else max(self.last, at)

    def longest(self, now: float) -> float:
        """Up to now, of the same clock."""
        return max(self._longest, now - self.last if self.last is not None else 0.0)

    def lap(self, now: float) -> float:
        """The longest time so far; what comes later is looked at anew."""
        longest, self._longest = self.longest(now), 0.0
        return longest


class Leader:
    """What a Lease tells of a leader: how long it was not renewed, and how often another took over."""

    def __init__(self) -> None:
        self.gaps = Gaps()
        self.holders = 0
        self._holder: str | None = None

    def see(self, holder: str, renewed: str) -> None:
        """The Lease as it is; a leader that gives it back leaves no holder."""
        if holder and holder != self._holder:
            self._holder = holder
            self.holders += 1
        if holder:
            self.gaps.see(datetime.fromisoformat(renewed).timestamp())
