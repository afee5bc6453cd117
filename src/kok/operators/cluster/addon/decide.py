"""What a pass over an Addon is to do. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from kok.api.cluster.addon import Addon
from kok.operators.cluster import reasons
from kok.operators.cluster.addon.context import TemplateContext, context_of
from kok.operators.cluster.addon.observe import AddonView
from kok.runtime.controller.errors import Wait

IDLE = 300.0
"""Seconds until the next look where a change of the Cluster wakes the Addon anyway."""
ASK_PODS = timedelta(seconds=15)
"""How long an addon is not healthy before its pods are asked why."""


@dataclass(frozen=True, slots=True)
class AddonDecision:
    """What is to be done with an Addon now."""

    context: TemplateContext | Wait
    """What its templates are rendered for, or what is not there yet."""
    leaves: bool
    """The Cluster is going: objects are removed while its API still works."""
    ask_pods: bool
    """It is not healthy for so long that its pods are asked why."""


def decide(addon: Addon, view: AddonView, now: datetime) -> AddonDecision:
    """By the spec, what was recorded, and what was seen; raises nothing."""
    leaves = view.cluster is not None and view.cluster.deleting
    return AddonDecision(_context(addon, view), leaves, _ask_pods(addon, now))


def _context(addon: Addon, view: AddonView) -> TemplateContext | Wait:
    cluster = view.cluster
    if cluster is None:
        where = f"{addon.namespace}/{addon.spec.cluster}"
        return Wait(reasons.CLUSTER_MISSING, f"Cluster {where} does not exist", 30.0)
    context = context_of(cluster, before=addon.spec.goes_before)
    return context or Wait(reasons.WAITING_FOR_CLUSTER, f"{cluster} has no API yet", IDLE)


def require_dependencies(addon: Addon, view: AddonView) -> None:
    """Raises `Wait` for the first Addon that this one depends on and that is not ready.

    Also `Unreadable` for one of which nobody knows.
    """
    for needed in view.dependencies:
        if needed.unreadable is not None:
            raise needed.unreadable
        if not needed.ready:
            state = "is not Ready" if needed.ready is not None else "does not exist"
            raise Wait(
                reasons.WAITING_FOR_DEPENDENCIES,
                f"Addon {addon.namespace}/{needed.name}, which this one depends on, {state}",
                30.0,
            )


def _ask_pods(addon: Addon, now: datetime) -> bool:
    before = addon.status.condition(reasons.HEALTHY)
    if before is None or before.reason not in (reasons.NOT_HEALTHY, reasons.WAITING_FOR_WAVE):
        return False
    return bool(now - before.last_transition_time >= ASK_PODS)
