"""Whose Lease is given back, and when: only what nobody can hold any more."""

from __future__ import annotations

from typing import Any

import pytest

from kok.operators.cluster.cluster.operations.leadership import (
    given_back,
    has_ended,
    holder,
    is_alive,
)

POD = "shop-controller-manager-7dfd674757-5gddn"
RUNS: dict[str, Any] = {"state": {"running": {}}}
ENDED: dict[str, Any] = {"state": {"terminated": {"exitCode": 0}}}
GOING = {"deletionTimestamp": "2026-11-30T00:00:00Z"}


def lease(identity: object) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": "7"}, "spec": {"holderIdentity": identity}}


@pytest.mark.parametrize(
    "identity",
    [
        None,
        "",
        7,
        "somebody",
        "other-controller-manager-7dfd674757-5gddn_0f1e",
        "shop_0f1e",
    ],
)
def test_what_is_no_pod_of_the_cluster_is_left_alone(identity: object) -> None:
    assert holder(lease(identity), "shop") is None


def test_the_holder_is_known_by_the_name_of_its_pod() -> None:
    assert holder(lease(f"{POD}_3a9f"), "shop") == POD
    assert holder(None, "shop") is None
    assert holder({"metadata": {}, "spec": ["a server of somebody"]}, "shop") is None


@pytest.mark.parametrize(
    ("meta", "status", "ended"),
    [
        ({}, {"phase": "Running", "containerStatuses": [RUNS]}, False),
        # A container that crashed comes back in the same pod, with another identity.
        ({}, {"phase": "Running", "containerStatuses": [ENDED]}, False),
        (GOING, {"phase": "Running", "containerStatuses": [RUNS]}, False),
        (GOING, {"phase": "Running", "containerStatuses": [ENDED, RUNS]}, False),
        (GOING, {"phase": "Running"}, False),
        (GOING, {"phase": "Running", "containerStatuses": [ENDED]}, True),
        (GOING, {"phase": "Failed"}, True),
        ({}, {"phase": "Succeeded"}, True),
    ],
)
def test_a_pod_has_ended_when_nothing_of_it_can_run(
    meta: dict[str, Any], status: dict[str, Any], ended: bool
) -> None:
    pod = {"metadata": {"name": POD, **meta}, "status": status}
    assert has_ended(pod) is ended
    assert is_alive(POD, [pod]) is not ended
    assert not is_alive("shop-controller-manager-7dfd674757-other", [pod])
    assert not is_alive(POD, [])


def test_names_that_are_too_long_for_a_hostname_are_known_all_the_same() -> None:
    name = "a-cluster-whose-name-is-long"
    pod = f"{name}-controller-manager-7dfd674757-5gddn"
    host = pod[:63]
    assert len(pod) > 63
    assert holder(lease(f"{host}_3a9f"), name) == host
    runs = {"metadata": {"name": pod}, "status": {"phase": "Running", "containerStatuses": [RUNS]}}
    assert is_alive(host, [runs])


def test_only_the_lease_that_was_looked_at_is_given_back() -> None:
    patch = given_back(lease(f"{POD}_3a9f"))
    assert patch["metadata"] == {"resourceVersion": "7"}
    assert patch["spec"]["holderIdentity"] == ""
