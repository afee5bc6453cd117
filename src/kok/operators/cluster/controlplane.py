"""How the control plane's Deployments are, and what their pods say when they are not well. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kok.api.cluster import Cluster
from kok.api.meta import Manifest
from kok.api.names import LABEL_COMPONENT
from kok.operators.cluster import reasons
from kok.operators.cluster.flags import component_spec
from kok.operators.cluster.judgement import Judgement
from kok.operators.cluster.observe import Running, World
from kok.operators.cluster.parts import COMPONENTS
from kok.operators.cluster.profiles import PROFILES

_WORDS = 400
"""Characters of a container's last words that a condition shows."""
_KLOG = re.compile(r"^[IWEF]\d{4} [\d:.]+ +\d+ [\w./-]+:\d+\] ")
"""What klog writes in front of a message: severity, date, time, thread and place in the code."""
_TELLING = (re.compile(r"^(Error|panic|fatal|F\d{4} )"), re.compile(r"^E\d{4} "))
_PULL = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}


def component_states(cluster: Cluster, world: World) -> list[Running]:
    """All components; one without Deployment has no pods, and the number that is wanted."""
    return [_state(cluster, world, component) for component in COMPONENTS]


def _state(cluster: Cluster, world: World, component: str) -> Running:
    found = world.running(cluster.name, component)
    if found is not None:
        return found
    size = PROFILES[cluster.spec.profile].sizes[component]
    wanted = component_spec(cluster.spec, component).replicas or size.replicas
    return Running(component, version="", desired=wanted, ready=0, complete=False)


def control_plane(cluster: Cluster, world: World) -> Judgement:
    """Whether all pods that are wanted are ready at the wanted version."""
    states = component_states(cluster, world)
    short = [s for s in states if not s.complete or s.version != cluster.spec.version]
    if not short:
        return Judgement(True, reasons.AS_WANTED, "all components are ready")
    for trouble in _troubles(world):
        return trouble
    counts = ", ".join(f"{s.component} {s.ready}/{s.desired}" for s in short)
    started = cluster.status.version is not None
    if all(s.ready >= s.desired for s in short):
        return Judgement(False, reasons.ROLLING_OUT, f"a change is being rolled out: {counts}")
    reason = reasons.REPLICAS_MISSING if started else reasons.STARTING
    return Judgement(False, reason, f"ready: {counts}")


def _troubles(world: World) -> Iterator[Judgement]:
    """What pods complain of, the worst first."""
    for find in (_crashes, _pulls, _homeless):
        for pod in sorted(world.pods, key=lambda p: str(p["metadata"]["name"])):
            if not pod["metadata"].get("deletionTimestamp"):
                yield from find(pod)


def _crashes(pod: Manifest) -> Iterator[Judgement]:
    for status in _containers(pod):
        last = (status.get("lastState") or {}).get("terminated") or {}
        if status.get("ready") or not last or not status.get("restartCount"):
            continue
        said = last_words(str(last.get("message") or "")) or last.get("reason") or "nothing"
        yield Judgement(
            False,
            reasons.CRASHING,
            f"{_component(pod)} in pod {pod['metadata']['name']} exited with code "
            f"{last.get('exitCode')}, restarts: {status['restartCount']}; it said: {said}",
        )


def last_words(log: str) -> str:
    """The line of a component's last output that tells most about why it exited."""
    lines = [" ".join(line.split()) for line in log.splitlines() if line.strip()]
    for telling in _TELLING:
        found = [line for line in lines if telling.match(line)]
        if found:
            return _KLOG.sub("", found[-1])[:_WORDS]
    return _KLOG.sub("", lines[-1])[:_WORDS] if lines else ""


def _pulls(pod: Manifest) -> Iterator[Judgement]:
    for status in _containers(pod):
        waiting = (status.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _PULL:
            said = str(waiting.get("message") or waiting["reason"])[:_WORDS]
            yield Judgement(
                False,
                reasons.IMAGE_UNAVAILABLE,
                f"image {status.get('image')} for {_component(pod)} cannot be pulled: {said}",
            )


def _homeless(pod: Manifest) -> Iterator[Judgement]:
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            said = str(condition.get("message") or "")[:_WORDS]
            yield Judgement(
                False, reasons.UNSCHEDULABLE, f"no meta node takes {_component(pod)}: {said}"
            )


def _containers(pod: Manifest) -> list[dict[str, Any]]:
    return list((pod.get("status") or {}).get("containerStatuses") or ())


def _component(pod: Manifest) -> str:
    return str((pod["metadata"].get("labels") or {}).get(LABEL_COMPONENT, "a component"))
