"""Which members count as lost for good: with proof only."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.operators.etcd.builders import NOW, a_pod, a_world, formed, says, without

from kok.api.etcd.etcdcluster import EtcdCluster, EtcdMember
from kok.api.meta import Manifest
from kok.operators.etcd.etcdcluster.members import templates
from kok.operators.etcd.etcdcluster.members.lost import CORRUPT, EMPTY_VOLUME, why_lost
from kok.operators.etcd.etcdcluster.observed.model import Observed

ENTRY = EtcdMember(name="shop-etcd-1", id="id-1")
LONG_ILL = ENTRY.model_copy(update={"unhealthy_since": NOW - timedelta(minutes=6)})
CRASHING = {"waiting": {"reason": "CrashLoopBackOff"}}


def world_with(pod: Manifest | None, *, answers: bool = False) -> Observed:
    said = {0: says(0), 2: says(2)} | ({1: says(1)} if answers else {})
    return a_world(formed(), said, p1=pod)


def crashed(words: str, restarts: int = 3) -> Manifest:
    ended = {"exitCode": 2, "message": words}
    pod = a_pod(formed(), 1, ready=False, state=CRASHING, ended=ended)
    pod["status"]["containerStatuses"][0]["restartCount"] = restarts
    return pod


def unscheduled(obj: EtcdCluster | None = None) -> Manifest:
    pod = a_pod(obj or formed(), 1, ready=False, phase="Pending", podIP="")
    why = {"type": "PodScheduled", "status": "False", "message": "volume node affinity conflict"}
    pod["status"]["conditions"].append(why)
    return pod


def terminating(since: timedelta) -> Manifest:
    pod = a_pod(formed(), 1, ready=False)
    pod["metadata"]["deletionTimestamp"] = (NOW - since).isoformat()
    return pod


@pytest.mark.parametrize("sign", CORRUPT)
def test_damaged_files_are_a_loss_once_they_stopped_it_again(sign: str) -> None:
    words = f'{{"level":"panic","error":"{sign}: x"}}'

    assert sign in (why_lost(formed(), world_with(crashed(words)), ENTRY, NOW) or "")
    assert why_lost(formed(), world_with(crashed(words, restarts=1)), ENTRY, NOW) is None


def test_an_empty_volume_is_a_loss_at_once() -> None:
    world = world_with(crashed(f"fatal: {EMPTY_VOLUME} in the initial cluster", restarts=0))

    assert "is empty" in (why_lost(formed(), world, ENTRY, NOW) or "")


@pytest.mark.parametrize(
    "words",
    [
        "write /var/lib/etcd/data/member/wal/0.tmp: no space left on device",
        "found data inconsistency with peers",
        "fatal error: runtime: out of memory",
        "failed to map db file: cannot allocate memory",
        "x509: certificate has expired",
    ],
)
def test_what_can_be_mended_is_no_loss_however_long_it_takes(words: str) -> None:
    assert why_lost(formed(), world_with(crashed(words)), LONG_ILL, NOW) is None


def test_a_member_that_answers_is_not_lost_whatever_it_said_before() -> None:
    world = world_with(crashed(EMPTY_VOLUME), answers=True)

    assert why_lost(formed(), world, LONG_ILL, NOW) is None


@pytest.mark.parametrize("pod", [unscheduled(), terminating(timedelta(minutes=2))])
def test_a_node_that_is_gone_is_a_loss_after_a_while(pod: Manifest) -> None:
    ill = ENTRY.model_copy(update={"unhealthy_since": NOW - timedelta(minutes=4)})

    assert why_lost(formed(), world_with(pod), ill, NOW) is None
    assert "more than 5m" in (why_lost(formed(), world_with(pod), LONG_ILL, NOW) or "")
    patient = formed(recovery={"replaceAfter": "1h"})
    assert why_lost(patient, world_with(pod), LONG_ILL, NOW) is None


def test_a_pod_that_asks_for_what_no_node_has_is_no_loss() -> None:
    """What its settings are now is told by the pod, with which it was healthy by the entry."""
    obj = formed(resources={"requests": {"cpu": "900"}})
    entry = LONG_ILL.model_copy(update={"healthy_with": templates.made_of(a_pod(formed(), 1))})
    asks = unscheduled(obj)

    assert why_lost(obj, world_with(asks), entry, NOW) is None
    back = why_lost(formed(), world_with(unscheduled()), entry, NOW)
    assert "has found no node" in (back or ""), "with the former ones it is"


def test_another_ca_does_not_bring_a_node_back() -> None:
    known = templates.made_of(a_pod(formed(), 1)).partition("/")[0]
    entry = LONG_ILL.model_copy(update={"healthy_with": f"{known}/an-earlier-one"})

    assert why_lost(formed(), world_with(unscheduled()), entry, NOW) is not None


def test_a_volume_that_is_gone_is_a_loss_whatever_the_settings() -> None:
    entry = LONG_ILL.model_copy(update={"healthy_with": "others"})
    world = without(world_with(unscheduled()), ("PersistentVolumeClaim", "shop-etcd-1"))

    assert "is gone" in (why_lost(formed(), world, entry, NOW) or "")


@pytest.mark.parametrize(
    "pod",
    [
        terminating(timedelta(seconds=-20)),
        a_pod(formed(), 1, ready=False),
        crashed("anything"),
        None,
    ],
    ids=["may still end", "runs and cannot be reached", "crashes", "has no pod"],
)
def test_a_member_that_may_come_back_is_no_loss(pod: Any) -> None:
    assert why_lost(formed(), world_with(pod), LONG_ILL, NOW) is None


def test_a_pod_that_waits_for_its_first_volume_is_no_loss() -> None:
    obj = formed()
    world = world_with(unscheduled())
    claim = dict(world.children["PersistentVolumeClaim", "shop-etcd-1"])
    claim["status"] = {"phase": "Pending"}
    world = Observed(
        {**world.children, ("PersistentVolumeClaim", "shop-etcd-1"): claim}, world.answers
    )

    assert why_lost(obj, world, LONG_ILL, NOW) is None


def test_a_volume_that_is_gone_is_a_loss_but_not_under_a_pod_that_runs() -> None:
    gone = ("PersistentVolumeClaim", "shop-etcd-1")

    assert why_lost(formed(), without(world_with(a_pod(formed(), 1)), gone), ENTRY, NOW) is None
    assert "is gone" in (why_lost(formed(), without(world_with(None), gone), ENTRY, NOW) or "")


def test_a_node_that_was_gone_while_nobody_looked_gets_its_time_once_more() -> None:
    world = replace(world_with(unscheduled()), watched_since=NOW - timedelta(minutes=4))

    assert why_lost(formed(), world, LONG_ILL, NOW) is None
    assert "more than 5m" in (why_lost(formed(), world, LONG_ILL, NOW + timedelta(minutes=1)) or "")
