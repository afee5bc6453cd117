"""What became of a Job: from it and its pod to the worker's report. Pure functions.

What counts is what our own containers say of themselves. The phases of the pod and of the Job are
also those of whatever was put beside them: a sidecar that a mesh injected may run for ever after our
work is done, or end with an error of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kok.api.meta import Manifest
from kok.backup.reasons import Reason
from kok.backup.report import Report
from kok.operators.etcd import reasons

JOB_OF_POD = "batch.kubernetes.io/job-name"
MAIN_CONTAINER = "kubectl.kubernetes.io/default-container"
"""On our pods: the container whose end is the end of the work; the others come before it."""
MESSAGE_LIMIT = 600
_QUIET = {"ContainerCreating", "PodInitializing"}


@dataclass(frozen=True, slots=True)
class Running:
    """The Job is not through."""

    message: str
    reason: str | None = None
    """Why nothing can come of it as things stand, if that is so."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Nothing came of it."""

    reason: str
    message: str
    transient: bool
    """Whether trying the same again may help."""


JobResult = Running | Failed | Report


def ended(job: Manifest) -> bool:
    """Whether a Job will do nothing more."""
    return _condition(job) is not None


def holds_a_slot(job: Manifest) -> bool:
    """Whether a Job takes up one of the places of those that run.

    Not one that is suspended, or whose pod is refused: it does nothing, and may go on so. A Job that
    is new has not been looked at by its controller, which then says when it began.
    """
    status = job.get("status") or {}
    refused = bool(status.get("startTime")) and not status.get("active")
    suspended = bool((job.get("spec") or {}).get("suspend"))
    return not ended(job) and not refused and not suspended


def worked(pod: Manifest) -> bool:
    """Whether nothing of ours runs in a pod any more, whatever else may."""
    status = pod.get("status") or {}
    if status.get("phase") in {"Succeeded", "Failed"}:
        return True
    main = (pod["metadata"].get("annotations") or {}).get(MAIN_CONTAINER)
    return main is not None and any(name == main for name, _ in _terminated(pod))


def pods_of(job: Manifest, pods: Sequence[Manifest]) -> list[Manifest]:
    """The pods of a Job among others."""
    return [p for p in pods if _label(p) == job["metadata"]["name"]]


def is_of(named: Collection[str], pod: Manifest) -> bool:
    """Whether a pod is of one of the Jobs of these names."""
    return _label(pod) in named


def ever_ran(job: Manifest, pods: Sequence[Manifest]) -> bool:
    """Whether a Job has, or had, a pod."""
    status = job.get("status") or {}
    counted = any(status.get(count) for count in ("active", "succeeded", "failed", "terminating"))
    waiting = status.get("uncountedTerminatedPods") or {}
    return bool(counted or any(waiting.values()) or pods_of(job, pods))


def outcome(job: Manifest, pods: Sequence[Manifest]) -> JobResult:
    """What a Job has come to; `pods` may hold those of other Jobs as well.

    A `Report` is one with a result: failures that a worker reports become `Failed`.
    """
    mine = pods_of(job, pods)
    for pod in mine:
        found = _of_containers(job, pod)
        if found is not None:
            return found
    condition = _condition(job)
    if condition is None:
        return Running(_progress(mine))
    if condition["type"] == "Complete":
        text = f"the pod of Job {job['metadata']['name']} is gone, and its report with it"
        return Failed(reasons.WORKER_LOST, text, transient=True)
    if condition.get("reason") == "DeadlineExceeded":
        text = f"Job {job['metadata']['name']} was not through in time; {_progress(mine)}"
        return Failed(Reason.DEADLINE_EXCEEDED.value, text, transient=True)
    return _silent(job, mine)


def _of_containers(job: Manifest, pod: Manifest) -> JobResult | None:
    """What our containers have come to; None while one of them is to do something yet."""
    steps, main = _ours(job)
    states = dict(_terminated(pod))
    reports = []
    for name in steps:
        state = states.get(name)
        if state is None:
            continue
        report = Report.parse(str(state.get("message") or ""))
        if report is not None and report.failure is not None:
            failure = report.failure
            return Failed(failure.reason.value, failure.message, failure.transient)
        if (failed := _without_words(name, state)) is not None:
            return failed
        if report is not None:
            reports.append(report)
    if main not in states:
        return None
    if reports:
        return reports[-1]
    text = f"container {main} ended without a report"
    return Failed(reasons.WORKER_LOST, text, transient=True)


def _ours(job: Manifest) -> tuple[list[str], str]:
    """The containers that do the work, one after the other, and the last of them.

    Without those that only serve the others meanwhile, as a throw-away etcd does.
    """
    template = job["spec"]["template"]
    first = [
        str(container["name"])
        for container in template["spec"].get("initContainers") or ()
        if container.get("restartPolicy") != "Always"
    ]
    notes = template.get("metadata", {}).get("annotations") or {}
    main = str(notes.get(MAIN_CONTAINER) or template["spec"]["containers"][0]["name"])
    return [*first, main], main


def _silent(job: Manifest, pods: Sequence[Manifest]) -> Failed:
    """A pod that failed before our work was through."""
    for pod in pods:
        for name, state in _terminated(pod):
            if (failed := _without_words(name, state)) is not None:
                return failed
        if (pod.get("status") or {}).get("reason"):
            status = pod["status"]
            text = f"its pod was ended: {status['reason']}: {status.get('message', '')}"
            return Failed(reasons.WORKER_LOST, text[:MESSAGE_LIMIT], transient=True)
    text = f"the pod of Job {job['metadata']['name']} is gone"
    return Failed(reasons.WORKER_LOST, text, transient=True)


def _without_words(name: str, state: dict[str, Any]) -> Failed | None:
    """A container that failed without a report: killed, or etcd's own tools and not the worker."""
    if state.get("reason") == "OOMKilled":
        text = f"container {name} was killed for using more memory than its limit"
        return Failed(reasons.WORKER_LOST, text, transient=True)
    if not state.get("exitCode"):
        return None
    words = _last_line(str(state.get("message") or ""))
    text = f"container {name} ended with exit code {state['exitCode']}: {words}"
    return Failed(reasons.WORKER_FAILED, text, transient=True)


def _progress(pods: Sequence[Manifest]) -> str:
    """Why a pod does not get on, as far as can be seen."""
    for pod in pods:
        status = pod.get("status") or {}
        for condition in status.get("conditions") or ():
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                return f"its pod waits for a node: {condition.get('message', '')}"[:MESSAGE_LIMIT]
        for container in _containers(pod):
            waiting = (container.get("state") or {}).get("waiting") or {}
            if waiting.get("reason") and waiting["reason"] not in _QUIET:
                text = f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
                return f"container {container['name']}: {text}"[:MESSAGE_LIMIT]
    return "is under way" if pods else "waits for its pod"


def _containers(pod: Manifest) -> Iterator[dict[str, Any]]:
    status = pod.get("status") or {}
    for which in ("initContainerStatuses", "containerStatuses"):
        yield from status.get(which) or ()


def _terminated(pod: Manifest) -> Iterator[tuple[str, dict[str, Any]]]:
    for container in _containers(pod):
        state = (container.get("state") or {}).get("terminated")
        if state:
            yield str(container["name"]), state


def _condition(job: Manifest) -> dict[str, Any] | None:
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition["type"] in {"Complete", "Failed"} and condition["status"] == "True":
            return dict(condition)
    return None


def _label(pod: Manifest) -> str | None:
    return (pod["metadata"].get("labels") or {}).get(JOB_OF_POD)


def _last_line(log: str) -> str:
    lines = [line for line in log.splitlines() if line.strip()]
    return lines[-1][:MESSAGE_LIMIT] if lines else "it said nothing"
