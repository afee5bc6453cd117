"""What a writer was promised, and whether the promises were kept. Pure bookkeeping."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

NAMED = 5
"""How many keys a verdict names of each sort; it counts them all."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A write that etcd confirmed: its value, the revision that it was given, when (seconds)."""

    value: str
    revision: int
    at: float


@dataclass(frozen=True, slots=True)
class Found:
    """A key as it was read back: its value, and the revision of its last change."""

    value: str
    revision: int


@dataclass(frozen=True, slots=True)
class Lap:
    """A stretch of time: writes confirmed and failed, and the longest time without a confirmed
    one, in seconds; it counts from the last one before the stretch to its very end."""

    seconds: float
    acknowledged: int
    failed: int
    longest_gap: float
    trouble: str = ""
    """What the last failed write met with."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of all writes.

    `lost` and `altered` are confirmed writes that are not there, or not with their value.
    `backwards` counts confirmed writes whose revision was not above all those confirmed before
    they were sent: time ran backwards. `revision` is the store's at the time of reading, and
    `highest` the highest that was ever confirmed. `lost_from` is the lowest revision that is lost.
    """

    acknowledged: int
    lost: int
    altered: int
    backwards: int
    unconfirmed: int
    """Writes without an answer; they may be there or not."""
    unconfirmed_present: int
    strangers: int
    """Keys below the writer's prefix that it never wrote."""
    highest: int
    revision: int
    lost_from: int | None = None
    names: tuple[str, ...] = ()
    """Some of the keys that are lost or altered."""

    @property
    def kept(self) -> bool:
        """Whether every promise was kept and the revision never went back."""
        broken = self.lost or self.altered or self.backwards or self.strangers
        return not broken and self.revision >= self.highest

    def as_json(self) -> dict[str, Any]:
        """Plain data, for `from_json` on the other side of a pipe."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        """The verdict of which `as_json` made these data."""
        return cls(**{**raw, "names": tuple(raw["names"])})


@dataclass
class Ledger:
    """The writes of one writer. Times are seconds of one monotonic clock."""

    promises: dict[str, Promise] = field(default_factory=dict)
    open: dict[str, str] = field(default_factory=dict)
    """Writes sent and not confirmed, by key."""
    highest: int = 0
    backwards: int = 0
    failed: int = 0
    trouble: str = ""
    _last: float | None = None
    _gap: float = 0.0
    _lap_began: float = 0.0
    _lap_acks: int = 0
    _lap_failed: int = 0

    def send(self, key: str, value: str) -> int:
        """A write is about to be sent; the revision that its own must be above."""
        self.open[key] = value
        return self.highest

    def confirm(self, key: str, revision: int, floor: int, now: float) -> None:
        """A write was confirmed; `floor` is what `send` gave."""
        self.promises[key] = Promise(self.open.pop(key), revision, now)
        if revision <= floor:
            self.backwards += 1
        self.highest = max(self.highest, revision)
        if self._last is not None:
            self._gap = max(self._gap, now - self._last)
        self._last = now
        self._lap_acks += 1

    def fail(self, trouble: str) -> None:
        """A write got no answer, or none that confirms it; it may have happened all the same."""
        self.failed += 1
        self._lap_failed += 1
        self.trouble = trouble

    def lap(self, now: float) -> Lap:
        """What happened since the last lap; the next one begins."""
        since = now - self._last if self._last is not None else now - self._lap_began
        lap = Lap(
            seconds=now - self._lap_began,
            acknowledged=self._lap_acks,
            failed=self._lap_failed,
            longest_gap=max(self._gap, since),
            trouble=self.trouble if self._lap_failed else "",
        )
        self._gap, self._lap_began, self._lap_acks, self._lap_failed = 0.0, now, 0, 0
        return lap

    def begin(self, now: float) -> None:
        """The clock starts."""
        self._lap_began = now

    def judge(self, found: Mapping[str, Found], revision: int) -> Verdict:
        """Compares all promises with what was read, at which revision of the store."""
        lost = [key for key in self.promises if key not in found]
        altered = [
            key
            for key, promise in self.promises.items()
            if key in found and found[key] != Found(promise.value, promise.revision)
        ]
        present = [k for k, value in self.open.items() if k in found and found[k].value == value]
        known = self.promises.keys() | set(present)
        return Verdict(
            acknowledged=len(self.promises),
            lost=len(lost),
            altered=len(altered),
            backwards=self.backwards,
            unconfirmed=len(self.open),
            unconfirmed_present=len(present),
            strangers=len(found.keys() - known),
            highest=self.highest,
            revision=revision,
            lost_from=min((self.promises[key].revision for key in lost), default=None),
            names=(*lost[:NAMED], *altered[:NAMED]),
        )
