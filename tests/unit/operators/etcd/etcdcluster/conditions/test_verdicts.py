"""The status: true whatever happened, and still where nothing did."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.unit.operators.etcd.builders import (
    CLUSTER_ID,
    NOW,
    a_pod,
    a_world,
    an_etcd,
    fails,
    formed,
    listed,
    report,
    says,
    without,
)

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.etcdclient.model import Alarm, EtcdError, Trouble
from kok.operators.etcd import reasons
from kok.operators.etcd.backups.stored import human
from kok.operators.etcd.etcdcluster.conditions.obstacles import Obstacle
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.observed.model import Answer, Observed
from kok.operators.etcd.etcdcluster.operations import Action
from kok.pki import CAProblem, CAReason

SILENT = fails(EtcdError(Trouble.SILENT, "does not answer in time"))


def reported(obj: EtcdCluster, world: Observed, **more: Any) -> EtcdCluster:
    situation = Assessment.of(obj, world, more.get("now", NOW))
    report(situation, more.get("problem"), more.get("ca"), more.get("action"))
    return obj


def told(obj: EtcdCluster, type_: str = "Ready") -> tuple[str, str]:
    found = obj.status.condition(type_)
    assert found is not None
    return found.status, found.reason


def message(obj: EtcdCluster, type_: str = "Ready") -> str:
    found = obj.status.condition(type_)
    return found.message if found is not None else ""


def test_all_is_well() -> None:
    obj = reported(formed(), a_world(formed()))

    assert told(obj) == ("True", "Healthy")
    for type_ in (reasons.AVAILABLE, reasons.MEMBERS_HEALTHY, reasons.CERTIFICATES_READY):
        assert told(obj, type_)[0] == "True"
    status = obj.status
    assert (status.ready_members, status.desired_members) == (3, 3)
    assert (status.leader, status.version, status.storage_version) == (
        "shop-etcd-0",
        "3.6.10",
        "3.6.0",
    )
    assert (status.phase, status.db_size) == ("Ready", "20 kB")
    assert status.endpoints == ["https://shop-etcd-client.team-a.svc:2379"]
    assert status.client_secret == "shop-etcd-client"
    assert [c.name for c in status.certificates] == [
        "shop-etcd-ca",
        "shop-etcd-client",
        "shop-etcd-peer",
        "shop-etcd-server",
    ]


def test_the_same_world_leaves_the_same_status() -> None:
    obj = reported(formed(), a_world(formed()), now=NOW - timedelta(hours=1))
    # By now they have run for long with what they have.
    before = reported(obj, a_world(formed())).status.model_dump()

    reported(obj, a_world(formed()), now=NOW + timedelta(hours=1))

    assert obj.status.model_dump() == before


def test_before_anything_is_made() -> None:
    obj = reported(an_etcd(members=3), Observed())

    assert told(obj) == ("False", "Forming")
    assert told(obj, reasons.CERTIFICATES_READY) == ("False", "Issuing")
    assert obj.status.phase == "Creating"
    assert [m.name for m in obj.status.members] == ["shop-etcd-0", "shop-etcd-1", "shop-etcd-2"]
    assert obj.status.client_secret is None


def test_it_forms_until_all_members_were_healthy_once() -> None:
    obj = an_etcd(members=3)
    reported(obj, Observed())
    obj.status.cluster_id, obj.status.members = CLUSTER_ID, formed().status.members
    world = a_world(obj, {0: says(0), 1: says(1)}, p2=a_pod(obj, 2, ready=False))

    reported(obj, world)

    assert told(obj) == ("False", "Forming")
    assert told(obj, reasons.AVAILABLE) == ("True", "Quorum")
    assert obj.status.phase == "Creating"
    reported(obj, a_world(obj))
    reported(obj, world)
    assert told(obj) == ("False", "MembersNotReady")
    assert obj.status.phase == "Degraded"


def test_one_member_down_of_three() -> None:
    obj = reported(formed(), a_world(formed(), {0: says(0), 2: says(2)}, p1=None))

    assert told(obj) == ("False", "MembersNotReady")
    assert message(obj) == "shop-etcd-1: waits for its pod to be made"
    assert told(obj, reasons.AVAILABLE) == ("True", "Quorum")
    assert obj.status.ready_members == 2
    assert obj.status.leader == "shop-etcd-0"


def test_two_members_down_of_three() -> None:
    alone = says(2, leader=None, quorum=False)
    obj = reported(formed(), a_world(formed(), {2: alone}, p0=None, p1=None))

    assert told(obj) == ("False", "QuorumLost")
    assert message(obj).startswith("1 of 3 members take part, and 2 are needed: ")
    assert obj.status.phase == "Unavailable"
    assert obj.status.leader is None


def test_members_that_are_back_and_elect_a_leader_are_no_reason_to_give_data_up() -> None:
    back = {n: says(n, leader=None, quorum=False) for n in range(3)}
    obj = reported(formed(), a_world(formed(), back))

    assert told(obj, reasons.AVAILABLE) == ("False", "QuorumLost")
    sentence = message(obj, reasons.AVAILABLE)
    assert sentence.startswith("3 of 3 members answer, but a majority has yet to agree")
    assert "allowDataLoss" not in sentence


def test_while_one_goes_on_alone_nothing_is_said_of_those_that_were_stopped() -> None:
    claim = ("PersistentVolumeClaim", "shop-etcd-0")
    world = without(a_world(formed(), {2: says(2, leader=None, quorum=False)}, p0=None), claim)
    alone = Action(reasons.RECOVERING, "shop-etcd-2 goes on alone", None)

    obj = reported(formed(), world, action=alone)

    for type_ in (reasons.READY, reasons.AVAILABLE, reasons.MEMBERS_HEALTHY):
        assert (told(obj, type_), message(obj, type_)) == (
            ("False", "Recovering"),
            "shop-etcd-2 goes on alone",
        )


def test_what_cannot_be_asked_is_unknown_not_false() -> None:
    obj = reported(formed(), a_world(formed(), {0: SILENT, 1: SILENT, 2: SILENT}))

    assert told(obj) == ("Unknown", "MembersUnreachable")
    assert "check network policies" in message(obj)


def test_a_lost_member_says_whether_the_others_hold_the_data() -> None:
    claim = ("PersistentVolumeClaim", "shop-etcd-1")
    obj = reported(formed(), without(a_world(formed(), {0: says(0), 2: says(2)}, p1=None), claim))

    assert told(obj) == ("False", "MemberLost")
    assert message(obj).endswith("the other members still hold all data")
    other = ("PersistentVolumeClaim", "shop-etcd-2")
    worse = reported(
        formed(),
        without(a_world(formed(), {0: says(0, quorum=False)}, p1=None, p2=None), claim, other),
    )
    assert told(worse) == ("False", "MemberLost")
    assert "no majority of members has its data any more" in message(worse)
    assert "go on with what is left (the condition Available says how)" in message(worse)


def test_alarms_are_the_least_of_worries_but_told() -> None:
    full = (Alarm("id-1", "NOSPACE"),)
    obj = reported(formed(), a_world(formed(), {n: says(n, alarms=full) for n in range(3)}))

    assert told(obj) == ("False", "NoSpace")
    assert obj.status.alarms == ["shop-etcd-1: NOSPACE"]
    corrupt = (Alarm("id-1", "CORRUPT"),)
    bad = reported(formed(), a_world(formed(), {n: says(n, alarms=corrupt) for n in range(3)}))
    assert told(bad) == ("False", "Corrupt")
    well = reported(bad, a_world(formed()))
    assert told(well) == ("True", "Healthy")
    assert well.status.alarms == []


def test_alarms_stay_while_nobody_can_be_asked() -> None:
    full = (Alarm("id-1", "NOSPACE"),)
    obj = reported(formed(), a_world(formed(), {n: says(n, alarms=full) for n in range(3)}))

    reported(obj, a_world(formed(), {}))

    assert obj.status.alarms == ["shop-etcd-1: NOSPACE"]


def test_a_ca_problem_shows_though_etcd_is_well() -> None:
    problem = CAProblem(CAReason.CHANGED, "Secret team-a/shop-etcd-ca holds another CA")
    gone = ("Secret", "shop-etcd-server")

    obj = reported(formed(), without(a_world(formed()), gone), ca=problem)

    assert told(obj) == ("False", "CAChanged")
    assert "without a certificate: shop-etcd-server" in message(obj)
    assert told(obj, reasons.AVAILABLE)[0] == "True"
    assert obj.status.phase == "Degraded"


def test_where_nobody_can_be_asked_for_lack_of_certificates_these_are_told() -> None:
    problem = CAProblem(CAReason.MISSING, "Secret team-a/shop-etcd-ca is gone")
    mute = fails(EtcdError(Trouble.UNTRUSTED, "cannot be asked"))

    obj = reported(formed(), a_world(formed(), dict.fromkeys(range(3), mute)), ca=problem)

    assert told(obj) == ("False", "CAMissing")


def test_what_blocks_comes_first() -> None:
    problem = Obstacle(reasons.RETAINED_VOLUMES, "there are volumes")

    obj = reported(an_etcd(), Observed(), problem=problem)

    assert told(obj) == ("False", "RetainedVolumes")
    assert (obj.status.phase, message(obj)) == ("Blocked", "there are volumes")


def sizes(db: int, used: int) -> dict[int, Answer]:
    return {n: says(n, db_size=db, in_use=used) for n in range(3)}


MB = 10**6


@pytest.mark.parametrize(
    ("db", "used", "told_anew"),
    [
        (2 * MB, 1 * MB, False),
        (3 * MB, MB + 200_000, False),
        (5 * MB, 1 * MB, True),
        (2 * MB, 100_000, True),
    ],
)
def test_small_databases_may_breathe(db: int, used: int, told_anew: bool) -> None:
    obj = reported(formed(), a_world(formed(), sizes(2 * MB, 1 * MB)))
    before = obj.status.model_dump()

    reported(obj, a_world(formed(), sizes(db, used)))

    assert (obj.status.model_dump() != before) is told_anew


def test_large_databases_may_breathe_more() -> None:
    obj = reported(formed(), a_world(formed(), sizes(1000 * MB, 900 * MB)))

    reported(obj, a_world(formed(), sizes(1050 * MB, 860 * MB)))
    assert obj.status.db_size == "1.0 GB"
    reported(obj, a_world(formed(), sizes(1200 * MB, 860 * MB)))
    assert obj.status.db_size == "1.2 GB"


def test_sizes_are_brought_up_to_date_with_any_other_change() -> None:
    obj = reported(formed(), a_world(formed(), sizes(2 * MB, 1 * MB)))

    answers = {n: says(n, leader=1, db_size=3 * MB, in_use=MB) for n in range(3)}
    reported(obj, a_world(formed(), answers))

    assert obj.status.leader == "shop-etcd-1"
    assert obj.status.db_size == "3 MB"


def test_the_version_is_that_of_the_slowest_member() -> None:
    answers = {0: says(0), 1: says(1, version="3.6.9"), 2: says(2)}

    assert reported(formed(), a_world(formed(), answers)).status.version == "3.6.9"


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, None), (999, "999 B"), (20_480, "20 kB"), (4_312_345, "4 MB"), (12 * 10**9, "12 GB")],
)
def test_sizes_for_people(size: int, text: str | None) -> None:
    assert human(size) == text


def test_members_that_answer_with_different_lists_are_not_well() -> None:
    """One was made a cluster of its own, and the others of before run beside it."""
    own = replace(says(1, leader=1), members=listed()[1:2])
    obj = reported(formed(), a_world(formed(), {0: says(0), 1: own, 2: says(2)}))

    for type_ in (reasons.AVAILABLE, reasons.MEMBERS_HEALTHY, reasons.READY):
        assert told(obj, type_) == ("False", reasons.MEMBERS_DISAGREE)
    lists = "shop-etcd-0, shop-etcd-2: id-0, id-1, id-2; shop-etcd-1: id-1"
    assert lists in message(obj)
    assert obj.status.quorum_lost_at is None
