"""When a Cluster's parts stop and start, and what is said meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.operators.cluster.builders import (
    a_cluster,
    a_deployment,
    a_view,
    an_etcd,
)

from kok.api.meta import Manifest
from kok.operators.cluster.cluster.observe import ClusterView
from kok.operators.cluster.cluster.operations import hibernation
from kok.operators.cluster.naming import API_SERVER, COMPONENTS

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


def test_etcd_stops_only_when_no_pod_of_the_control_plane_is_left() -> None:
    etcd = an_etcd()
    assert not hibernation.etcd_may_stop(AWAKE, with_replicas(0, etcd))
    assert not hibernation.etcd_may_stop(ASLEEP, with_replicas(1, etcd))
    stopping = a_view(a_deployment(API_SERVER, ready=0, desired=0, total=1), etcd)
    assert not hibernation.etcd_may_stop(ASLEEP, stopping)
    assert hibernation.etcd_may_stop(ASLEEP, with_replicas(0, etcd))
    # Once told, it is not woken by a pod that turns up.
    told = an_etcd_at("Asleep", hibernate=True)
    assert hibernation.etcd_may_stop(ASLEEP, with_replicas(1, told))
    assert not hibernation.etcd_may_stop(AWAKE, with_replicas(0, told))


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
    ],
)
def test_the_control_plane_is_down_from_the_wish_until_etcd_is_back(
    cluster: Any, etcd: Manifest, down: bool
) -> None:
    assert hibernation.is_down(cluster, with_replicas(1, etcd)) is down


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
    told = hibernation.told(cluster, view)
    assert {j.reason for j in told.values()} == {reason}
    assert told["Ready"].holds is False
    assert words in told["Ready"].message
    assert told["Progressing"].holds is (reason != "Hibernated")
    assert hibernation.told(AWAKE, with_replicas(1, an_etcd())) == {}


def test_nothing_is_upgraded_asleep() -> None:
    view = with_replicas(1, an_etcd())
    later = a_cluster(hibernate=True, version="1.38.0")
    assert set(hibernation.versions(later, view).values()) == {"1.37.1"}
