"""What is observed for a FleetUpgrade, and what is decided: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from kok.api.cluster.contract import ClusterContract
from kok.api.cluster.fleetstatus import FleetReport, FleetRow, FleetWaveStatus, FleetWindowStatus
from kok.operators.cluster import reasons
from kok.operators.cluster.staging.standing import Standing
from kok.runtime.controller.errors import Invalid, Wait

NOTHING_SELECTED = (
    "no Cluster is selected: see spec.selector and spec.namespaces, and create another FleetUpgrade"
)


@dataclass(frozen=True, slots=True)
class FleetView:
    """What was observed."""

    clusters: Mapping[str, ClusterContract] = field(default_factory=dict)
    """By `namespace/name`, wherever they may be selected."""
    stale: frozenset[str] = frozenset()
    """Those that have changed since they were read: nothing is said of them."""
    refused: Invalid | None = None
    """Why it may not select where it wants to."""


@dataclass(frozen=True, slots=True)
class Raise:
    """One Cluster that is to be raised."""

    key: str
    to: str
    at: datetime
    """When that was recorded: whoever raises it once more after a kill says the same."""


@dataclass(frozen=True, slots=True)
class FleetDecision:
    """What is to be done now."""

    standing: Standing
    planning: Literal["Plan", "Retry"] | None = None
    """Whether Clusters are to be chosen first, and nothing else."""
    stop: Wait | Invalid | None = None
    """Why nothing can be planned."""
    rows: Mapping[str, FleetRow] | None = None
    """The table as it is now; None if nothing is to be recorded."""
    waves: tuple[FleetWaveStatus, ...] = ()
    wave: str | None = None
    window: FleetWindowStatus | None = None
    """The window as it is now; it is recorded in any case."""
    raises: tuple[Raise, ...] = ()
    stopped: str = ""
    """Why no further Cluster is raised because of failures."""
    late: tuple[str, ...] = ()
    """Clusters that were selected only after the plan was made."""
    took: Mapping[str, float] = field(default_factory=dict)
    """Seconds that those took which were found to be through just now."""
    report: FleetReport | None = None
    awaited: tuple[str, ...] = ()
    """Clusters that are not under way, and of which a change may have it go on."""
    look: float | None = None
    """Seconds until something may change of which nobody tells."""

    @property
    def refused(self) -> str | None:
        """The reason why it cannot begin or go on before somebody mends what it asks for."""
        if self.stop is not None:
            return self.stop.reason
        return self.standing.reason if self.standing.reason == reasons.WINDOW_INVALID else None


_ENDED = {
    "Completed": ("Completed", reasons.FLEET_COMPLETED),
    "CompletedWithFailures": ("Completed", reasons.FLEET_FAILURES),
    "Aborted": ("Aborted", reasons.ABORTED),
    "DryRun": ("DryRun", reasons.DRY_RUN),
    "NothingUpgraded": ("Completed", reasons.NOTHING_UPGRADED),
    "NothingSelected": ("Completed", reasons.NOTHING_SELECTED),
}


def standing_of(report: FleetReport) -> Standing:
    """How one is that has ended."""
    phase, reason = _ENDED[report.result]
    return Standing(phase, reason, report.summary, ready=report.result in {"Completed", "DryRun"})
