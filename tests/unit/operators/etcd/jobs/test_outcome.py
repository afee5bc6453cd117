"""What a Job and its pod say of the work."""

from __future__ import annotations

import pytest
from tests.unit.operators.etcd.etcdbackup.builders import a_job, failed, its_pod, removed, said

from kok.backup.reasons import Reason
from kok.backup.report import Report
from kok.operators.etcd.jobs import outcome
from kok.operators.etcd.jobs.manifest import job_name
from kok.operators.etcd.jobs.outcome import Failed, Running


def test_a_job_without_a_pod_waits() -> None:
    assert outcome.outcome(a_job(), []) == Running("waits for its pod")


def test_why_a_pod_does_not_start_is_told() -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    pod = its_pod(containerStatuses=[{"name": "backup", "state": waiting}])
    found = outcome.outcome(a_job(), [pod])
    assert found == Running("container backup: ImagePullBackOff: no such image")


def test_a_report_with_a_result_is_handed_on() -> None:
    pod = its_pod(containerStatuses=[said(removed())])
    found = outcome.outcome(a_job(end="Complete"), [pod])
    assert isinstance(found, Report)
    assert found.remove is not None


@pytest.mark.parametrize(
    ("reason", "transient"), [(Reason.STORE_BUSY, True), (Reason.STORE_DENIED, False)]
)
def test_a_failure_comes_with_its_reason(reason: Reason, transient: bool) -> None:
    pod = its_pod(containerStatuses=[said(failed(reason), 1)])
    found = outcome.outcome(a_job(end="Failed", reason="BackoffLimitExceeded"), [pod])
    assert found == Failed(reason.value, "the store says no", transient)


def test_the_failure_of_an_earlier_container_is_the_one_that_counts() -> None:
    pod = its_pod(
        initContainerStatuses=[said(failed(Reason.OBJECT_ALTERED), 1, "fetch")],
        containerStatuses=[{"name": "check", "state": {"waiting": {"reason": "PodInitializing"}}}],
    )
    found = outcome.outcome(a_job(end="Failed", containers=("fetch", "check")), [pod])
    assert isinstance(found, Failed)
    assert found.reason == "BackupAltered"


SIDECAR = {"name": "mesh", "state": {"running": {"startedAt": "2026-11-01T00:00:00Z"}}}


def test_what_was_stored_is_stored_although_a_sidecar_runs_on() -> None:
    pod = its_pod(phase="Running", containerStatuses=[SIDECAR, said(removed())])
    found = outcome.outcome(a_job(), [pod])
    assert isinstance(found, Report)
    assert found.remove is not None


def test_what_failed_has_failed_although_a_sidecar_runs_on() -> None:
    pod = its_pod(
        phase="Running", containerStatuses=[SIDECAR, said(failed(Reason.STORE_DENIED), 1)]
    )
    assert outcome.outcome(a_job(), [pod]) == Failed("StoreDenied", "the store says no", False)


def test_what_a_sidecar_says_or_how_it_ends_does_not_count() -> None:
    theirs = said(failed(Reason.OBJECT_ALTERED), 3, "mesh")
    pod = its_pod(phase="Failed", containerStatuses=[theirs, said(removed())])
    found = outcome.outcome(a_job(end="Failed", reason="BackoffLimitExceeded"), [pod])
    assert isinstance(found, Report)
    at_work = {"name": "backup", "state": {"running": {}}}
    early = its_pod(phase="Running", containerStatuses=[theirs, at_work])
    assert outcome.outcome(a_job(), [early]) == Running("is under way")


def test_a_step_that_is_done_is_not_yet_the_whole_work() -> None:
    pod = its_pod(
        phase="Running",
        initContainerStatuses=[said(removed(), name="fetch")],
        containerStatuses=[SIDECAR, {"name": "restore", "state": {"running": {}}}],
    )
    job = a_job(containers=("fetch", "restore"))
    assert outcome.outcome(job, [pod]) == Running("is under way")
    pod["status"]["containerStatuses"] = [SIDECAR, said("", name="restore")]
    assert isinstance(outcome.outcome(job, [pod]), Report)


def test_a_pod_of_which_only_a_sidecar_is_left_does_nothing_for_us() -> None:
    pod = its_pod(phase="Running", containerStatuses=[SIDECAR, said(removed())])
    pod["metadata"]["annotations"] = {outcome.MAIN_CONTAINER: "backup"}
    assert outcome.worked(pod)
    pod["status"]["containerStatuses"] = [SIDECAR, {"name": "backup", "state": {"running": {}}}]
    assert not outcome.worked(pod)


@pytest.mark.parametrize(
    "status", [{"active": 1}, {"failed": 1}, {"uncountedTerminatedPods": {"succeeded": ["uid"]}}]
)
def test_a_job_that_had_a_pod_may_have_stored_something(status: dict[str, object]) -> None:
    assert outcome.ever_ran(a_job(**status), [])
    assert not outcome.ever_ran(a_job(), [its_pod("another")])


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
def test_a_pod_without_a_report_is_tried_again(pod: outcome.Manifest, words: str) -> None:
    job = a_job(end="Failed", containers=("restore", "backup"))
    found = outcome.outcome(job, [pod])
    assert isinstance(found, Failed)
    assert words in found.message
    assert found.transient


def test_a_report_that_is_lost_is_no_success() -> None:
    found = outcome.outcome(a_job(end="Complete"), [])
    assert isinstance(found, Failed)
    assert found.reason == "WorkerLost"


def test_a_job_that_took_too_long_says_what_it_hung_on() -> None:
    waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": "no secret"}}
    pod = its_pod(containerStatuses=[{"name": "backup", "state": waiting}])
    found = outcome.outcome(a_job(end="Failed", reason="DeadlineExceeded"), [pod])
    assert isinstance(found, Failed)
    assert found.reason == "DeadlineExceeded"
    assert "no secret" in found.message


def test_names_of_jobs_fit_a_label_and_stay_apart() -> None:
    assert job_name("one", "backup", 1) == "one-backup-1"
    long = [job_name(f"{'a' * 59}{end}", "backup", 12) for end in "xy"]
    assert all(len(name) <= 63 for name in long)
    assert len(set(long)) == 2
