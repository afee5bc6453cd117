"""A Cluster hibernates: the control plane stops first, then etcd; it wakes the other way round. Pure.

    Hibernate   StopControlPlane    Deployments get no pods; those that are left are waited for
                StopEtcd            the EtcdCluster is told to hibernate, and waited for
    Wake        StartEtcd           the EtcdCluster is told to start, and waited for
                StartControlPlane   Deployments get their pods again

The operation and its step are recorded before anything is done for them, and end when all is done:
asleep nothing is under way. What has no record yet is taken as it is found: a Cluster that sleeps
is left asleep, and one on its way goes on from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kok.api.cluster.cluster import Cluster
from kok.api.meta import Manifest
from kok.api.operation import Operation
from kok.operators.cluster import reasons
from kok.operators.cluster.cluster.observe import ClusterView
from kok.operators.cluster.naming import COMPONENTS
from kok.runtime.conditions import Verdict
from kok.runtime.operations.action import Action, first

HIBERNATE, WAKE = "Hibernate", "Wake"
STOP_CONTROL_PLANE, STOP_ETCD = "StopControlPlane", "StopEtcd"
START_ETCD, START_CONTROL_PLANE = "StartEtcd", "StartControlPlane"
UNWATCHED = 2.0
"""Seconds between two looks at pods that are to go: nobody tells of these."""
WATCHED = 300.0
"""The same for what wakes the Cluster when it changes."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the next step is decided by."""

    cluster: Cluster
    """With the operation that was recorded."""
    view: ClusterView
    now: datetime


@dataclass(frozen=True, slots=True)
class Hibernation:
    """What hibernation asks of a pass; all at rest for a Cluster that is awake."""

    action: Action[Operation, Any] | None = None
    """What is under way."""
    down: bool = False
    """No component may run: asleep, on the way there, or awake again with etcd not there yet."""
    etcd_stops: bool = False
    """Nobody needs etcd any more; once it was told to stop, that holds."""
    verdict: Verdict | None = None
    """What conditions say in place of what would be said of a Cluster that is awake."""


def decide(cluster: Cluster, view: ClusterView, now: datetime) -> Hibernation:
    """What is under way, and what that means for the parts of the Cluster."""
    action = first((hibernate, wake), Inputs(cluster, view, now))
    asked = cluster.spec.hibernate
    down = asked or _step(action) == START_ETCD
    stops = asked and (
        view.etcd_contract(cluster.name).told_to_sleep or not pods_left(cluster, view)
    )
    return Hibernation(action, down, stops, _verdict(action) if down else None)


def hibernate(inputs: Inputs) -> Action[Operation, Any] | None:
    """The way to sleep; None once all are asleep."""
    cluster, view = inputs.cluster, inputs.view
    if not cluster.spec.hibernate:
        return None
    if left := pods_left(cluster, view):
        text = f"the control plane stops: {', '.join(left)}; then etcd"
        return _action(inputs, STOP_CONTROL_PLANE, reasons.HIBERNATING, text, UNWATCHED)
    if not view.etcd_contract(cluster.name).is_asleep:
        text = "the control plane is stopped; etcd stops"
        return _action(inputs, STOP_ETCD, reasons.HIBERNATING, text)
    return None


def wake(inputs: Inputs) -> Action[Operation, Any] | None:
    """The way back; None for a Cluster that is awake.

    An etcd that is away for any other reason than its sleep stops nothing, nor does one that goes
    away again once the control plane was started.
    """
    cluster, view = inputs.cluster, inputs.view
    before = cluster.status.operation
    if cluster.spec.hibernate:
        return None
    started = before is not None and (before.type, before.step) == (WAKE, START_CONTROL_PLANE)
    if not started and _etcd_sleeps(cluster, view):
        text = "etcd starts, then the control plane does"
        return _action(inputs, START_ETCD, reasons.WAKING, text)
    if before is not None and before.type in {HIBERNATE, WAKE} and not _runs(cluster, view):
        return _action(inputs, START_CONTROL_PLANE, reasons.WAKING, "the control plane starts")
    return None


def pods_left(cluster: Cluster, view: ClusterView) -> list[str]:
    """Deployments that still want pods, and pods that there still are."""
    wanting = [
        f"Deployment {component}"
        for component in COMPONENTS
        if (state := view.running(cluster.name, component)) is not None
        and (state.desired > 0 or not state.complete)
    ]
    return wanting or [f"Pod {pod['metadata']['name']}" for pod in view.pods]


def versions(cluster: Cluster, view: ClusterView) -> dict[str, str]:
    """The components that there are, each at the version that it had: nothing is upgraded asleep."""
    found = ((component, view.running(cluster.name, component)) for component in COMPONENTS)
    return {component: state.version for component, state in found if state is not None}


def without_pods(deployment: Manifest) -> Manifest:
    """The Deployment, of which nothing runs for now."""
    return {**deployment, "spec": {**deployment["spec"], "replicas": 0}}


def _action(
    inputs: Inputs, step: str, reason: str, message: str, after: float = WATCHED
) -> Action[Operation, Any]:
    asked = inputs.cluster.spec.hibernate
    type_, before = HIBERNATE if asked else WAKE, inputs.cluster.status.operation
    if before is not None and before.type == type_:
        operation = before.model_copy(update={"step": step})
    else:
        why = f"spec.hibernate is {str(asked).lower()}"
        since = inputs.now.replace(microsecond=0)
        operation = Operation(type=type_, step=step, since=since, reason=why)
    return Action(reason, message, operation, after=after)


def _step(action: Action[Operation, Any] | None) -> str | None:
    return None if action is None or action.operation is None else action.operation.step


def _verdict(action: Action[Operation, Any] | None) -> Verdict:
    if action is not None:
        return Verdict(False, action.reason, action.message)
    text = "spec.hibernate is true: neither the control plane nor etcd run; their data is kept"
    return Verdict(False, reasons.HIBERNATED, text)


def _etcd_sleeps(cluster: Cluster, view: ClusterView) -> bool:
    """Whether etcd is away because it was told to, or not back yet from that."""
    asleep = view.etcd_contract(cluster.name).hibernation is not None
    return asleep and not view.etcd_serves(cluster.name)


def _runs(cluster: Cluster, view: ClusterView) -> bool:
    """Whether every component has all pods that it wants, and wants some."""
    states = [view.running(cluster.name, component) for component in COMPONENTS]
    return all(s is not None and s.desired > 0 and s.complete for s in states)
