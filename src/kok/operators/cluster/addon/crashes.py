"""Why pods of an addon's workloads are not ready: what their containers said last.

Pods and logs are those of a business cluster, and so is every word of them: little of it is read,
nothing of its shape is relied on, and what looks like a secret is masked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import KubeError
from kok.kube.http.paths import object_path
from kok.kube.objects.kstatus import mapping, mappings
from kok.operators.cluster.addon.health import ObjectHealth, Workload
from kok.runtime.pods.messages import last_error_line, one_line, quoted

PODS = 100
"""Pods of one workload that are looked at."""
CONTAINERS = 16
"""Containers of one pod that are looked at, of each kind."""
ASKED = 3
"""Workloads that are not up and whose pods are asked for."""
_LOG_BYTES = 8192
_LOG_TIMEOUT = 3.0
"""Seconds: the log comes from the node, which may be away."""
_NAME = 63
_AGAIN = "CrashLoopBackOff"
_BEGINNING = frozenset({"ContainerCreating", "PodInitializing"})
"""What every pod says for a while."""


@dataclass(frozen=True, slots=True)
class Log:
    """Where more is told: what a container writes, or wrote before it was started again."""

    container: str
    previous: bool


@dataclass(frozen=True, slots=True)
class PodError:
    """What keeps one pod from being ready."""

    rank: int
    """The lower, the more it tells."""
    pod: str
    text: str
    log: Log | None = None


async def pod_error(kube: Kube, found: Iterable[ObjectHealth]) -> str:
    """The worst that pods of workloads that are not up say, or nothing.

    Words are an extra: where the business cluster does not tell them, there are none.
    """
    down = [one for one in found if isinstance(one, Workload) and not one.up]
    try:
        for workload in down[:ASKED]:
            worst = await _worst(kube, workload)
            if worst is not None:
                return await _sentence(kube, workload, worst)
    except KubeError:
        pass
    return ""


def pod_error_of(pods: Iterable[Manifest]) -> PodError | None:
    """The complaint that tells most, of the pod that is first by name."""
    found = [c for pod in pods for c in _complaints(pod)]
    return min(found, key=_rank, default=None)


async def _worst(kube: Kube, workload: Workload) -> PodError | None:
    """Of each pod no more is kept than what it complains of most."""
    if not workload.namespace or not workload.selector:
        return None
    told = await kube.list(
        kinds.POD,
        workload.namespace,
        labels=workload.selector,
        keep=lambda pod: {"worst": pod_error_of([pod])},
        most=PODS,
    )
    found = [one["worst"] for one in told if one["worst"] is not None]
    return min(found, key=_rank, default=None)


def _rank(found: PodError) -> tuple[int, str]:
    return found.rank, found.pod


async def _sentence(kube: Kube, workload: Workload, found: PodError) -> str:
    text = found.text
    if found.log is not None and (words := await _log(kube, workload, found.pod, found.log)):
        text += f"; it said: {words}"
    return one_line(f"pod {quoted(found.pod)} of {quoted(workload.name)}: {text}")


async def _log(kube: Kube, workload: Workload, pod: str, log: Log) -> str:
    """The telling line of a log; nothing where the node does not give it away."""
    path = object_path(kinds.POD, workload.namespace, pod, "log")
    query = {
        "container": log.container,
        "previous": str(log.previous).lower(),
        "tailLines": "5",
        "limitBytes": str(_LOG_BYTES),
    }
    try:
        text = await kube.raw("GET", path, query=query, timeout=_LOG_TIMEOUT)
    except KubeError:
        return ""
    if not isinstance(text, str):
        return ""
    # Of a line that was cut nobody knows what it gives away.
    return last_error_line(text if len(text.encode()) < _LOG_BYTES else text.rpartition("\n")[0])


def _complaints(pod: Manifest) -> Iterator[PodError]:
    name, status = str(pod["metadata"]["name"]), mapping(pod.get("status"))
    if pod["metadata"].get("deletionTimestamp"):
        return
    for key in ("initContainerStatuses", "containerStatuses"):
        for container in mappings(status.get(key))[:CONTAINERS]:
            if container.get("ready") is not True:
                yield from _of_container(name, container)
    for condition in mappings(status.get("conditions")):
        if (condition.get("type"), condition.get("status")) == ("PodScheduled", "False"):
            yield PodError(3, name, f"no node takes it: {quoted(condition.get('message'))}")


def _of_container(pod: str, status: Mapping[str, Any]) -> Iterator[PodError]:
    name = quoted(status.get("name"))[:_NAME]
    now, before = mapping(status.get("state")), mapping(status.get("lastState"))
    waiting = mapping(now.get("waiting"))
    for state, previous in ((now, False), (before, True)):
        ended = mapping(state.get("terminated"))
        if ended and (ended.get("exitCode") != 0 or waiting.get("reason") == _AGAIN):
            yield _ended(pod, name, ended, _number(status.get("restartCount")), previous=previous)
            return
    reason, why = quoted(waiting.get("reason"))[:_NAME], quoted(waiting.get("message"))
    if reason and reason not in _BEGINNING:
        text = f"container {name} cannot start: {reason}{f', {why}' if why else ''}"
        yield PodError(2, pod, text)


def _ended(
    pod: str, name: str, ended: Mapping[str, Any], restarts: str, *, previous: bool
) -> PodError:
    reason = quoted(ended.get("reason"))[:_NAME]
    text = f"container {name} exited with code {_number(ended.get('exitCode'))}"
    if reason not in ("", "Error"):
        text += f" ({reason})"
    text += f", restarts: {restarts}"
    words = last_error_line(str(ended.get("message") or ""))
    if words:
        return PodError(0, pod, f"{text}; it said: {words}")
    return PodError(1, pod, text, Log(name, previous=previous))


def _number(value: object) -> str:
    return str(value) if isinstance(value, int) and abs(value) < 10**9 else "unknown"
