"""The circuit breaker: what many nodes have at once is the fault of none."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operators.machine import builders

from kok.api.machine.machine import Machine
from kok.operators.machine.machine.remediation import breaker

ILL = {"remediation": {"fault": "HostDead", "since": "2026-11-02T11:59:00Z"}}
WELL_AGAIN = {"remediation": {**ILL["remediation"], "well": "2026-11-02T12:00:00Z"}}


def machines(ill: int, total: int) -> list[Machine]:
    return [
        builders.machine(metadata={"name": f"w{n}"}, status=ILL if n < ill else {})
        for n in range(total)
    ]


@pytest.mark.parametrize(
    ("limit", "total", "most"),
    [("25%", 100, 25), ("25%", 3, 1), ("1%", 1, 1), ("50%", 5, 2), (0, 9, 0), (4, 9, 4)],
)
def test_a_share_always_allows_one(limit: Any, total: int, most: int) -> None:
    assert breaker.holds(limit, machines(most, total)) == ""
    if most < total:
        assert breaker.holds(limit, machines(most + 1, total))


def test_of_a_hundred_nodes_thirty_that_fail_at_once_are_left_alone() -> None:
    assert breaker.holds("25%", machines(25, 100)) == ""
    told = breaker.holds("25%", machines(30, 100))
    assert told.startswith("30 of 100 nodes are unhealthy")
    assert "maxUnhealthy (25%) allows, which is 25" in told


def test_only_what_fails_now_counts() -> None:
    well = [builders.machine(metadata={"name": f"b{n}"}, status=WELL_AGAIN) for n in range(5)]
    assert breaker.holds(1, [*machines(1, 2), *well]) == ""
    assert breaker.holds(0, [*machines(1, 2), *well])


def test_nodes_are_counted_by_kubenode_or_by_cluster() -> None:
    owner = {
        "apiVersion": "kok.dev/v1alpha1",
        "kind": "KubeNode",
        "name": "n",
        "uid": "k",
        "controller": True,
    }
    owned = builders.machine(metadata={"ownerReferences": [owner]})
    assert breaker.group(owned) == ("team-a", "k")
    assert breaker.group(builders.machine()) == ("team-a", "Cluster shop")
