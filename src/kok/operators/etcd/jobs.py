"""What became of a Job: from it and its pod to the worker's report. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kok.api.meta import Manifest
from kok.operators.etcd import reasons
from kok.operators.etcd.worker.reasons import Reason
from kok.operators.etcd.worker.report import Report

JOB_OF_POD = "batch.kubernetes.io/job-name"
MESSAGE_LIMIT = 600
_QUIET = {"ContainerCreating", "PodInitializing"}


@dataclass(frozen=True, slots=True)
class Running:
    """The Job is not through."""

    message: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Nothing came of it."""

    reason: str
    message: str
    transient: bool
    """Whether trying the same again may help."""


Outcome = Running | Failed | Report


def ended(job: Manifest) -> bool:
    """Whether a Job will do nothing more."""
    return _condition(job) is not None


def outcome(job: Manifest, pods: Sequence[Manifest]) -> Outcome:
    """What a Job has come to; `pods` may hold those of other Jobs as well.

    A `Report` is one with a result: failures that a worker reports become `Failed`.
    """
    mine = [p for p in pods if _label(p) == job["metadata"]["name"]]
    condition = _condition(job)
    if condition is None:
        return Running(_progress(mine))
    reports = [report for pod in mine if (report := _report(pod)) is not None]
    for report in reports:
        if report.failure is not None:
            failure = report.failure
            return Failed(failure.reason.value, failure.message, failure.transient)
    if condition["type"] == "Complete":
        if reports:
            return reports[-1]
        text = f"the pod of Job {job['metadata']['name']} is gone, and its report with it"
        return Failed(reasons.WORKER_LOST, text, transient=True)
    if condition.get("reason") == "DeadlineExceeded":
        text = f"Job {job['metadata']['name']} was not through in time; {_progress(mine)}"
        return Failed(Reason.DEADLINE_EXCEEDED.value, text, transient=True)
    return _silent(job, mine)


def _silent(job: Manifest, pods: Sequence[Manifest]) -> Failed:
    """A pod that ended without a report: killed, or not the worker failed but etcd's own tools."""
    for pod in pods:
        for name, state in _terminated(pod):
            if state.get("reason") == "OOMKilled":
                text = f"container {name} was killed for using more memory than its limit"
                return Failed(reasons.WORKER_LOST, text, transient=True)
            if state.get("exitCode"):
                words = _last_line(str(state.get("message") or ""))
                text = f"container {name} ended with exit code {state['exitCode']}: {words}"
                return Failed(reasons.WORKER_FAILED, text, transient=True)
        if (pod.get("status") or {}).get("reason"):
            status = pod["status"]
            text = f"its pod was ended: {status['reason']}: {status.get('message', '')}"
            return Failed(reasons.WORKER_LOST, text[:MESSAGE_LIMIT], transient=True)
    text = f"the pod of Job {job['metadata']['name']} is gone"
    return Failed(reasons.WORKER_LOST, text, transient=True)


def _report(pod: Manifest) -> Report | None:
    """The last report of a pod's containers, or of the one that failed."""
    found = [
        (state, report)
        for _, state in _terminated(pod)
        if (report := Report.parse(str(state.get("message") or ""))) is not None
    ]
    for _, report in found:
        if report.failure is not None:
            return report
    return found[-1][1] if found else None


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
