"""What a pass is to do, and when the next one comes."""

from __future__ import annotations

from datetime import timedelta
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

from kok.api.cluster.status import CertificateStatus
from kok.operators.cluster.cluster.decide import (
    keys_hash,
    next_pod_look,
    next_probe,
    renewals,
    running_version,
    versions_to_run,
)
from kok.operators.cluster.cluster.observe import ClusterView, running
from kok.operators.cluster.naming import API_SERVER, COMPONENTS, CONTROLLER_MANAGER, SCHEDULER

OLD, NEW = "1.36.4", "1.37.1"


def wanted(view: ClusterView, *, answers: bool = False, **rest: Any) -> dict[str, str]:
    cluster = a_cluster(**rest)
    return versions_to_run(cluster, view, cluster.spec.version, answers=answers)


@pytest.mark.parametrize(
    "view",
    [
        a_view(),
        a_view(an_etcd(ready=False)),
        a_view(an_etcd(ready=False, available=False)),
        a_view(an_etcd(), etcd_secret=False),
    ],
)
def test_nothing_starts_before_etcd_answers(view: ClusterView) -> None:
    assert wanted(view) == {}


@pytest.mark.parametrize("etcd", [an_etcd(), an_etcd(ready=False, available=True)])
def test_the_api_server_starts_as_soon_as_etcd_has_a_quorum(etcd: dict[str, Any]) -> None:
    assert wanted(a_view(etcd)) == {API_SERVER: NEW}


def test_the_others_start_together_when_the_api_answers() -> None:
    view = a_view(an_etcd(), a_deployment(API_SERVER))
    assert wanted(view) == {API_SERVER: NEW}
    assert wanted(view, answers=True) == {
        API_SERVER: NEW,
        CONTROLLER_MANAGER: NEW,
        SCHEDULER: NEW,
    }


def test_what_runs_stays_while_etcd_and_api_are_away() -> None:
    view = a_view(an_etcd(ready=False), *all_running(ready=0))
    assert set(wanted(view)) == {API_SERVER, CONTROLLER_MANAGER, SCHEDULER}


def test_a_new_version_reaches_the_api_server_first() -> None:
    view = a_view(an_etcd(), *all_running(OLD))
    assert wanted(view, answers=True) == {
        API_SERVER: NEW,
        CONTROLLER_MANAGER: OLD,
        SCHEDULER: OLD,
    }


@pytest.mark.parametrize(
    "state",
    [
        {"ready": 1, "desired": 2},
        {"ready": 2, "desired": 2, "updated": 1},
        {"ready": 2, "desired": 2, "total": 3},
    ],
)
def test_the_others_wait_until_no_old_api_server_is_left(state: dict[str, int]) -> None:
    others = [a_deployment(c, version=OLD) for c in (CONTROLLER_MANAGER, SCHEDULER)]
    rolling = a_view(an_etcd(), a_deployment(API_SERVER, version=NEW, **state), *others)
    assert wanted(rolling, answers=True)[SCHEDULER] == OLD
    done = a_view(an_etcd(), a_deployment(API_SERVER, version=NEW), *others)
    assert wanted(done, answers=True)[SCHEDULER] == NEW


def test_a_version_that_cannot_run_is_taken_back_at_once() -> None:
    stuck = a_deployment(API_SERVER, version="1.37.99", ready=1, desired=1, updated=1, total=2)
    others = [a_deployment(c, version=OLD) for c in (CONTROLLER_MANAGER, SCHEDULER)]
    status = {
        "version": OLD,
        "components": [{"name": c, "version": OLD} for c in COMPONENTS],
    }
    view = a_view(an_etcd(), stuck, *others)
    assert wanted(view, answers=True, version=OLD, status=status) == dict.fromkeys(COMPONENTS, OLD)


def test_on_the_way_back_the_api_server_goes_last() -> None:
    stuck = a_deployment(CONTROLLER_MANAGER, version=NEW, ready=0)
    scheduler = a_deployment(SCHEDULER, version=OLD)
    view = a_view(an_etcd(), a_deployment(API_SERVER, version=NEW), stuck, scheduler)
    status = {"version": OLD}
    assert wanted(view, answers=True, version=OLD, status=status) == {
        API_SERVER: NEW,
        CONTROLLER_MANAGER: OLD,
        SCHEDULER: OLD,
    }
    back = a_deployment(CONTROLLER_MANAGER, version=OLD)
    view = a_view(an_etcd(), a_deployment(API_SERVER, version=NEW), back, scheduler)
    assert wanted(view, version=OLD, status=status) == dict.fromkeys(COMPONENTS, OLD)


def test_a_deployment_that_was_just_written_is_not_done() -> None:
    fresh = a_deployment(API_SERVER, version=NEW)
    fresh["metadata"]["generation"] = 3
    assert not running(API_SERVER, fresh).complete


def test_a_spec_that_is_raised_twice_in_a_row_skips_no_minor() -> None:
    """The second change is allowed, seen from the spec alone; what runs is still at the first."""
    status = {"components": [{"name": c, "version": "1.35.4"} for c in COMPONENTS]}
    others = [a_deployment(c, version="1.35.4") for c in (CONTROLLER_MANAGER, SCHEDULER)]
    not_begun = a_view(an_etcd(), *all_running("1.35.4"))
    assert wanted(not_begun, answers=True, status=status)[API_SERVER] == OLD
    rolling = a_deployment(API_SERVER, version="1.36.9", ready=0)
    assert wanted(a_view(an_etcd(), rolling, *others), status=status) == {
        API_SERVER: "1.36.9",
        CONTROLLER_MANAGER: "1.35.4",
        SCHEDULER: "1.35.4",
    }
    # The others have to follow before the API server goes on.
    done = a_deployment(API_SERVER, version=OLD)
    assert set(wanted(a_view(an_etcd(), done, *others), status=status).values()) == {OLD}
    assert wanted(a_view(an_etcd(), *all_running(OLD)), status=status)[API_SERVER] == NEW


def test_a_label_that_was_scribbled_on_is_put_right() -> None:
    view = a_view(an_etcd(), *all_running("rubbish"))
    assert wanted(view)[API_SERVER] == NEW


def test_going_back_takes_the_api_server_back_first_too() -> None:
    view = a_view(
        an_etcd(),
        a_deployment(API_SERVER, version=NEW, ready=0),
        *(a_deployment(c, version=OLD) for c in (CONTROLLER_MANAGER, SCHEDULER)),
    )
    assert set(wanted(view, version=OLD).values()) == {OLD}


def test_a_deleted_component_comes_back_as_it_was_even_without_the_api() -> None:
    status = {"components": [{"name": SCHEDULER, "version": OLD, "ready": 1, "desired": 1}]}
    view = a_view(an_etcd(), a_deployment(API_SERVER, version=NEW, ready=0))
    assert wanted(view, status=status) == {API_SERVER: NEW, SCHEDULER: OLD}


def test_the_version_is_what_all_run_completely() -> None:
    status = {"version": OLD}
    cluster = a_cluster(status=status)
    assert running_version(cluster, a_view(*all_running(NEW))) == NEW
    mixed = a_view(a_deployment(API_SERVER, version=NEW), *all_running(OLD)[1:])
    assert running_version(cluster, mixed) == OLD
    assert running_version(a_cluster(), a_view()) is None


def test_the_hash_of_keys_depends_on_every_key_and_not_on_their_order() -> None:
    assert keys_hash({"a": "1", "b": "2"}) == keys_hash({"b": "2", "a": "1"})
    assert keys_hash({"a": "1", "b": "2"}) != keys_hash({"a": "1", "b": "3"})


def test_what_is_due_and_cannot_be_renewed_is_not_looked_at_all_the_time() -> None:
    certificates = [
        CertificateStatus(name=name, not_after=NOW, renew_at=NOW + timedelta(seconds=seconds))
        for name, seconds in (("ca", -9), ("just-now", 0), ("soon", 0.5), ("later", 60))
    ]
    assert renewals(certificates, NOW) == [1.0, 60.0]


def test_an_api_is_asked_often_at_first_and_then_more_seldom() -> None:
    waits = [next_probe(NOW - timedelta(seconds=s), NOW) for s in (0, 5, 60, 3600)]
    assert waits == [0.2, 1.0, 12.0, 30.0]
    assert next_probe(NOW + timedelta(seconds=9), NOW) == 0.2


@pytest.mark.parametrize(("seconds", "look"), [(0, 10.0), (100, 20.0), (9000, 120.0)])
def test_pods_that_are_not_ready_are_looked_at_less_and_less_often(
    seconds: int, look: float
) -> None:
    pod = {"metadata": {"creationTimestamp": NOW.isoformat()}}
    assert next_pod_look(pod, NOW + timedelta(seconds=seconds)) == look
