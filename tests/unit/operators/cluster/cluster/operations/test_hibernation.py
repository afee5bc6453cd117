"""When a Cluster's parts stop and start, and what is said meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operators.cluster.builders import (
    NOW,
    a_cluster,
    a_deployment,
    a_view,
    an_etcd,
)

from kok.api.cluster.cluster import Cluster
from kok.api.meta import Manifest
from kok.operators.cluster.cluster.conditions.report import conditions
from kok.operators.cluster.cluster.decide import decide
from kok.operators.cluster.cluster.observe import ClusterView
from kok.operators.cluster.cluster.operations import hibernation
from kok.operators.cluster.cluster.operations.hibernation import Hibernation
from kok.operators.cluster.cluster.outcome import ClusterOutcome
from kok.operators.cluster.naming import API_SERVER, COMPONENTS
from kok.operators.cluster.settings import ClusterSettings

ASLEEP = a_cluster(hibernate=True)
AWAKE = a_cluster()


def an_etcd_at(step: str | None, *, available: bool = False, **spec: Any) -> Manifest:
    etcd = an_etcd(ready=False, available=available, **spec)
    if step is not None:
        etcd["status"]["hibernation"] = {"step": step}
    return etcd


def with_replicas(count: int, *extra: Manifest) -> ClusterView:
    ready = count
    found = [a_deployment(c, ready=ready, desired=count) for c in COMPONENTS]
    return a_view(*found, *extra)


ASLEEP_VIEW = with_replicas(0, an_etcd_at("Asleep"))


def decided(cluster: Cluster, view: ClusterView) -> Hibernation:
    return hibernation.decide(cluster, view, NOW)


def recorded(type_: str, step: str, **spec: Any) -> Cluster:
    operation = {"type": type_, "step": step, "since": "2026-11-22T11:00:00Z", "reason": "because"}
    return a_cluster(status={"operation": operation}, **spec)


def under_way(cluster: Cluster, view: ClusterView) -> str | None:
    action = decided(cluster, view).action
    operation = action.operation if action is not None else None
    return f"{operation.type} {operation.step}" if operation is not None else None


def test_etcd_stops_only_when_no_pod_of_the_control_plane_is_left() -> None:
    etcd = an_etcd()
    assert not decided(AWAKE, with_replicas(0, etcd)).etcd_stops
    assert not decided(ASLEEP, with_replicas(1, etcd)).etcd_stops
    stopping = a_view(a_deployment(API_SERVER, ready=0, desired=0, total=1), etcd)
    assert not decided(ASLEEP, stopping).etcd_stops
    assert decided(ASLEEP, with_replicas(0, etcd)).etcd_stops
    # Once told, it is not woken by a pod that turns up.
    told = an_etcd_at("Asleep", hibernate=True)
    assert decided(ASLEEP, with_replicas(1, told)).etcd_stops
    assert not decided(AWAKE, with_replicas(0, told)).etcd_stops


@pytest.mark.parametrize(
    ("cluster", "etcd", "down"),
    [
        (ASLEEP, an_etcd(), True),
        (AWAKE, an_etcd(), False),
        # Away for another reason: nothing is stopped for that.
        (AWAKE, an_etcd_at(None), False),
        (AWAKE, an_etcd_at("Asleep"), True),
        (AWAKE, an_etcd_at("Waking"), True),
        (AWAKE, an_etcd_at("Waking", available=True), False),
        (AWAKE, an_etcd_at("BackingUp", available=True), False),
        # It was there already: whatever it is away for now, the control plane goes on.
        (recorded("Wake", "StartControlPlane"), an_etcd_at("Waking"), False),
    ],
)
def test_the_control_plane_is_down_from_the_wish_until_etcd_is_back(
    cluster: Any, etcd: Manifest, down: bool
) -> None:
    assert decided(cluster, with_replicas(1, etcd)).down is down


@pytest.mark.parametrize(
    ("cluster", "view", "reason", "words"),
    [
        (ASLEEP, with_replicas(1, an_etcd()), "Hibernating", "the control plane stops"),
        (ASLEEP, with_replicas(0, an_etcd()), "Hibernating", "etcd stops"),
        (ASLEEP, with_replicas(0, an_etcd_at("Asleep")), "Hibernated", "their data is kept"),
        (AWAKE, with_replicas(0, an_etcd_at("Waking")), "Waking", "etcd starts"),
    ],
)
def test_conditions_say_how_far_it_is(
    cluster: Any, view: ClusterView, reason: str, words: str
) -> None:
    found = ClusterOutcome(view, decided(cluster, view))
    parts = ("ControlPlaneReady", "EndpointReachable", "Progressing", "Ready")
    told = {type_: conditions(cluster, found, NOW)[type_] for type_ in parts}
    assert {j.reason for j in told.values()} == {reason}
    assert told["Ready"].holds is False
    assert words in told["Ready"].message
    assert told["Progressing"].holds is (reason != "Hibernated")
    assert decided(AWAKE, with_replicas(1, an_etcd())) == Hibernation()


def test_nothing_is_upgraded_asleep() -> None:
    view = with_replicas(1, an_etcd())
    later = a_cluster(hibernate=True, version="1.38.0")
    found = decide(later, view, ClusterSettings(), NOW)
    assert set(found.versions.values()) == {"1.37.1"}
    assert found.versions_once_answering == found.versions


@pytest.mark.parametrize(
    ("cluster", "view", "expected"),
    [
        (ASLEEP, with_replicas(1, an_etcd()), "Hibernate StopControlPlane"),
        (ASLEEP, with_replicas(0, an_etcd()), "Hibernate StopEtcd"),
        (AWAKE, with_replicas(0, an_etcd_at("Waking")), "Wake StartEtcd"),
        (recorded("Wake", "StartEtcd"), with_replicas(0, an_etcd()), "Wake StartControlPlane"),
        (recorded("Wake", "StartEtcd"), with_replicas(1, an_etcd()), None),
        # It was called back before etcd was told.
        (
            recorded("Hibernate", "StopControlPlane"),
            with_replicas(0, an_etcd()),
            "Wake StartControlPlane",
        ),
        (
            recorded("Hibernate", "StopEtcd"),
            with_replicas(0, an_etcd_at("Asleep")),
            "Wake StartEtcd",
        ),
        (
            recorded("Wake", "StartControlPlane", hibernate=True),
            with_replicas(1, an_etcd()),
            "Hibernate StopControlPlane",
        ),
        # Nothing is begun for one that slept, or ran, before operations were recorded.
        (ASLEEP, with_replicas(0, an_etcd_at("Asleep")), None),
        (AWAKE, with_replicas(0, an_etcd()), None),
        (recorded("Hibernate", "StopEtcd", hibernate=True), ASLEEP_VIEW, None),
    ],
)
def test_the_operation_goes_on_from_what_is_found(
    cluster: Cluster, view: ClusterView, expected: str | None
) -> None:
    assert under_way(cluster, view) == expected


def test_a_step_is_a_part_of_the_operation_that_was_begun() -> None:
    begun = recorded("Hibernate", "StopControlPlane", hibernate=True)
    action = decided(begun, with_replicas(0, an_etcd())).action
    assert action is not None
    assert action.operation is not None
    assert (action.operation.step, action.operation.reason) == ("StopEtcd", "because")
    assert action.operation.since == begun.status.operation.since  # type: ignore[union-attr]
    fresh = decided(ASLEEP, with_replicas(1, an_etcd())).action
    assert fresh is not None
    assert fresh.operation is not None
    assert (fresh.operation.reason, fresh.operation.since) == ("spec.hibernate is true", NOW)
