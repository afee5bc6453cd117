"""What keeps the control plane's pods from being as wanted, each with its reason. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from kok.api.meta import Manifest
from kok.api.names import LABEL_COMPONENT
from kok.kube import kinds
from kok.operators.cluster import reasons
from kok.operators.cluster.cluster.observe import ClusterView
from kok.operators.cluster.naming import COMPONENTS, SPEC_FIELDS, deployment
from kok.runtime.conditions import Verdict
from kok.runtime.pods import admission
from kok.runtime.pods.messages import PULL_FAILED, UNBORN, last_error_line, one_line, utc_text

_ASKED_TO_END = {0, 143}
"""Exit codes of a process that ended because it was asked to."""
OOM = "OOMKilled"
_BESIDE = "beside"


def pod_problems(cluster: str, view: ClusterView) -> Iterator[Verdict]:
    """What Deployments and pods complain of, the worst first."""
    for component in COMPONENTS:
        yield from _refused(component, view.get(kinds.DEPLOYMENT, deployment(cluster, component)))
    pods = [p for p in view.pods if not p["metadata"].get("deletionTimestamp")]
    pods.sort(key=lambda p: str(p["metadata"]["name"]))
    for find in (_kills, _crashes, _pulls, _unborn, _homeless, _unready):
        for pod in pods:
            yield from find(pod, view)
    for component in COMPONENTS:
        yield from _late(component, view.get(kinds.DEPLOYMENT, deployment(cluster, component)))


def overdue(cluster: str, view: ClusterView) -> bool:
    """Whether a Deployment gave its rollout up, by its own account."""
    lives = (view.get(kinds.DEPLOYMENT, deployment(cluster, c)) for c in COMPONENTS)
    return any(True for live in lives for _ in _late("", live))


def _refused(component: str, live: Manifest | None) -> Iterator[Verdict]:
    for condition in _conditions(live, "ReplicaFailure", "True"):
        field = f"spec.{SPEC_FIELDS[component]}.resources"
        told = admission.sentence(str(condition.get("message") or ""), field)
        yield Verdict(False, reasons.PODS_REFUSED, f"{component}{_since(condition)}: {told}")


def _late(component: str, live: Manifest | None) -> Iterator[Verdict]:
    for condition in _conditions(live, "Progressing", "False"):
        if condition.get("reason") == "ProgressDeadlineExceeded":
            yield Verdict(
                False,
                reasons.ROLLOUT_STUCK,
                f"the rollout of {component} made no progress in time{_since(condition)}: "
                f"{one_line(condition.get('message'))}",
            )


def _kills(pod: Manifest, _world: ClusterView) -> Iterator[Verdict]:
    for status in _containers(pod):
        for state in (status.get("state") or {}, status.get("lastState") or {}):
            ended = state.get("terminated") or {}
            if not status.get("ready") and ended.get("reason") == OOM:
                yield Verdict(
                    False,
                    reasons.OUT_OF_MEMORY,
                    f"{_component(pod, status)} in pod {pod['metadata']['name']} was killed at "
                    f"{ended.get('finishedAt')} because it used more memory than it may have, "
                    f"restarts: {status.get('restartCount', 0)}; raise "
                    f"spec.{SPEC_FIELDS.get(_component(pod), '')}.resources.limits.memory",
                )
                return


def _crashes(pod: Manifest, view: ClusterView) -> Iterator[Verdict]:
    for status in _containers(pod):
        last = (status.get("lastState") or {}).get("terminated") or {}
        if status.get("ready") or not last or not status.get("restartCount"):
            continue
        name = pod["metadata"]["name"]
        if last.get("exitCode") in _ASKED_TO_END and (event := view.complaints.get(name)):
            # kubelet ended it, since it was not ready for too long.
            yield Verdict(
                False,
                reasons.NOT_READY,
                f"{_component(pod, status)} in pod {name} is never ready, and was restarted "
                f"{status['restartCount']} times for that: {event.note}",
            )
            return
        words = last_error_line(str(last.get("message") or "")) or last.get("reason") or "nothing"
        yield Verdict(
            False,
            reasons.CRASHING,
            f"{_component(pod, status)} in pod {name} exited with code "
            f"{last.get('exitCode')}, restarts: {status['restartCount']}; it said: {words}",
        )


def _pulls(pod: Manifest, _world: ClusterView) -> Iterator[Verdict]:
    for status in _containers(pod):
        waiting = (status.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in PULL_FAILED:
            told = one_line(waiting.get("message") or waiting["reason"])
            yield Verdict(
                False,
                reasons.IMAGE_UNAVAILABLE,
                f"image {status.get('image')} for {_component(pod, status)} cannot be pulled: {told}",
            )


def _unborn(pod: Manifest, view: ClusterView) -> Iterator[Verdict]:
    """Containers that cannot be made: a Secret or a volume is missing, the runtime refuses."""
    for status in _containers(pod):
        waiting = (status.get("state") or {}).get("waiting") or {}
        name, event = pod["metadata"]["name"], view.complaints.get(pod["metadata"]["name"])
        if waiting.get("reason") in UNBORN:
            told = one_line(waiting.get("message") or waiting["reason"])
        elif waiting.get("reason") == "ContainerCreating" and event is not None:
            told = f"{event.note} (since {utc_text(event.since)})"
        else:
            continue
        yield Verdict(
            False,
            reasons.NOT_READY,
            f"{_component(pod, status)} in pod {name} cannot start: {told}",
        )


def _homeless(pod: Manifest, _world: ClusterView) -> Iterator[Verdict]:
    for condition in _conditions(pod, "PodScheduled", "False"):
        if condition.get("reason") == "Unschedulable":
            yield Verdict(
                False,
                reasons.UNSCHEDULABLE,
                f"no meta node takes {_component(pod)}{_since(condition)}: "
                f"{one_line(condition.get('message'))}",
            )


def _unready(pod: Manifest, view: ClusterView) -> Iterator[Verdict]:
    """What runs and is not ready: its probe tells why."""
    for status in _containers(pod):
        running = (status.get("state") or {}).get("running") or {}
        name = pod["metadata"]["name"]
        if running and not status.get("ready") and (event := view.complaints.get(name)):
            yield Verdict(
                False,
                reasons.NOT_READY,
                f"{_component(pod, status)} in pod {name} runs since {running.get('startedAt')} and is "
                f"not ready: {event.note}",
            )


def _conditions(live: Manifest | None, type_: str, status: str) -> list[dict[str, Any]]:
    found = ((live or {}).get("status") or {}).get("conditions") or ()
    return [c for c in found if (c.get("type"), c.get("status")) == (type_, status)]


def _since(condition: dict[str, Any]) -> str:
    try:
        return f" (since {utc_text(datetime.fromisoformat(str(condition['lastTransitionTime'])))})"
    except (KeyError, ValueError):
        return ""


def _containers(pod: Manifest) -> list[dict[str, Any]]:
    """Those of sidecars, which Kubernetes counts among the first ones to start, too."""
    status = pod.get("status") or {}
    beside = [{**one, _BESIDE: True} for one in status.get("initContainerStatuses") or ()]
    return [*beside, *(status.get("containerStatuses") or ())]


def _component(pod: Manifest, status: dict[str, Any] | None = None) -> str:
    """The component, or the container beside it of which `status` tells."""
    if status is not None and status.get(_BESIDE):
        return f"{status.get('name')} beside {_component(pod)}"
    return str((pod["metadata"].get("labels") or {}).get(LABEL_COMPONENT, "a component"))
