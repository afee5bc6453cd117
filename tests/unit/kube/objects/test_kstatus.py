"""How far objects are, by their own words."""

from __future__ import annotations

from typing import Any

import pytest

from kok.kube.objects.kstatus import SAID, progress_of

TRUE, FALSE = "True", "False"


def cond(type_: str, status: str, message: str = "", reason: str = "") -> dict[str, str]:
    return {"type": type_, "status": status, "message": message, "reason": reason}


def an_object(
    api: str,
    kind: str,
    *conditions: dict[str, str],
    spec: dict[str, Any] | None = None,
    meta: dict[str, Any] | None = None,
    **status: Any,
) -> dict[str, Any]:
    said = {**status, **({"conditions": list(conditions)} if conditions else {})}
    return {
        "apiVersion": api,
        "kind": kind,
        "metadata": {"name": "x", "generation": 2, **(meta or {})},
        "spec": spec or {},
        "status": said,
    }


CRD = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
API = ("apiregistration.k8s.io/v1", "APIService")
LB = {"type": "LoadBalancer"}


@pytest.mark.parametrize(
    "live",
    [
        an_object("v1", "ConfigMap"),
        an_object("example.com/v1", "Thing"),
        an_object("example.com/v1", "Thing", cond("Ready", TRUE), observedGeneration=2),
        an_object("example.com/v1", "Thing", cond("Reconciling", FALSE), cond("Stalled", FALSE)),
        an_object("v1", "Service"),
        an_object("v1", "Service", spec=LB, loadBalancer={"ingress": [{"ip": "192.0.2.1"}]}),
        an_object("v1", "PersistentVolumeClaim", phase="Bound"),
        an_object("v1", "Pod", cond("Ready", TRUE), phase="Running"),
        an_object("v1", "Pod", cond("Ready", FALSE), phase="Succeeded"),
        an_object("batch/v1", "Job", cond("Complete", TRUE)),
        an_object("batch/v1", "Job", spec={"suspend": True}),
        an_object(*CRD, cond("NamesAccepted", TRUE), cond("Established", TRUE)),
        an_object(*API, cond("Available", TRUE)),
        an_object("policy/v1", "PodDisruptionBudget", currentHealthy=2, desiredHealthy=1),
        an_object("v1", "Namespace", phase="Active"),
        an_object("apps/v1", "ReplicaSet", spec={"replicas": 2}, readyReplicas=2),
        an_object("apps/v1", "Deployment", cond("Progressing", TRUE)),
        an_object("v1", "Node", cond("Ready", FALSE)),
    ],
)
def test_what_is_as_it_should_be(live: dict[str, Any]) -> None:
    assert progress_of(live).current


@pytest.mark.parametrize(
    ("live", "failed", "why"),
    [
        (
            an_object("example.com/v1", "Thing", cond("Ready", TRUE), observedGeneration=1),
            False,
            "its controller has not seen the latest change",
        ),
        (
            an_object("example.com/v1", "Thing", cond("Ready", FALSE, "no\n licence")),
            False,
            "no licence",
        ),
        (
            an_object("example.com/v1", "Thing", cond("Ready", TRUE), cond("Stalled", TRUE, "bad")),
            True,
            "bad",
        ),
        (
            an_object("example.com/v1", "Thing", cond("Reconciling", TRUE, reason="Rolling")),
            False,
            "Rolling",
        ),
        (
            an_object("v1", "ConfigMap", meta={"deletionTimestamp": "2026-01-01T00:00:00Z"}),
            False,
            "it is being deleted",
        ),
        (an_object("v1", "Service", spec=LB), False, "it has no address of a load balancer yet"),
        (an_object("v1", "PersistentVolumeClaim", phase="Pending"), False, "it has no volume yet"),
        (an_object("v1", "PersistentVolumeClaim", phase="Lost"), True, "its volume is lost"),
        (an_object("v1", "Pod", phase="Failed", message="evicted"), True, "evicted"),
        (
            an_object("v1", "Pod", cond("PodScheduled", FALSE, "no room"), phase="Pending"),
            False,
            "no room",
        ),
        (an_object("batch/v1", "Job", cond("Failed", TRUE, "deadline")), True, "deadline"),
        (an_object("batch/v1", "Job", active=1), False, "it has not ended yet"),
        (
            an_object(*CRD, cond("NamesAccepted", FALSE, '"things" is already in use')),
            True,
            '"things" is already in use',
        ),
        (an_object(*CRD), False, "it is not established"),
        (an_object(*API, cond("Available", FALSE, "no endpoints")), False, "no endpoints"),
        (
            an_object("policy/v1", "PodDisruptionBudget", currentHealthy=0, desiredHealthy=1),
            False,
            "0 of 1 pods are healthy",
        ),
        (an_object("v1", "Namespace", phase="Terminating"), False, "it is being deleted"),
        (an_object("apps/v1", "ReplicaSet"), False, "0 of 1 pods are ready"),
        (
            an_object(
                "apps/v1",
                "Deployment",
                cond("Progressing", FALSE, "timed out", "ProgressDeadlineExceeded"),
            ),
            True,
            "timed out",
        ),
    ],
)
def test_what_is_not_and_why(live: dict[str, Any], failed: bool, why: str) -> None:
    found = progress_of(live)
    assert (found.current, found.failed, found.why) == (False, failed, why)


@pytest.mark.parametrize(
    "junk", [None, 5, "x", [1], [["a"]], {"a": 1}, [{"type": [], "status": {}}]]
)
@pytest.mark.parametrize(
    ("api", "kind"),
    [
        CRD,
        API,
        ("v1", "Pod"),
        ("v1", "Service"),
        ("v1", "PersistentVolumeClaim"),
        ("batch/v1", "Job"),
        ("policy/v1", "PodDisruptionBudget"),
        ("apps/v1", "ReplicaSet"),
        ("example.com/v1", "Thing"),
    ],
)
def test_a_status_of_any_shape_does_no_harm(api: str, kind: str, junk: Any) -> None:
    keys = ("conditions", "phase", "loadBalancer", "currentHealthy", "readyReplicas", "message")
    for status in (junk, dict.fromkeys([*keys, "observedGeneration"], junk)):
        progress_of(
            {"apiVersion": api, "kind": kind, "metadata": junk, "spec": junk, "status": status}
        )


def test_of_what_a_status_says_little_is_kept() -> None:
    long = an_object("example.com/v1", "Thing", cond("Ready", FALSE, "\x1b[2J" + "x" * 10**6))
    why = progress_of(long).why
    assert len(why) <= SAID
    assert why.isprintable()
