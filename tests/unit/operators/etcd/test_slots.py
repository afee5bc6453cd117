"""How many Jobs that move backups may run: no namespace holds up the others."""

from __future__ import annotations

from typing import Any

from tests.unit.operators.etcd.backups.builders import a_job

from kok.api.meta import Manifest
from kok.operators.etcd import jobs
from kok.operators.etcd.slots import full


def in_namespace(namespace: str, end: str | None = None, **status: Any) -> Manifest:
    job = a_job(end=end, **status)
    job["metadata"]["namespace"] = namespace
    return job


def test_one_place_is_kept_for_other_namespaces() -> None:
    running = [in_namespace("greedy") for _ in range(3)]
    assert "in namespace greedy already" in (full(running, "greedy", 4) or "")
    assert full(running, "modest", 4) is None
    assert "as many as may run" in (full([*running, in_namespace("modest")], "third", 4) or "")


def test_a_single_place_is_everybodys() -> None:
    assert full([], "greedy", 1) is None
    assert full([in_namespace("greedy")], "modest", 1) is not None


def test_a_job_whose_pod_is_refused_takes_no_place() -> None:
    began = "2026-11-01T00:00:00Z"
    assert jobs.holds_a_slot(in_namespace("a"))
    assert jobs.holds_a_slot(in_namespace("a", startTime=began, active=1))
    assert not jobs.holds_a_slot(in_namespace("a", startTime=began))
    assert not jobs.holds_a_slot(in_namespace("a", "Complete", startTime=began, succeeded=1))
