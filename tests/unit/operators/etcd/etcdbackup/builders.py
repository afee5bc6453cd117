"""Builders of EtcdBackups, Jobs and their pods."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, TypeVar

import structlog
from tests.unit.operators.etcd.builders import NOW

from kok.api.etcd.etcdbackup import EtcdBackup
from kok.api.meta import Manifest, Resource
from kok.backup.reasons import Reason
from kok.backup.report import Failure, RemoveResult, Report
from kok.kube.client import Kube
from kok.operators.etcd import naming
from kok.operators.etcd.jobs.outcome import JOB_OF_POD, MAIN_CONTAINER
from kok.runtime.clock import FakeClock
from kok.runtime.controller.reconciler import Pass
from kok.runtime.settings import Settings

R = TypeVar("R", bound=Resource)
READY: dict[str, Any] = {"type": "Ready", "lastTransitionTime": "2026-11-01T00:00:00Z"}


def a_backup(
    name: str = "one",
    *,
    age: timedelta = timedelta(),
    slot: datetime | None = None,
    spec: dict[str, Any] | None = None,
    reason: str = "",
    **status: Any,
) -> EtcdBackup:
    """An EtcdBackup that was begun `age` ago; `reason` is that of Ready, if it is not."""
    taken = (NOW - age).isoformat()
    meta: dict[str, Any] = {
        "name": name,
        "namespace": "team-a",
        "uid": "abcdef01-2222-3333-4444-555555555555",
        "creationTimestamp": taken,
        "annotations": {naming.ANNOTATION_SLOT: slot.isoformat()} if slot else {},
    }
    if reason:
        condition = {**READY, "status": "False", "reason": reason, "message": "says why"}
        status["conditions"] = [condition]
    if status.get("phase") == "Complete":
        status = {"startedAt": taken, "completedAt": taken, "size": 1000, **status}
    return EtcdBackup.parse(
        {
            "apiVersion": "kok.dev/v1alpha1",
            "kind": "EtcdBackup",
            "metadata": meta,
            "spec": {"etcdCluster": "shop-etcd", **(spec or {})},
            "status": status,
        }
    )


def a_job(
    name: str = "one-backup-1",
    end: str | None = None,
    reason: str = "",
    containers: tuple[str, ...] = ("backup",),
    **status: Any,
) -> Manifest:
    """A Job that runs, or has come to its `end`, `Complete` or `Failed`.

    Its `containers` work one after the other.
    """
    *first, main = containers
    pod = {"initContainers": [{"name": n} for n in first], "containers": [{"name": main}]}
    template = {"metadata": {"annotations": {MAIN_CONTAINER: main}}, "spec": pod}
    conditions = [{"type": end, "status": "True", "reason": reason}] if end else []
    return {
        "metadata": {"name": name},
        "spec": {"template": template},
        "status": {"conditions": conditions, **status},
    }


def its_pod(job: str = "one-backup-1", **status: Any) -> Manifest:
    """A pod of a Job."""
    return {"metadata": {"name": f"{job}-x", "labels": {JOB_OF_POD: job}}, "status": status}


def said(message: str, code: int = 0, name: str = "backup", reason: str = "") -> Manifest:
    """The status of a container that ended with this message."""
    ended = {"exitCode": code, "message": message, "reason": reason}
    return {"name": name, "state": {"terminated": ended}}


def removed() -> str:
    """The report of a worker that did what it was to do."""
    return Report(remove=RemoveResult(existed=True)).text()


def failed(reason: Reason) -> str:
    """The report of a worker that did not."""
    return Report(failure=Failure(reason=reason, message="the store says no")).text()


def a_pass(obj: R, kube: Kube, now: datetime = NOW) -> Pass[R]:
    """One pass over an object, whose status nobody writes."""
    return Pass(
        obj=obj,
        status=obj.status.model_copy(deep=True),
        kube=kube,
        clock=FakeClock(now),
        now=now,
        log=structlog.stdlib.get_logger("test"),
        settings=Settings(),
    )
