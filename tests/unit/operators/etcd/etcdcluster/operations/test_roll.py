"""Rolls: whose turn it is, what keeps a turn from coming, and the ways back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.operators.etcd.builders import (
    NOW,
    a_pod,
    a_world,
    action,
    decided,
    doing,
    formed,
    says,
    without,
)

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.status import EtcdBackupSummary
from kok.etcdclient.model import Alarm
from kok.operators.etcd import reasons
from kok.operators.etcd.etcdcluster.members import templates
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.observed.model import Answer, Observed
from kok.operators.etcd.etcdcluster.operations import roll
from kok.operators.etcd.etcdcluster.operations.action import MoveLeader
from kok.operators.etcd.etcdcluster.operations.roll import Restart
from kok.operators.etcd.settings import Tuning

ALL = ("shop-etcd-0", "shop-etcd-1", "shop-etcd-2")
SETTINGS = {"tuning": {"snapshotCount": 20000}}


def running(version: str = "3.6.10", members: int = 3) -> EtcdCluster:
    """A formed cluster whose members run that version, as does its spec."""
    obj = formed(members, version=version)
    obj.status.version = version
    for member in obj.status.members:
        member.version = version
    return obj


def wants(obj: EtcdCluster, **spec: Any) -> EtcdCluster:
    """The same cluster after its spec was changed."""
    after = obj.model_copy(deep=True)
    changed = formed(len(obj.status.members), **{"version": obj.spec.version, **spec})
    after.spec = changed.spec
    return after


def answers(version: str = "3.6.10", leader: int = 0, **more: Any) -> dict[int, Answer]:
    return {n: says(n, leader=leader, version=version, **more) for n in range(3)}


def told(obj: EtcdCluster, world: Observed, **later: float) -> tuple[bool, str, str]:
    return roll.verdict(Assessment.of(obj, world, NOW + timedelta(**later)))


def on_turn(obj: EtcdCluster, number: int, step: str = "Restart") -> EtcdCluster:
    return doing(obj, "Roll", member=ALL[number], step=step)


def after_turns(obj: EtcdCluster, world: Observed, *numbers: int) -> Observed:
    """The world once these members have what the spec says."""
    children = dict(world.children)
    for number in numbers:
        name = ALL[number]
        want = templates.wanted(obj, world, name)
        pod = a_pod(obj, number)
        pod["metadata"]["annotations"] = want["spec"]["template"]["metadata"]["annotations"]
        children["StatefulSet", name] = want
        children["Pod", f"{name}-0"] = pod
    return Observed(children, world.answers, world.storage)


# --- whose turn it is


def test_nothing_is_rolled_where_all_is_as_the_spec_says() -> None:
    obj = running()

    assert decided(obj, a_world(obj)) is None
    assert told(obj, a_world(obj)) == (True, reasons.CURRENT, "")


def test_a_follower_comes_first_and_its_turn_is_recorded_before_anything_is_done() -> None:
    obj = running()

    found = action(wants(obj, **SETTINGS), a_world(obj))

    assert (found.reason, found.call) == (reasons.ROLLING, Restart(ALL[1]))
    assert found.operation is not None
    assert (found.operation.type, found.operation.member) == ("Roll", ALL[1])


def test_only_the_member_on_turn_gets_another_statefulset() -> None:
    obj = running()
    world, after = a_world(obj), on_turn(wants(obj, **SETTINGS), 1)

    assert templates.intended(after, world, ALL[0]) is None
    assert templates.intended(after, world, ALL[1]) == templates.wanted(after, world, ALL[1])


def test_a_statefulset_that_was_deleted_comes_back_with_the_version_that_ran() -> None:
    obj = running("3.6.8")
    after = wants(obj, version="3.6.10")
    world = without(a_world(obj), ("StatefulSet", ALL[1]))

    made = templates.intended(after, world, ALL[1])

    assert made is not None
    image = made["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image.endswith(":3.6.8-0")


def test_the_next_one_waits_until_the_one_before_is_healthy_and_has_caught_up() -> None:
    obj = on_turn(wants(running(), **SETTINGS), 1)
    begun = after_turns(obj, a_world(running()), 1)
    silent = Observed(begun.children, {n: a for n, a in begun.answers.items() if n != ALL[1]})
    behind = {**begun.answers, ALL[1]: says(1, applied_index=10)}
    ahead = {n: says(i, raft_index=900) for i, n in enumerate(ALL) if i != 1}

    assert action(obj, silent).operation == obj.status.operation
    waits = action(obj, Observed(begun.children, {**behind, **ahead}))
    assert "has yet to catch up" in waits.message
    assert action(obj, begun).call == Restart(ALL[2])


def test_the_leader_comes_last_and_does_not_lead_any_more_when_it_goes() -> None:
    obj = wants(running(), **SETTINGS)
    world = after_turns(obj, a_world(running()), 1, 2)

    first = action(obj, world)
    then = Observed(world.children, {n: says(i, leader=1) for i, n in enumerate(ALL)})

    assert first.call == MoveLeader("https://10.0.0.1:2379", ALL[1], "id-1")
    assert first.operation is not None
    assert first.operation.step == "MoveLeader"
    assert action(on_turn(obj, 0, "MoveLeader"), then).call == Restart(ALL[0])


def test_a_roll_ends_when_all_have_had_their_turn() -> None:
    obj = on_turn(wants(running(), **SETTINGS), 0)
    world = after_turns(obj, a_world(running()), 0, 1, 2)

    found = action(obj, world)

    assert (found.reason, found.operation, found.call) == (reasons.CURRENT, None, None)


# --- what blocks


def test_a_sick_member_blocks_an_upgrade_but_gets_settings_first() -> None:
    obj = running("3.6.8")
    sick = {n: a for n, a in answers("3.6.8").items() if n != 2}
    world = a_world(obj, sick)

    assert decided(wants(obj, version="3.6.10"), world) is None
    holds, reason, message = told(wants(obj, version="3.6.10"), world)
    assert (holds, reason) == (False, reasons.ROLL_BLOCKED)
    assert "shop-etcd-2 is not healthy (has no address yet)" in message
    assert action(wants(obj, **SETTINGS), world).call == Restart(ALL[2])


def test_another_sick_member_blocks_settings_too() -> None:
    obj = running()
    world = after_turns(wants(obj, **SETTINGS), a_world(obj), 2)
    del (children := dict(world.children))["Pod", f"{ALL[2]}-0"]
    said = {n: a for n, a in world.answers.items() if n != ALL[2]}

    holds, reason, message = told(wants(obj, **SETTINGS), Observed(children, said))

    assert (holds, reason) == (False, reasons.ROLL_BLOCKED)
    assert "shop-etcd-2 is not healthy" in message


@pytest.mark.parametrize(
    ("before", "after", "storage", "sentence"),
    [
        ("3.5.21", "3.6.10", None, "3.5.21 -> 3.6.10 is not safe; upgrade every member to at"),
        ("3.6.10", "3.7.3", "3.6.0", "3.6.10 -> 3.7.3 is not safe; upgrade every member to at"),
        ("3.6.11", "3.7.3", "3.5.0", "has data in the form of 3.5 and not yet of 3.6"),
        ("3.7.3", "3.6.11", "3.7.0", "the data has the form of 3.7 already"),
    ],
)
def test_gates_are_told_with_what_to_do(
    before: str, after: str, storage: str | None, sentence: str
) -> None:
    obj = running(before)
    obj.status.storage_version = storage
    world = a_world(obj, answers(before, storage_version=storage))

    holds, reason, message = told(wants(obj, version=after), world)

    assert (holds, reason) == (False, reasons.ROLL_BLOCKED)
    assert sentence in message
    assert decided(wants(obj, version=after), world) is None


def test_an_alarm_blocks_an_upgrade_but_not_the_settings_that_may_end_it() -> None:
    obj = running()
    obj.status.alarms = ["shop-etcd-0: NOSPACE"]
    full = answers(alarms=(Alarm("id-0", "NOSPACE"),))

    assert (
        "alarm shop-etcd-0: NOSPACE is raised"
        in told(wants(obj, version="3.6.11"), a_world(obj, full))[2]
    )
    assert told(wants(obj, **SETTINGS), a_world(obj, full))[1] == reasons.RESTART_NEEDED


BACKUP = {"schedule": "0 * * * *", "store": {"volume": {"claim": "backups"}}}


@pytest.mark.parametrize(
    ("hours", "annotation", "blocked"),
    [(None, "", True), (25, "", True), (1, "", False), (25, "3.6.10", False), (25, "3.6.9", True)],
)
def test_an_upgrade_wants_a_fresh_backup_where_a_schedule_makes_some(
    hours: int | None, annotation: str, blocked: bool
) -> None:
    obj = running("3.6.8")
    after = wants(obj, version="3.6.10", backup=BACKUP)
    after.metadata.annotations = {"kok.dev/upgrade-without-backup": annotation}
    if hours is not None:
        at = NOW - timedelta(hours=hours)
        after.status.last_backup = EtcdBackupSummary(name="b", at=at, size=1)

    holds, reason, message = told(after, a_world(obj, answers("3.6.8")))

    assert not holds
    assert (reason == reasons.ROLL_BLOCKED) is blocked
    assert ("make an EtcdBackup, or annotate the EtcdCluster" in message) is blocked


def test_an_upgrade_that_has_begun_does_not_wait_for_another_backup() -> None:
    obj = running("3.6.8")
    after = wants(obj, version="3.6.10", backup=BACKUP)
    after.status.members[1].version = "3.6.10"

    assert told(after, a_world(obj, answers("3.6.8")))[1] == reasons.RESTART_NEEDED


# --- members that fail


def stuck() -> tuple[EtcdCluster, Observed]:
    """Member 1 was to go from 3.6.8 to 3.6.10 and never came back."""
    obj = running("3.6.8")
    after = on_turn(wants(obj, version="3.6.10"), 1)
    world = after_turns(after, a_world(obj, answers("3.6.8")), 1)
    said = {n: a for n, a in world.answers.items() if n != ALL[1]}
    return after, Observed(world.children, said)


def test_a_member_that_does_not_come_back_stops_the_roll_and_the_ways_out_are_told() -> None:
    obj, world = stuck()

    assert told(obj, world)[1] == reasons.ROLLING
    holds, reason, message = told(obj, world, seconds=Tuning().roll_stuck_after.total_seconds() + 1)

    assert (holds, reason) == (False, reasons.ROLL_STUCK)
    assert "shop-etcd-1 does not become healthy" in message
    assert "back to version 3.6.8" in message
    assert action(obj, world, hours=1).call is None


def test_the_way_back_begins_with_the_member_that_is_stuck() -> None:
    obj, world = stuck()
    obj.spec.version = "3.6.8"

    found = action(obj, world)

    assert found.call == Restart(ALL[1])
    intended = templates.intended(obj, world, ALL[1])
    assert intended is not None
    assert ":3.6.8-0" in str(intended["spec"]["template"]["spec"]["containers"][0]["image"])


def test_without_a_quorum_a_sick_member_gets_new_settings_but_no_new_version() -> None:
    obj = running()
    world = a_world(obj, {n: says(n, leader=None, quorum=False) for n in range(2)}, p2=None)

    assert action(wants(obj, **SETTINGS), world).call == Restart(ALL[0])
    assert decided(wants(obj, version="3.6.11"), world) is None


# --- volumes that grow


def test_the_quota_follows_a_volume_that_has_grown() -> None:
    obj = running()
    after = wants(obj, storage={"size": "16Gi"})
    world = a_world(obj)
    claim = world.children["PersistentVolumeClaim", ALL[1]]

    claim["status"]["capacity"] = {"storage": "8Gi"}
    assert decided(after, a_world(obj)) is not None
    assert not templates.outdated(after, world, ALL[1])
    claim["status"]["capacity"] = {"storage": "16Gi"}
    assert templates.outdated(after, world, ALL[1])
