"""What an Addon for many Clusters says of itself: the only module that sets its conditions. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from kok.api.cluster.addon import Addon, AddonStatus
from kok.api.cluster.addonrollout import AddonRollout
from kok.operators.cluster import reasons
from kok.operators.cluster.addon.many.plan import retry_of
from kok.operators.cluster.addon.many.view import ManyDecision
from kok.runtime.conditions import Verdict, put


@dataclass(slots=True)
class ManyOutcome:
    """What acting found out."""

    refused: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Clusters whose Addon cannot be made, and why, as word and sentence."""


def note(status: AddonStatus, addon: Addon, decision: ManyDecision, now: datetime) -> None:
    """Puts what was decided into the status, as far as it is to be remembered."""
    if decision.rows is None:
        return
    found = status.rollout
    if decision.planned or found is None:
        found = AddonRollout(
            revision=decision.revision,
            plan_of=decision.plan_of,
            retried=retry_of(addon),
            started_at=now.replace(microsecond=0),
            proven=found.proven if found is not None else None,
        )
    else:
        found.ended_at, found.proven = decision.ended, decision.proven
    found.waves, found.wave = list(decision.waves), decision.wave
    found.beyond = decision.beyond
    rows = dict(decision.rows)
    if rows != found.table() or found.summary is None:
        found.store(rows)
    status.rollout = found


def report(
    status: AddonStatus,
    addon: Addon,
    decision: ManyDecision,
    found: ManyOutcome,
    *,
    ended: Exception | None,
    now: datetime,
) -> None:
    """Brings all that people see up to date; of an error the runtime tells alone."""
    rollout = status.rollout
    if found.refused and rollout is not None:
        rows = rollout.table()
        for key, told in found.refused.items():
            row = rows[key]
            if row.state in {"Upgrading", "Done"} or (
                row.state == "Failed" and row.reason != told[0]
            ):
                rows[key] = row.turned("Failed", now, *told)
        rollout.store(rows)
    standing = decision.standing
    status.phase = standing.phase
    said: dict[str, Verdict] = {}
    if decision.stopped:
        said[reasons.STOPPED] = Verdict(True, reasons.FLEET_STOPPED, decision.stopped)
    if ended is None:
        ready, reason, text = standing.ready, standing.reason, standing.message
        if decision.beyond:
            text += (
                f"; {decision.beyond} more Clusters are selected than one Addon takes: create another "
                "one for them"
            )
            ready, reason = False, reasons.TOO_MANY_CLUSTERS if ready else reason
        said[reasons.READY] = Verdict(ready, reason, text)
    put(status, said, now=now, generation=addon.metadata.generation)
    if decision.rows is not None:
        status.drop_conditions({reasons.STOPPED} - said.keys())
