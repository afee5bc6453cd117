"""What a pass over a FleetUpgrade is to do. Pure: spec, what was recorded, what was seen, and the time."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from kok.api.cluster.fleetstatus import FleetReport
from kok.api.cluster.fleetupgrade import FleetUpgrade
from kok.api.names import ANNOTATION_RETRY
from kok.operators.cluster import reasons
from kok.operators.cluster.fleetupgrade.decision import (
    FleetDecision,
    FleetView,
    standing_of,
)
from kok.operators.cluster.fleetupgrade.plan import missing
from kok.operators.cluster.fleetupgrade.waves import Step
from kok.operators.cluster.fleetupgrade.window import window_of
from kok.operators.cluster.staging.standing import Standing
from kok.runtime.controller.errors import Wait
from kok.versions.knowledge import Releases

UNKNOWN_AGAIN = 300.0
"""Seconds until it is looked again whether what it names is known."""


def is_active(fleet: FleetUpgrade) -> bool:
    """Whether there is anything to be done or followed."""
    return fleet.status.ended_at is None or asked_again(fleet)


def asked_again(fleet: FleetUpgrade) -> bool:
    """Whether what failed or was skipped is to be tried once more."""
    if fleet.status.started_at is None or fleet.spec.abort:
        return False
    return retry_of(fleet) not in {"", fleet.status.retried}


def retry_of(fleet: FleetUpgrade) -> str:
    """The value of the annotation that asks for it."""
    return fleet.metadata.annotations.get(ANNOTATION_RETRY, "")[:253]


def decide(
    fleet: FleetUpgrade, view: FleetView, releases: Releases, now: datetime
) -> FleetDecision:
    """What to do with a FleetUpgrade."""
    spec, status = fleet.spec, fleet.status
    idle = window_of(fleet, now, catches_up=False).recorded
    if view.refused is not None:
        told = Standing("Refused", view.refused.reason, view.refused.message)
        return FleetDecision(told, stop=view.refused, window=idle)
    if status.started_at is None:
        found = _begin(fleet, view, releases, now)
        begins = found.planning is not None
        return replace(found, window=window_of(fleet, now).recorded if begins else idle)
    if asked_again(fleet) and not spec.paused:
        told = Standing("Planning", reasons.PLANNING, "what failed or was skipped is tried again")
        # While it was at rest nobody looked, and nobody had to.
        window = window_of(fleet, now, catches_up=status.ended_at is None).recorded
        return FleetDecision(told, planning="Plan" if spec.dry_run else "Retry", window=window)
    if status.ended_at is not None:
        return replace(_at_rest(fleet), window=status.window)
    return Step(fleet, view, releases, now).taken()


def _begin(
    fleet: FleetUpgrade, view: FleetView, releases: Releases, now: datetime
) -> FleetDecision:
    if fleet.spec.abort:
        moment, text = now.replace(microsecond=0), "it was aborted before it began"
        report = FleetReport(result="Aborted", began=moment, ended=moment, summary=text)
        return FleetDecision(standing_of(report), rows={}, report=report)
    if fleet.spec.paused:
        text = "it begins when spec.paused is false"
        return FleetDecision(Standing("Paused", reasons.FLEET_PAUSED, text))
    cve = fleet.spec.target.fixes
    if cve is not None and releases.vulnerability(cve) is None:
        text = (
            f"{cve} is not known; add it to the knowledge of releases (docs/upgrades.md), or write the "
            "version that fixes it into spec.target.version of another FleetUpgrade"
        )
        return _refused(reasons.CVE_UNKNOWN, text)
    if names := missing(fleet.spec, view.clusters):
        text = (
            f"spec.waves names {', '.join(names[:8])}, which is not there or not selected; create it, or "
            "create the FleetUpgrade anew without it"
        )
        return _refused(reasons.CLUSTER_MISSING, text)
    told = Standing("Planning", reasons.PLANNING, "Clusters are being chosen")
    return FleetDecision(told, planning="Plan")


def _refused(reason: str, text: str) -> FleetDecision:
    return FleetDecision(Standing("Refused", reason, text), stop=Wait(reason, text, UNKNOWN_AGAIN))


def _at_rest(fleet: FleetUpgrade) -> FleetDecision:
    report = fleet.status.report
    if report is None:
        return FleetDecision(
            Standing("Aborted", reasons.ABORTED, "nothing is known of it any more")
        )
    return FleetDecision(standing_of(report))
