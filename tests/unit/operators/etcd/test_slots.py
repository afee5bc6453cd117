"""Who may start a further Job that moves backups."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operators.etcd.backups.builders import a_job

from kok.api.meta import Manifest
from kok.operators.etcd import jobs
from kok.operators.etcd.slots import waits_for


@pytest.mark.parametrize(
    ("running", "limit", "waits"),
    [
        ({}, 4, None),
        ({"mine": 2}, 4, None),
        ({"mine": 3}, 4, "3 Jobs that move backups of this namespace run already"),
        ({"mine": 1}, 1, "1 Jobs that move backups of this namespace run already"),
        ({"a": 3, "b": 1}, 4, None),
        ({"a": 3, "mine": 1}, 4, "4 Jobs that move backups run already"),
        ({"a": 3, "b": 1, "c": 1, "d": 1, "e": 1}, 4, None),
        ({"a": 800}, 4, None),
        ({"a": 800, "b": 800}, 4, None),
        (dict.fromkeys("abcdefgh", 1), 4, "8 Jobs that move backups run already"),
    ],
)
def test_no_namespace_holds_all_and_the_first_of_each_comes_early(
    running: dict[str, int], limit: int, waits: str | None
) -> None:
    assert waits_for(running, "mine", limit) == waits


def in_namespace(namespace: str, end: str | None = None, **status: Any) -> Manifest:
    job = a_job(end=end, **status)
    job["metadata"]["namespace"] = namespace
    return job


def test_a_job_whose_pod_is_refused_takes_no_place() -> None:
    began = "2026-11-01T00:00:00Z"
    assert jobs.holds_a_slot(in_namespace("a"))
    assert jobs.holds_a_slot(in_namespace("a", startTime=began, active=1))
    assert not jobs.holds_a_slot(in_namespace("a", startTime=began))
    suspended = in_namespace("a")
    suspended["spec"] = {**suspended.get("spec", {}), "suspend": True}
    assert not jobs.holds_a_slot(suspended)
    assert not jobs.holds_a_slot(in_namespace("a", "Complete", startTime=began, succeeded=1))
