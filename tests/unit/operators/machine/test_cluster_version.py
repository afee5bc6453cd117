"""Which version nodes follow, and when no kubelet changes its own."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operators.machine import builders

from kok.operators.machine import cluster_version
from kok.operators.machine.watches import ClusterChanges


def upgrade(step: str, **more: Any) -> dict[str, Any]:
    return {
        "from": "1.36.4",
        "to": "1.37.1",
        "hop": "1.37.1",
        "hopFrom": "1.36.4",
        "step": step,
        "since": "2026-11-02T12:00:00Z",
        "movedAt": "2026-11-02T12:00:00Z",
        **more,
    }


@pytest.mark.parametrize(
    ("status", "follows"),
    [
        ({}, "1.37.1"),
        # Written by an earlier release.
        ({"version": "1.36.4"}, "1.36.4"),
        # All of the control plane runs the new version, and its addons are still on the way.
        ({"version": "1.37.1", "nodesVersion": "1.36.4"}, "1.36.4"),
        ({"version": "1.37.1", "nodesVersion": "1.37.1"}, "1.37.1"),
    ],
)
def test_what_nodes_follow(status: dict[str, Any], follows: str) -> None:
    assert cluster_version.followed(builders.cluster(status=status)) == follows


@pytest.mark.parametrize(
    ("found", "holds"),
    [
        (None, False),
        (upgrade("Preflight"), True),
        # Nothing was begun, and it may be the nodes that have to be brought up first.
        (upgrade("Preflight", blockedBy=["NodeSkew: w1 is too old"]), False),
        (upgrade("Backup"), True),
        (upgrade("APIServer"), True),
        (upgrade("Addons"), True),
        (upgrade("Nodes"), False),
        (upgrade("BackedOut", blockedBy=["APIServer: it crashes"]), False),
    ],
)
def test_kubelets_stay_as_they_are_while_the_control_plane_is_on_its_way(
    found: dict[str, Any] | None, *, holds: bool
) -> None:
    status = {"upgrade": found} if found else {}
    assert bool(cluster_version.held(builders.cluster(status=status))) is holds


@pytest.mark.parametrize(
    ("one", "other", "crosses"),
    [
        ("1.37.1", "1.37.2", False),
        ("1.37.1", "1.37.2-acme.1", False),
        ("1.36.4", "1.37.1", True),
        ("1.3.7", "1.37.1", True),
        ("1.37.1", "of our own", True),
    ],
)
def test_which_changes_are_over_a_minor(one: str, other: str, *, crosses: bool) -> None:
    assert cluster_version.crosses(one, other) is crosses
    assert cluster_version.crosses(other, one) is crosses


def test_nodes_wake_when_they_may_follow() -> None:
    changes = ClusterChanges()

    def woken(**status: Any) -> bool:
        meta = {"namespace": "team-a", "name": "shop", "uid": "u", "generation": 1}
        return bool(changes({"metadata": meta, "status": status}))

    assert woken(version="1.36.4", nodesVersion="1.36.4")
    assert woken(version="1.36.4", nodesVersion="1.36.4", upgrade=upgrade("Preflight"))
    assert not woken(version="1.36.4", nodesVersion="1.36.4", upgrade=upgrade("Etcd"))
    assert woken(version="1.36.4", nodesVersion="1.36.4", upgrade=upgrade("Nodes"))
    assert woken(version="1.36.4", nodesVersion="1.37.1", upgrade=upgrade("Nodes"))
