"""Many Clusters are brought to something in waves: who is next, and when that has to stop. Pure.

A Cluster is begun only after its row says `Upgrading`: whoever comes next finds it there, and goes on
with it if nobody has. No wave begins before all of the one before are through and had their time to
prove themselves.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Generic, TypeVar

from kok.api.cluster.fleetstatus import FleetRow, FleetWaveStatus
from kok.api.cluster.staging import Wave
from kok.api.fields import span
from kok.api.shares import resolved
from kok.operators.cluster import reasons
from kok.operators.cluster.staging.standing import AT_ONCE, Standing, clock, named

W = TypeVar("W", bound=Wave)


class Waves(ABC, Generic[W]):
    """One pass over Clusters that have a plan; a subclass knows what they are brought to."""

    def __init__(
        self,
        specs: Sequence[W],
        rows: Mapping[str, FleetRow],
        waves: Sequence[FleetWaveStatus],
        now: datetime,
    ) -> None:
        """`specs` are the waves in their order, `waves` how far each was when it was recorded."""
        self._now = now
        self._specs = specs
        self._before = dict(rows)
        self._rows = dict(rows)
        self._waves = {one.name: one.model_copy() for one in waves}
        self._members: dict[str, list[str]] = {one.name: [] for one in specs}
        for key, row in self._rows.items():
            self._members.setdefault(row.wave, []).append(key)
        self._looks: list[datetime] = []
        """When something may change of which nobody tells."""
        self._again = False
        """Whether another pass is wanted at once."""
        self._untold: list[str] = []
        """Clusters whose time is over, and of which it is not known how they are."""

    # --- what a subclass knows

    @abstractmethod
    def _held(self, spec: W, wave: FleetWaveStatus) -> Standing | None:
        """Why no further Cluster of a wave is begun; None if one may be."""

    @abstractmethod
    def _looked_at(self, key: str, row: FleetRow) -> FleetRow | None:
        """The row of a Cluster whose turn it is: `Waiting` if it can be begun, or why it is skipped.

        None if that cannot be told now.
        """

    @abstractmethod
    def _begin(self, key: str, row: FleetRow) -> None:
        """A Cluster is begun: its row says so."""

    @abstractmethod
    def _unready(self, key: str, row: FleetRow) -> str | None:
        """Why a Cluster that was through is not what it was then, as a sentence."""

    @abstractmethod
    def _is_untold(self, key: str) -> bool:
        """Whether a Cluster has changed since it was last told whether it is what it is to be.

        What was told before speaks neither for it nor against it.
        """

    @abstractmethod
    def _stopped(self) -> str | None:
        """Why failures let no further Cluster be begun, by `_failures` and `_lost_wave`."""

    def _soaks(self) -> bool:
        """Whether Clusters that are through have time to prove themselves."""
        return True

    def _phase(self) -> str:
        """The word for a wave that is under way."""
        return "Upgrading"

    # --- waves

    def _walk(self) -> tuple[str | None, Standing | None]:
        """The wave that is not through yet, and how it stands; neither at the end of all."""
        for at, spec in enumerate(self._specs):
            wave = self._waves.setdefault(spec.name, FleetWaveStatus(name=spec.name))
            members = self._members[spec.name]
            if self._got_through(members) and not self._is_begun(self._specs[at + 1 :]):
                # While it had failed there was nothing that could prove itself.
                wave.done = wave.soaked = None
            if any(self._rows[key].state in {"Waiting", "Upgrading"} for key in members):
                return spec.name, self._go_on(spec, wave)
            if wave.done is None:
                wave.done = self._now.replace(microsecond=0)
            if wave.soaked is None:
                soaking = self._soak(spec, wave)
                if soaking is not None:
                    return spec.name, soaking
                wave.soaked = self._now.replace(microsecond=0)
        return None, None

    def _got_through(self, members: Sequence[str]) -> bool:
        """Whether one that had failed was found to be through after all just now."""
        return any(
            self._before[key].state == "Failed" and self._rows[key].state == "Done"
            for key in members
        )

    def _is_begun(self, specs: Sequence[W]) -> bool:
        """Whether one of these waves is."""
        found = (self._waves.get(spec.name) for spec in specs)
        return any(wave is not None and wave.begun is not None for wave in found)

    def _soak(self, spec: W, wave: FleetWaveStatus) -> Standing | None:
        """How it stands while a wave has to prove itself; None once it has."""
        done = [key for key in self._members[spec.name] if self._rows[key].state == "Done"]
        time = span(spec.soak)
        if not done or not time or not self._soaks() or wave.done is None:
            return None
        end = wave.done + time
        if self._now < end:
            self._looks.append(end)
            text = f"wave {spec.name} proves itself until {clock(end)}"
            return Standing("Soaking", reasons.SOAKING, text)
        self._untold = [key for key in done if self._is_untold(key)]
        for key in done:
            why = self._unready(key, self._rows[key]) if key not in self._untold else None
            if why is not None:
                self._rows[key] = self._rows[key].turned(
                    "Failed", self._now, reasons.NOT_READY_AFTER, why
                )
        if not self._untold:
            return None
        text = (
            f"wave {spec.name} has had its time, and it is waited until it is told how "
            f"{named(self._untold)} is since its last change"
        )
        return Standing("Soaking", reasons.SOAKING, text)

    def _go_on(self, spec: W, wave: FleetWaveStatus) -> Standing:
        """Begins as many of a wave as may be now; how it stands."""
        members = self._members[spec.name]
        waiting = [key for key in members if self._rows[key].state == "Waiting"]
        if waiting:
            held = self._held(spec, wave)
            if held is not None:
                return held
            self._begin_next(spec, wave, waiting)
        states = [self._rows[key].state for key in members]
        if "Waiting" not in states and "Upgrading" not in states:
            self._again = True
        return Standing(
            self._phase(),
            reasons.WAVE_UNDER_WAY,
            f"wave {spec.name}: {states.count('Upgrading')} under way, {states.count('Waiting')} "
            f"waiting, {states.count('Done')} done, {states.count('Failed')} failed",
        )

    def _begin_next(self, spec: W, wave: FleetWaveStatus, waiting: list[str]) -> None:
        for row, key in self._next(spec, wave, waiting):
            turned = row.turned("Upgrading", self._now)
            self._rows[key] = turned
            self._begin(key, turned)
            if wave.begun is None:
                wave.begun = turned.since

    def _next(
        self, spec: W, wave: FleetWaveStatus, waiting: list[str]
    ) -> list[tuple[FleetRow, str]]:
        """Those whose turn it is; none if what is skipped makes the failures too large a share."""
        free = resolved(spec.max_parallel, wave.clusters) - self._count("Upgrading")
        taken: list[tuple[FleetRow, str]] = []
        for key in waiting:
            if len(taken) >= free:
                break
            row = self._looked_at(key, self._rows[key])
            if row is None:
                self._again = True
            elif row.state == "Waiting":
                taken.append((row, key))
            else:
                self._rows[key] = row
        if self._stopped() is not None:
            self._again = True
            return []
        return taken

    # --- what follows from all of it

    def _count(self, state: str) -> int:
        return sum(row.state == state for row in self._rows.values())

    def _failures(self) -> tuple[int, int]:
        """Clusters that failed, and all that are in a wave and not skipped."""
        planned = [r for r in self._rows.values() if r.wave and r.state != "Skipped"]
        return sum(row.state == "Failed" for row in planned), len(planned)

    def _lost_wave(self) -> str | None:
        """A wave of which no Cluster got through."""
        for name, members in self._members.items():
            states = {self._rows[key].state for key in members} - {"Skipped"}
            if name and states == {"Failed"}:
                return name
        return None

    def _look(self) -> float | None:
        if self._again:
            return AT_ONCE
        coming = [(look - self._now).total_seconds() for look in self._looks]
        return max(1.0, min(coming) + 1.0) if coming else None
