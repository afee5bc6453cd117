"""What a Job and its pod say of the work."""

from __future__ import annotations

import pytest
from tests.unit.operators.etcd.backups.builders import a_job, failed, its_pod, removed, said

from kok.operators.etcd import jobs
from kok.operators.etcd.jobs import Failed, Running
from kok.operators.etcd.render.worker import job_name
from kok.operators.etcd.worker.reasons import Reason
from kok.operators.etcd.worker.report import Report


def test_a_job_without_a_pod_waits() -> None:
    assert jobs.outcome(a_job(), []) == Running("waits for its pod")


def test_why_a_pod_does_not_start_is_told() -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    pod = its_pod(containerStatuses=[{"name": "backup", "state": waiting}])
    found = jobs.outcome(a_job(), [pod])
    assert found == Running("container backup: ImagePullBackOff: no such image")


def test_a_report_with_a_result_is_handed_on() -> None:
    pod = its_pod(containerStatuses=[said(removed())])
    found = jobs.outcome(a_job(end="Complete"), [pod])
    assert isinstance(found, Report)
    assert found.remove is not None


@pytest.mark.parametrize(
    ("reason", "transient"), [(Reason.STORE_BUSY, True), (Reason.STORE_DENIED, False)]
)
def test_a_failure_comes_with_its_reason(reason: Reason, transient: bool) -> None:
    pod = its_pod(containerStatuses=[said(failed(reason), 1)])
    found = jobs.outcome(a_job(end="Failed", reason="BackoffLimitExceeded"), [pod])
    assert found == Failed(reason.value, "the store says no", transient)


def test_the_failure_of_an_earlier_container_is_the_one_that_counts() -> None:
    pod = its_pod(
        initContainerStatuses=[said(failed(Reason.OBJECT_ALTERED), 1, "fetch")],
        containerStatuses=[{"name": "check", "state": {"waiting": {"reason": "PodInitializing"}}}],
    )
    found = jobs.outcome(a_job(end="Failed"), [pod])
    assert isinstance(found, Failed)
    assert found.reason == "BackupAltered"


@pytest.mark.parametrize(
    ("pod", "words"),
    [
        (its_pod(containerStatuses=[said("", 137, reason="OOMKilled")]), "more memory"),
        (its_pod(containerStatuses=[said("a\nno space left\n", 2, "restore")]), "no space left"),
        (its_pod(reason="Evicted", message="the node was low on disk"), "low on disk"),
        (its_pod("another"), "is gone"),
    ],
    ids=["out of memory", "another program's last words", "evicted", "no pod"],
)
def test_a_pod_without_a_report_is_tried_again(pod: jobs.Manifest, words: str) -> None:
    found = jobs.outcome(a_job(end="Failed"), [pod])
    assert isinstance(found, Failed)
    assert words in found.message
    assert found.transient


def test_a_report_that_is_lost_is_no_success() -> None:
    found = jobs.outcome(a_job(end="Complete"), [])
    assert isinstance(found, Failed)
    assert found.reason == "WorkerLost"


def test_a_job_that_took_too_long_says_what_it_hung_on() -> None:
    waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": "no secret"}}
    pod = its_pod(containerStatuses=[{"name": "backup", "state": waiting}])
    found = jobs.outcome(a_job(end="Failed", reason="DeadlineExceeded"), [pod])
    assert isinstance(found, Failed)
    assert found.reason == "DeadlineExceeded"
    assert "no secret" in found.message


def test_names_of_jobs_fit_a_label_and_stay_apart() -> None:
    assert job_name("one", "backup", 1) == "one-backup-1"
    long = [job_name(f"{'a' * 59}{end}", "backup", 12) for end in "xy"]
    assert all(len(name) <= 63 for name in long)
    assert len(set(long)) == 2
