"""What is said of pods and rollouts of a control plane that do not come."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operators.cluster.builders import (
    NOW,
    a_cluster,
    a_deployment,
    a_view,
    all_running,
    an_etcd,
)
from tests.unit.operators.cluster.healthy_cluster import URL, healthy, verdict

from kok.api.meta import Manifest
from kok.operators.cluster.cluster.observe import is_late
from kok.operators.cluster.naming import API_SERVER
from kok.runtime.pods.messages import EventSummary, last_error_line

ANSWER = "Readiness probe failed: HTTP probe failed with statuscode: 401"
EVENT = EventSummary("Unhealthy", ANSWER, NOW, NOW)


def a_pod(**status: Any) -> Manifest:
    return {
        "kind": "Pod",
        "metadata": {
            "name": "shop-apiserver-1",
            "labels": {"app.kubernetes.io/component": API_SERVER},
        },
        "status": status,
    }


@pytest.mark.parametrize(
    ("pod", "sentence"),
    [
        (
            a_pod(
                containerStatuses=[
                    {
                        "ready": False,
                        "restartCount": 3,
                        "lastState": {
                            "terminated": {
                                "exitCode": 1,
                                "message": "Error: unknown  flag: --x\nUsage:",
                            }
                        },
                    }
                ]
            ),
            "False Crashing: kube-apiserver in pod shop-apiserver-1 exited with code 1, "
            "restarts: 3; it said: Error: unknown flag: --x",
        ),
        (
            a_pod(
                initContainerStatuses=[
                    {
                        "name": "konnectivity-server",
                        "image": "mirror.example/proxy-server:v1",
                        "ready": False,
                        "restartCount": 0,
                        "state": {
                            "waiting": {"reason": "ImagePullBackOff", "message": "not found"}
                        },
                    }
                ],
                containerStatuses=[
                    {
                        "ready": False,
                        "restartCount": 0,
                        "state": {"waiting": {"reason": "PodInitializing"}},
                    }
                ],
            ),
            "False ImageUnavailable: image mirror.example/proxy-server:v1 for konnectivity-server "
            "beside kube-apiserver cannot be pulled: not found",
        ),
        (
            a_pod(
                containerStatuses=[
                    {
                        "image": "mirror/kube-apiserver:v1",
                        "state": {"waiting": {"reason": "ErrImagePull", "message": "not found"}},
                    }
                ]
            ),
            "False ImageUnavailable: image mirror/kube-apiserver:v1 for kube-apiserver cannot be "
            "pulled: not found",
        ),
        (
            a_pod(
                conditions=[
                    {
                        "type": "PodScheduled",
                        "status": "False",
                        "reason": "Unschedulable",
                        "lastTransitionTime": "2026-11-22T11:00:00Z",
                        "message": "0/1 nodes are available: 1 Insufficient memory",
                    }
                ]
            ),
            "False Unschedulable: no meta node takes kube-apiserver (since 2026-11-22 11:00:00 "
            "UTC): 0/1 nodes are available: 1 Insufficient memory",
        ),
        (
            a_pod(
                containerStatuses=[
                    {
                        "ready": False,
                        "restartCount": 2,
                        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                        "lastState": {
                            "terminated": {
                                "exitCode": 137,
                                "reason": "OOMKilled",
                                "finishedAt": "2026-11-22T11:30:00Z",
                            }
                        },
                    }
                ]
            ),
            "False OutOfMemory: kube-apiserver in pod shop-apiserver-1 was killed at "
            "2026-11-22T11:30:00Z because it used more memory than it may have, restarts: 2; "
            "raise spec.apiServer.resources.limits.memory",
        ),
        (
            a_pod(
                containerStatuses=[
                    {
                        "ready": False,
                        "restartCount": 0,
                        "state": {"running": {"startedAt": "2026-11-22T11:30:00Z"}},
                    }
                ]
            ),
            f"False NotReady: kube-apiserver in pod shop-apiserver-1 runs since "
            f"2026-11-22T11:30:00Z and is not ready: {ANSWER}",
        ),
        (
            # kubelet ended it in an orderly way: "Completed" would tell nothing.
            a_pod(
                containerStatuses=[
                    {
                        "ready": False,
                        "restartCount": 1,
                        "state": {"running": {"startedAt": "2026-11-22T11:30:00Z"}},
                        "lastState": {"terminated": {"exitCode": 0, "reason": "Completed"}},
                    }
                ]
            ),
            f"False NotReady: kube-apiserver in pod shop-apiserver-1 is never ready, and was "
            f"restarted 1 times for that: {ANSWER}",
        ),
        (
            a_pod(
                containerStatuses=[
                    {
                        "ready": False,
                        "state": {
                            "waiting": {
                                "reason": "CreateContainerConfigError",
                                "message": 'secret "x" not found',
                            }
                        },
                    }
                ]
            ),
            'False NotReady: kube-apiserver in pod shop-apiserver-1 cannot start: secret "x" not '
            "found",
        ),
        (
            a_pod(
                containerStatuses=[
                    {"ready": False, "state": {"waiting": {"reason": "ContainerCreating"}}}
                ]
            ),
            f"False NotReady: kube-apiserver in pod shop-apiserver-1 cannot start: {ANSWER} "
            "(since 2026-11-22 12:00:00 UTC)",
        ),
    ],
)
def test_pods_that_are_not_well_say_why(pod: Manifest, sentence: str) -> None:
    view = a_view(
        an_etcd(),
        a_deployment(API_SERVER, ready=0),
        pods=(pod,),
        complaints={"shop-apiserver-1": EVENT},
    )
    assert verdict(healthy(view=view, reach=None, bootstrap=None)) == sentence


def stuck(**condition: str) -> Manifest:
    """An API server's Deployment whose new pod does not come, beside an old one that serves."""
    live = a_deployment(API_SERVER, ready=1, desired=1, updated=0)
    live["status"]["conditions"] = [
        {"lastTransitionTime": "2026-11-22T11:00:00Z", **condition},
    ]
    return live


@pytest.mark.parametrize(
    ("condition", "moving", "told"),
    [
        (
            {
                "type": "ReplicaFailure",
                "status": "True",
                "reason": "FailedCreate",
                "message": 'pods "shop-apiserver-7" is forbidden: exceeded quota: small',
            },
            True,
            "PodsRefused: kube-apiserver (since 2026-11-22 11:00:00 UTC): its pod is refused: "
            "exceeded quota: small; set spec.apiServer.resources, or change the namespace's "
            "ResourceQuota or LimitRange",
        ),
        (
            {
                "type": "Progressing",
                "status": "False",
                "reason": "ProgressDeadlineExceeded",
                "message": "ReplicaSet has timed out",
            },
            False,
            "RolloutStuck: the rollout of kube-apiserver made no progress in time (since "
            "2026-11-22 11:00:00 UTC): ReplicaSet has timed out",
        ),
    ],
)
def test_a_rollout_that_hangs_says_why_and_the_cluster_still_serves(
    condition: dict[str, str], moving: bool, told: str
) -> None:
    cluster = a_cluster(status={"version": "1.36.4", "phase": "Running"})
    found = healthy(view=a_view(an_etcd(), stuck(**condition), *all_running()[1:]))
    reason, sentence = told.split(": ", 1)
    assert verdict(found, "ControlPlaneReady", cluster) == f"False {told}"
    assert verdict(found, "Progressing", cluster) == (
        f"{moving} {reason}: 1.36.4 -> 1.37.1: kube-apiserver is being rolled out; {sentence}"
    )
    assert verdict(found, cluster=cluster) == f"True Available: {URL} answers; but {sentence}"


@pytest.mark.parametrize(
    ("pod", "late"),
    [
        (a_pod(), False),
        (a_pod(startTime="2026-11-22T11:59:50Z", containerStatuses=[{"ready": False}]), False),
        (a_pod(startTime="2026-11-22T11:59:00Z", containerStatuses=[{"ready": False}]), True),
        (a_pod(startTime="2026-11-22T11:59:00Z", containerStatuses=[{"ready": True}]), False),
        (
            a_pod(
                startTime="2026-11-22T11:59:55Z",
                containerStatuses=[{"ready": False, "restartCount": 1}],
            ),
            True,
        ),
    ],
)
def test_kubelet_is_asked_only_about_pods_that_should_be_ready(pod: Manifest, late: bool) -> None:
    assert is_late(pod, NOW) is late


@pytest.mark.parametrize(
    ("log", "words"),
    [
        ("", ""),
        ("one\ntwo\n", "two"),
        (
            'I1122 22:07:19.8 1 a.go:1] "Starting"\n'
            'E1122 22:07:19.9 1 server.go:281] "Leaderelection lost"\n'
            'I1122 22:07:20.0 1 b.go:2] "Shutting down"\n',
            '"Leaderelection lost"',
        ),
        (
            "E1122 1:1 1 a.go:1] first\nError: unknown flag: --x\nUsage:\n",
            "Error: unknown flag: --x",
        ),
        ("F1122 1:1 1 a.go:1] no etcd\ngoroutine 1 [running]:\nmain.main()\n", "no etcd"),
    ],
)
def test_of_a_log_the_line_that_tells_most_is_shown(log: str, words: str) -> None:
    assert last_error_line(log) == words
