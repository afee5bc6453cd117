"""Why pods of an addon's workloads are not ready: what their containers said last.

Pods and logs are those of a business cluster, and so is every word of them: little of it is read,
nothing of its shape is relied on, and what looks like a secret is masked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kok.api.meta import Manifest
from kok.kube import kinds
from kok.kube.client import Kube
from kok.kube.errors import KubeError
from kok.kube.paths import object_path
from kok.operators.cluster.addons.health import Workload, workload_of
from kok.runtime.words import last_words, quoted, said

PODS = 100
"""Pods of one workload that are looked at."""
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
class Complaint:
    """What keeps one pod from being ready."""

    rank: int
    """The lower, the more it tells."""
    pod: str
    text: str
    log: Log | None = None


async def complaint(kube: Kube, lives: Iterable[Manifest]) -> str:
    """The worst that pods of workloads that are not up say, or nothing.

    Words are an extra: where the business cluster does not tell them, there are none.
    """
    down = [(live, w) for live in lives if (w := workload_of(live)) is not None and not w.up]
    try:
        for live, workload in down[:ASKED]:
            found = complaint_of(await _pods(kube, live))
            if found is not None:
                return await _sentence(kube, live, workload, found)
    except KubeError:
        pass
    return ""


def complaint_of(pods: Iterable[Manifest]) -> Complaint | None:
    """The complaint that tells most, of the pod that is first by name."""
    found = [c for pod in pods for c in _complaints(pod)]
    return min(found, key=lambda c: (c.rank, c.pod), default=None)


def selector_of(live: Manifest) -> str:
    """The selector of a workload's pods in Kubernetes' notation; nothing if there is none."""
    chosen = _map(_map(live.get("spec")).get("selector"))
    terms = [f"{key}={value}" for key, value in sorted(_map(chosen.get("matchLabels")).items())]
    return ",".join([*terms, *filter(None, map(_term, _maps(chosen.get("matchExpressions"))))])


def _term(expression: Mapping[str, Any]) -> str:
    key, values = expression.get("key"), expression.get("values")
    among = ",".join(map(str, values)) if isinstance(values, list) else ""
    return {
        "In": f"{key} in ({among})",
        "NotIn": f"{key} notin ({among})",
        "Exists": f"{key}",
        "DoesNotExist": f"!{key}",
    }.get(str(expression.get("operator")), "")


async def _pods(kube: Kube, live: Manifest) -> Sequence[Manifest]:
    namespace, chosen = live["metadata"].get("namespace"), selector_of(live)
    if not namespace or not chosen:
        return ()
    return await kube.list(kinds.POD, str(namespace), labels=chosen, most=PODS)


async def _sentence(kube: Kube, live: Manifest, workload: Workload, found: Complaint) -> str:
    text = found.text
    if found.log is not None and (words := await _log(kube, live, found.pod, found.log)):
        text += f"; it said: {words}"
    return said(f"pod {quoted(found.pod)} of {quoted(workload.name)}: {text}")


async def _log(kube: Kube, live: Manifest, pod: str, log: Log) -> str:
    """The telling line of a log; nothing where the node does not give it away."""
    path = object_path(kinds.POD, live["metadata"]["namespace"], pod, "log")
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
    return last_words(text if len(text.encode()) < _LOG_BYTES else text.rpartition("\n")[0])


def _complaints(pod: Manifest) -> Iterator[Complaint]:
    name, status = str(pod["metadata"]["name"]), _map(pod.get("status"))
    if pod["metadata"].get("deletionTimestamp"):
        return
    for key in ("initContainerStatuses", "containerStatuses"):
        for container in _maps(status.get(key)):
            if container.get("ready") is not True:
                yield from _of_container(name, container)
    for condition in _maps(status.get("conditions")):
        if (condition.get("type"), condition.get("status")) == ("PodScheduled", "False"):
            yield Complaint(3, name, f"no node takes it: {quoted(condition.get('message'))}")


def _of_container(pod: str, status: Mapping[str, Any]) -> Iterator[Complaint]:
    name = quoted(status.get("name"))[:_NAME]
    now, before = _map(status.get("state")), _map(status.get("lastState"))
    waiting = _map(now.get("waiting"))
    for state, previous in ((now, False), (before, True)):
        ended = _map(state.get("terminated"))
        if ended and (ended.get("exitCode") != 0 or waiting.get("reason") == _AGAIN):
            yield _ended(pod, name, ended, _number(status.get("restartCount")), previous=previous)
            return
    reason, why = quoted(waiting.get("reason"))[:_NAME], quoted(waiting.get("message"))
    if reason and reason not in _BEGINNING:
        text = f"container {name} cannot start: {reason}{f', {why}' if why else ''}"
        yield Complaint(2, pod, text)


def _ended(
    pod: str, name: str, ended: Mapping[str, Any], restarts: str, *, previous: bool
) -> Complaint:
    reason = quoted(ended.get("reason"))[:_NAME]
    text = f"container {name} exited with code {_number(ended.get('exitCode'))}"
    if reason not in ("", "Error"):
        text += f" ({reason})"
    text += f", restarts: {restarts}"
    words = last_words(str(ended.get("message") or ""))
    if words:
        return Complaint(0, pod, f"{text}; it said: {words}")
    return Complaint(1, pod, text, Log(name, previous=previous))


def _number(value: object) -> str:
    return str(value) if isinstance(value, int) and abs(value) < 10**9 else "unknown"


def _map(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _maps(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []
