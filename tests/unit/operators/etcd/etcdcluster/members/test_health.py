"""What is known of each member."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.operators.etcd.builders import (
    CLUSTER_ID,
    NOW,
    a_pod,
    a_world,
    an_etcd,
    fails,
    formed,
    listed,
    says,
    without,
)

from kok.etcdclient.model import Alarm, EtcdError, Trouble
from kok.operators.etcd.etcdcluster.members import health
from kok.operators.etcd.etcdcluster.members.health import (
    JudgedMember,
    judge_member,
    judge_members,
    last_words,
    learn,
)
from kok.operators.etcd.etcdcluster.observed.model import Answer, Observed

SILENT = EtcdError(Trouble.SILENT, "does not answer in time")
REFUSING = EtcdError(Trouble.NOT_LISTENING, "does not serve clients yet")
UNCLEAR = EtcdError(Trouble.REFUSED, "refuses: etcdserver: user name is empty")
NAMES = ("shop-etcd-0", "shop-etcd-1", "shop-etcd-2")


def one(number: int = 1, answer: Answer | None = None, **pods: Any) -> JudgedMember:
    """Member `number` of a formed cluster whose others are well."""
    obj = formed()
    answers = {n: says(n) for n in range(3)}
    if answer is not None:
        answers[number] = answer
    world = a_world(obj, answers, **pods)
    return judge_member(obj, world, obj.status.members[number], NOW)


def test_a_healthy_member_is_told_with_all_that_it_says() -> None:
    seen = one()

    assert seen.condition == "healthy"
    assert seen.entry.ready
    assert seen.entry.role == "Follower"
    assert (seen.entry.version, seen.entry.node) == ("3.6.10", "node-1")
    assert (seen.entry.db_size, seen.entry.in_use) == (20_480, 16_384)
    assert seen.entry.message is None


def test_the_leader_is_who_says_so_of_itself() -> None:
    assert one(0).entry.role == "Leader"


@pytest.mark.parametrize(
    ("answer", "condition", "sentence"),
    [
        (says(1, leader=None), "pending", "knows of no leader"),
        (says(1, is_learner=True), "pending", "is a learner and does not vote yet"),
        (fails(REFUSING), "pending", "is ready, but does not serve clients yet"),
        (fails(SILENT), "unreachable", "is ready, but does not answer in time"),
        (fails(UNCLEAR), "unreachable", "is ready, but refuses: etcdserver: user name is empty"),
        (
            says(1, cluster_id="beef"),
            "foreign",
            f"belongs to etcd cluster beef and not to {CLUSTER_ID}; it is not counted",
        ),
    ],
)
def test_a_ready_pod_is_not_enough(answer: Answer, condition: str, sentence: str) -> None:
    seen = one(answer=answer)

    assert not seen.entry.ready
    assert (seen.condition, seen.entry.message) == (condition, sentence)


def test_a_member_that_is_silent_stays_as_last_seen() -> None:
    obj = formed()
    obj.status.members[1].version, obj.status.members[1].db_size = "3.6.9", 77

    seen = judge_member(obj, a_world(obj, {0: says(0)}, p1=None), obj.status.members[1], NOW)

    assert (seen.entry.version, seen.entry.db_size) == ("3.6.9", 77)
    assert (seen.entry.role, seen.entry.ready, seen.entry.node) == ("Unknown", False, None)


def crash(message: str = "", **ended: Any) -> dict[str, Any]:
    return {"exitCode": 1, "message": message, **ended}


OBJ = formed()
LOG = "\n".join(
    json.dumps(entry)
    for entry in (
        {"level": "info", "ts": "2026-01-01", "msg": "starting"},
        {"level": "fatal", "ts": "2026-01-01", "msg": "discovery failed", "error": "no disk"},
    )
)


@pytest.mark.parametrize(
    ("pod", "sentence"),
    [
        (None, "waits for its pod to be made"),
        (
            a_pod(OBJ, 1, ready=False, state={"waiting": {"reason": "ContainerCreating"}}),
            "its container is being made",
        ),
        (
            a_pod(
                OBJ,
                1,
                ready=False,
                state={"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
            ),
            "ImagePullBackOff: no such image",
        ),
        (
            a_pod(
                OBJ,
                1,
                ready=False,
                conditions=[
                    {"type": "PodScheduled", "status": "False", "message": "0/3 nodes fit"}
                ],
            ),
            "waits for a node: 0/3 nodes fit",
        ),
        (
            a_pod(
                OBJ,
                1,
                ready=False,
                state={"waiting": {"reason": "CrashLoopBackOff"}},
                ended=crash(LOG),
            ),
            "its container ended: exit code 1, discovery failed: no disk",
        ),
        (
            a_pod(
                OBJ,
                1,
                ready=False,
                state={"waiting": {"reason": "CrashLoopBackOff"}},
                ended=crash(reason="OOMKilled"),
            ),
            "its container ended: it was killed for using more memory than its limit",
        ),
        (a_pod(OBJ, 1, ready=False, podIP=None), "has no address yet"),
    ],
)
def test_why_a_member_is_not_healthy(pod: dict[str, Any] | None, sentence: str) -> None:
    obj = formed()
    world = a_world(obj, {0: says(0), 2: says(2)}, p1=pod)

    seen = judge_member(obj, world, obj.status.members[1], NOW)

    assert seen.entry.message == sentence
    assert seen.condition == "pending"


def test_a_started_container_that_refuses_tells_how_the_one_before_ended() -> None:
    pod = a_pod(OBJ, 1, ready=False, ended=crash(LOG))

    seen = one(answer=fails(REFUSING), p1=pod)

    assert seen.entry.message == (
        "has been started, but does not serve clients yet; before, its container ended: "
        "exit code 1, discovery failed: no disk"
    )


def test_a_volume_that_waits_names_what_is_wrong_with_its_class() -> None:
    obj = formed()
    pod = a_pod(obj, 1, ready=False, conditions=[{"type": "PodScheduled", "status": "False"}])
    world = a_world(obj, {0: says(0)}, "StorageClass fast does not exist", p1=pod)

    seen = judge_member(obj, world, obj.status.members[1], NOW)

    assert seen.entry.message == "StorageClass fast does not exist"


# --- lost members


def test_a_member_without_its_volume_is_lost() -> None:
    obj = formed()
    world = without(a_world(obj, {0: says(0)}, p1=None), ("PersistentVolumeClaim", NAMES[1]))

    seen = judge_member(obj, world, obj.status.members[1], NOW)

    assert seen.condition == "lost"
    assert "PersistentVolumeClaim shop-etcd-1, is gone" in (seen.entry.message or "")


def test_a_member_that_still_runs_on_a_deleted_volume_is_not_lost_yet() -> None:
    obj = formed()
    world = without(a_world(obj), ("PersistentVolumeClaim", NAMES[1]))

    assert judge_member(obj, world, obj.status.members[1], NOW).condition == "healthy"


@pytest.mark.parametrize("state", [{"running": {}}, {"waiting": {"reason": "CrashLoopBackOff"}}])
def test_a_member_that_found_its_volume_empty_is_lost(state: dict[str, Any]) -> None:
    log = json.dumps(
        {"level": "fatal", "msg": "x", "error": "couldn't find local name in the initial cluster"}
    )
    pod = a_pod(OBJ, 1, ready=False, state=state, ended=crash(log))

    seen = one(answer=fails(REFUSING), p1=pod)

    assert seen.condition == "lost"
    assert "is empty although the member had started before" in (seen.entry.message or "")


def test_a_member_whose_persistent_volume_is_gone_is_lost() -> None:
    obj = formed()
    world = a_world(obj, {0: says(0)}, p1=a_pod(obj, 1, ready=False))
    world.children["PersistentVolumeClaim", NAMES[1]]["status"]["phase"] = "Lost"

    seen = judge_member(obj, world, obj.status.members[1], NOW)

    assert seen.condition == "lost"
    assert "the PersistentVolume of PersistentVolumeClaim shop-etcd-1" in (seen.entry.message or "")


def test_a_pod_on_its_way_out_names_its_node() -> None:
    pod = a_pod(OBJ, 1)
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"

    seen = one(answer=fails(SILENT), p1=pod)

    assert (seen.condition, seen.entry.message) == (
        "pending",
        "its pod is being stopped on node node-1",
    )


# --- what must never be forgotten


def unseen(**status: Any) -> Any:
    return an_etcd(members=3, status={"members": [{"name": name} for name in NAMES], **status})


def test_the_cluster_and_its_members_are_learnt_once() -> None:
    obj = unseen()
    world = a_world(obj)

    assert learn(obj, world, NAMES)
    assert obj.status.cluster_id == CLUSTER_ID
    assert [m.id for m in obj.status.members] == ["id-0", "id-1", "id-2"]
    assert not learn(obj, world, NAMES)


def test_members_that_disagree_teach_nothing() -> None:
    obj = unseen()

    assert not learn(obj, a_world(obj, {0: says(0), 1: says(1, cluster_id="beef")}), NAMES)
    assert obj.status.cluster_id is None


def test_a_foreign_member_is_not_learnt() -> None:
    obj = unseen(clusterID=CLUSTER_ID)

    learn(obj, a_world(obj, {0: says(0), 1: Answer(says(1, cluster_id="beef").status)}), NAMES[:2])

    assert obj.status.members[1].id == "id-1", "by the list that a quorum agrees on"
    lonely = unseen(clusterID=CLUSTER_ID)
    learn(lonely, a_world(lonely, {1: Answer(says(1, cluster_id="beef").status)}), NAMES)
    assert [m.id for m in lonely.status.members] == [None, None, None]


def test_a_listed_member_that_has_never_started_is_not_learnt() -> None:
    obj = unseen()
    never = listed()[2]
    fresh = type(never)(never.id, "", never.peer_urls, (), False)
    status = says(0).status
    world = a_world(obj, {0: Answer(status, (*listed()[:2], fresh))})

    learn(obj, world, NAMES)

    assert [m.id for m in obj.status.members] == ["id-0", "id-1", None]


def test_an_id_once_learnt_never_changes() -> None:
    obj = formed()

    learn(obj, a_world(obj, {1: says(1, member_id="id-new")}), NAMES)

    assert obj.status.members[1].id == "id-1"


# --- across members


def test_the_leader_is_that_of_the_latest_term() -> None:
    answers = {"a": says(0, leader=0, raft_term=2), "b": says(1, leader=1, raft_term=3)}

    assert health.leader_of(answers) == "id-1"
    assert health.leader_of({}) is None


def test_alarms_are_told_by_name_of_member() -> None:
    entries = formed().status.members
    raised = (Alarm("id-2", "NOSPACE"), Alarm("dead", "CORRUPT"))

    told = health.alarms_of(entries, {"a": says(0, alarms=raised), "b": says(1, alarms=raised)})

    assert told == ["dead: CORRUPT", "shop-etcd-2: NOSPACE"]


def test_all_members_are_told_in_order() -> None:
    assert [v.entry.name for v in judge_members(formed(), Observed(), NAMES, NOW)] == list(NAMES)


@given(st.text())
def test_any_log_has_bounded_last_words(log: str) -> None:
    assert len(last_words(log)) <= health.MESSAGE_LIMIT
