"""The status of an Addon, computed from what a pass found. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kok.api.cluster.addon import Addon, AddonStatus
from kok.operators.cluster import reasons
from kok.operators.cluster.addon.decide import AddonDecision
from kok.operators.cluster.addon.health import ObjectHealth, counts
from kok.runtime.conditions import Verdict, put
from kok.runtime.controller.errors import Invalid, ReconcileStop, Wait
from kok.runtime.controller.reasons import ANSWER_TOO_LARGE

_AWAY = frozenset({ANSWER_TOO_LARGE, reasons.CLUSTER_UNREACHABLE, reasons.WAITING_FOR_CLUSTER})
"""Reasons for which nothing can be seen of what was applied."""
_SAME = frozenset(
    {reasons.KUBERNETES_UNSUPPORTED, reasons.SOURCE_REFUSED, reasons.SOURCE_UNREACHABLE}
)
"""Reasons for which nothing was changed of what was applied before."""
_APPLIED = Verdict(True, reasons.AS_WANTED, "all objects are applied")


@dataclass(slots=True)
class AddonOutcome:
    """None: not found out in this pass, because something before it is not there yet."""

    applied: bool = False
    """All objects are in the business cluster; `version` and `workloads` are known."""
    version: str | None = None
    """Of a built-in addon: that of its main image."""
    kubernetes_version: str | None = None
    """Of the Cluster that it was rendered for."""
    revision: str = ""
    """Hash of the objects."""
    workloads: Sequence[ObjectHealth] = ()
    health: Verdict | None = None


def report(
    status: AddonStatus,
    addon: Addon,
    decision: AddonDecision,
    found: AddonOutcome,
    *,
    ended: Exception | None,
    now: datetime,
) -> None:
    """Brings a status up to date; what was not found out in this pass stays as it was.

    Of an error that is none of ours the runtime tells alone. `addon` is as it was read.
    """
    if found.applied:
        status.version = found.version
        status.kubernetes_version = found.kubernetes_version
        status.revision = found.revision
        status.workloads = counts(found.workloads)
    said = _verdicts(addon, decision, found, ended)
    if said is None:
        return
    applied, health = said
    worst = applied if applied.holds is not True else health
    ready = Verdict(worst.holds is True, worst.reason, worst.message)
    verdicts = {reasons.APPLIED: applied, reasons.HEALTHY: health, reasons.READY: ready}
    put(status, verdicts, now=now, generation=addon.metadata.generation)
    status.phase = "Ready" if ready.holds is True else "Pending"


def _verdicts(
    addon: Addon, decision: AddonDecision, found: AddonOutcome, ended: Exception | None
) -> tuple[Verdict, Verdict] | None:
    """Whether it is applied, and whether it is healthy."""
    if decision.leaves:
        text = f"Cluster {addon.namespace}/{addon.spec.cluster} is being deleted"
        going = Verdict(False, reasons.CLUSTER_DELETING, text)
        return going, going
    if isinstance(ended, Wait | Invalid):
        return _stopped(addon, ended)
    return None if found.health is None else (_APPLIED, found.health)


def _stopped(addon: Addon, stop: ReconcileStop) -> tuple[Verdict, Verdict]:
    """What an interrupted pass can still say."""
    current = addon.status.observed_generation == addon.metadata.generation
    if stop.reason in _AWAY | _SAME and current and addon.status.is_true(reasons.APPLIED):
        # What was applied is still there; only how it is cannot be seen.
        return _APPLIED, Verdict(None, stop.reason, stop.message)
    verdict = Verdict(False, stop.reason, stop.message)
    return verdict, verdict
