"""How the control plane's Deployments are, and how a rollout of them goes. Pure."""

from __future__ import annotations

from kok.api.cluster.cluster import Cluster
from kok.operators.cluster import reasons
from kok.operators.cluster.cluster.conditions.pods import overdue, pod_problems
from kok.operators.cluster.cluster.observe import ClusterView, Running
from kok.operators.cluster.cluster.spec.flags import component_spec
from kok.operators.cluster.cluster.spec.profiles import PROFILES
from kok.operators.cluster.naming import COMPONENTS
from kok.runtime.conditions import Verdict


def component_states(cluster: Cluster, view: ClusterView) -> list[Running]:
    """All components; one without Deployment has no pods, and the number that is wanted."""
    return [_state(cluster, view, component) for component in COMPONENTS]


def _state(cluster: Cluster, view: ClusterView, component: str) -> Running:
    found = view.running(cluster.name, component)
    if found is not None:
        return found
    size = PROFILES[cluster.spec.profile].sizes[component]
    wanted = component_spec(cluster.spec, component).replicas or size.replicas
    return Running(component, version="", desired=wanted, ready=0, complete=False)


def control_plane(cluster: Cluster, view: ClusterView, released: str) -> Verdict:
    """Whether all pods that are wanted are ready at the version that they may have.

    `released` is that version; empty while an upgrade has not come to them: each then has its own.
    """
    states = component_states(cluster, view)
    short = [s for s in states if not s.complete or s.version != (released or s.version)]
    if not short:
        return Verdict(True, reasons.AS_WANTED, "all components are ready")
    if (trouble := next(pod_problems(cluster.name, view), None)) is not None:
        return trouble
    counts = ", ".join(f"{s.component} {s.ready}/{s.desired}" for s in short)
    started = cluster.status.version is not None
    if all(s.ready >= s.desired for s in short):
        return Verdict(False, reasons.ROLLING_OUT, f"a change is being rolled out: {counts}")
    reason = reasons.REPLICAS_MISSING if started else reasons.STARTING
    return Verdict(False, reason, f"ready: {counts}")


def rollout(cluster: Cluster, view: ClusterView, released: str) -> Verdict | None:
    """What is being rolled out and what it waits for; None if nothing is."""
    for component in COMPONENTS:
        state = view.running(cluster.name, component)
        target = released or (state.version if state is not None else "")
        if state is not None and state.version == target and state.complete:
            continue
        upgrade = cluster.status.version not in {None, target} and bool(released)
        what = f"{cluster.status.version} -> {target}: " if upgrade else ""
        what += f"{component} is being rolled out" if state else f"{component} is not created yet"
        trouble = next(pod_problems(cluster.name, view), None)
        if trouble is not None:
            # Not for ever: a Deployment that gave up makes no progress.
            going = not overdue(cluster.name, view)
            return Verdict(going, trouble.reason, f"{what}; {trouble.message}")
        reason = reasons.ROLLING_OUT if cluster.status.version else reasons.CREATING
        return Verdict(True, reason, what)
    return None
