"""What a FleetUpgrade says of itself: the only module that sets its conditions and its phase. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from kok.api.cluster.fleetstatus import FleetDurations, FleetUpgradeStatus
from kok.api.cluster.fleetupgrade import FleetUpgrade
from kok.operators.cluster import reasons
from kok.operators.cluster.fleetupgrade.decision import FleetDecision
from kok.operators.cluster.fleetupgrade.plan import target_of
from kok.operators.cluster.staging.standing import Standing
from kok.runtime.conditions import Verdict, put

SHOWN = 5
"""Clusters that a sentence names at most."""


@dataclass(slots=True)
class FleetOutcome:
    """What acting found out."""

    refused: dict[str, str] = field(default_factory=dict)
    """Clusters that the meta cluster does not let be raised, and why."""
    standing: Standing | None = None
    """How it is after a plan was made."""


def note(status: FleetUpgradeStatus, decision: FleetDecision, now: datetime) -> None:
    """Puts what was decided into the status, as far as it is to be remembered."""
    # Also of one that has no plan: what passes meanwhile is not caught up with.
    status.window = decision.window
    if decision.rows is None:
        return
    rows = dict(decision.rows)
    if rows != status.table():
        status.store(rows)
    status.waves = list(decision.waves) or status.waves
    status.wave = decision.wave
    status.late = len(decision.late)
    _account(status, decision)
    if decision.report is not None:
        status.report = decision.report
        status.ended_at = now.replace(microsecond=0)


def _account(status: FleetUpgradeStatus, decision: FleetDecision) -> None:
    if not decision.took:
        return
    before = status.took or FleetDurations()
    slowest = max(decision.took, key=lambda key: decision.took[key])
    longest = decision.took[slowest]
    if longest <= before.longest:
        slowest, longest = before.slowest, before.longest
    status.took = FleetDurations(
        count=before.count + len(decision.took),
        total=round(before.total + sum(decision.took.values()), 1),
        longest=round(longest, 1),
        slowest=slowest,
    )


def report(
    status: FleetUpgradeStatus,
    fleet: FleetUpgrade,
    decision: FleetDecision,
    found: FleetOutcome,
    *,
    ended: Exception | None,
    now: datetime,
) -> None:
    """Brings all that people see up to date; of an error the runtime tells alone."""
    if found.refused:
        rows = status.table()
        for key, why in found.refused.items():
            rows[key] = rows[key].turned("Failed", now, reasons.RAISE_REFUSED, why)
        status.store(rows)
    status.target = target_of(fleet.spec.target)
    counts = status.counts
    status.summary = f"{counts.done}/{counts.total - counts.skipped}"
    standing = found.standing or decision.standing
    status.phase = standing.phase
    said = _verdicts(decision)
    if ended is None:
        said[reasons.READY] = Verdict(standing.ready, standing.reason, standing.message)
    put(status, said, now=now, generation=fleet.metadata.generation)
    if decision.rows is not None:
        gone = {reasons.STOPPED, reasons.LATE_CLUSTERS} - said.keys()
        status.drop_conditions(gone)


def _verdicts(decision: FleetDecision) -> dict[str, Verdict]:
    said: dict[str, Verdict] = {}
    if decision.stopped:
        said[reasons.STOPPED] = Verdict(True, reasons.FLEET_STOPPED, decision.stopped)
    if decision.late:
        more = len(decision.late) - SHOWN
        named = ", ".join(decision.late[:SHOWN]) + (f" and {more} more" if more > 0 else "")
        said[reasons.LATE_CLUSTERS] = Verdict(
            True,
            reasons.CAME_LATE,
            f"{named} came after the plan was made, and are not upgraded; create another FleetUpgrade "
            "for them when this one has ended",
        )
    return said
