"""What members are known to run with, and what nobody restores a backup in the place of."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.unit.operators.etcd.builders import (
    CLUSTER_ID,
    NOW,
    a_pod,
    a_world,
    action,
    doing,
    formed,
    report,
    says,
    without,
)
from tests.unit.operators.etcd.etcdcluster.restores.builders import passing, restoring
from tests.unit.operators.etcd.etcdcluster.restores.test_rescue import NAME, made, proven

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.operators.etcd import naming, reasons
from kok.operators.etcd.etcdcluster.conditions import obstacles
from kok.operators.etcd.etcdcluster.decide import adopt
from kok.operators.etcd.etcdcluster.members import templates
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.operators.etcd.etcdcluster.restores import rescue, takeover
from kok.operators.etcd.settings import Tuning
from kok.runtime.conditions import Verdict

LONG, STEADY = timedelta(hours=1), Tuning().steady_after
LOST = Verdict(False, reasons.QUORUM_LOST)
TYPO = {"limits": {"memory": "16Mi"}}
OOM = {"exitCode": 137, "reason": "OOMKilled"}
CRASHING = {"waiting": {"reason": "CrashLoopBackOff"}}


def seen(obj: EtcdCluster, world: Observed, at: datetime) -> EtcdCluster:
    """The object after a pass."""
    available = report(Assessment.of(obj, world, at))
    rescue.note(obj, available, at)
    return obj


def steady(**spec: Any) -> EtcdCluster:
    """Its members have been healthy for an hour."""
    obj = formed(recovery={"policy": "FromBackup"}, **spec)
    for at in (NOW - LONG, NOW - timedelta(seconds=1)):
        seen(obj, a_world(obj), at)
    return obj


def given(obj: EtcdCluster, **resources: Any) -> EtcdCluster:
    """The same one once its spec says something else, or what it said before."""
    more = {"resources": resources} if resources else {}
    obj.spec = formed(recovery={"policy": "FromBackup"}, **more).spec
    return obj


def down(obj: EtcdCluster, number: int, ca: str | None = None) -> Manifest:
    """A pod of what the spec says now that does not live."""
    pod = a_pod(obj, number, ready=False, state=CRASHING, ended=OOM)
    if ca is not None:
        notes = pod["metadata"]["annotations"]
        pod["metadata"]["annotations"] = {**notes, naming.ANNOTATION_CA: ca}
    return pod


def fallen(obj: EtcdCluster, **ca: str) -> Observed:
    """No member lives, all having what the spec says."""
    return a_world(obj, {}, **{f"p{n}": down(obj, n, **ca) for n in range(3)})


def judged(obj: EtcdCluster, world: Observed, *restores: Any) -> rescue.Rescue | None:
    """What the policy means when all of its time has passed."""
    seen(obj, world, NOW)
    then = NOW + LONG
    return rescue.judge(Assessment.of(seen(obj, world, then), world, then), [proven()], restores)


def restored(obj: EtcdCluster, world: Observed) -> str | None:
    found = judged(obj, world)
    return found.backup if found is not None else None


def test_members_that_were_changed_in_their_sleep_have_all_their_data() -> None:
    obj = given(steady(), **TYPO)

    found = judged(obj, fallen(obj))

    assert found is not None
    assert found.backup is None
    assert found.is_blocked
    assert "set back what was changed in spec, or create an EtcdRestore" in found.message


def test_so_have_those_that_trust_another_ca() -> None:
    obj = steady()

    assert restored(obj, fallen(obj, ca="another")) is None


def test_what_it_has_run_with_for_long_is_not_to_blame() -> None:
    obj = steady()

    assert restored(obj, fallen(obj)) == "one"


def test_set_back_it_is_not_to_blame_either() -> None:
    obj = given(steady(), **TYPO)
    seen(obj, fallen(obj), NOW)
    doing(given(obj), "Roll", member="shop-etcd-0", step="Restart")

    assert restored(obj, fallen(obj)) == "one"


def test_a_roll_that_is_over_may_still_be_to_blame() -> None:
    """With too little memory a member starts, is ready, and is killed some minutes later."""
    short, long = STEADY - timedelta(minutes=1), STEADY + timedelta(minutes=1)
    for healthy, backup in ((short, None), (long, "one")):
        obj = given(steady(), **TYPO)
        seen(obj, a_world(obj), NOW - healthy)
        seen(obj, a_world(obj), NOW - timedelta(seconds=1))

        assert restored(obj, fallen(obj)) == backup


def test_to_be_healthy_now_and_then_is_not_to_be_healthy_for_long() -> None:
    obj = given(steady(), **TYPO)
    for minutes in (30, 20, 10):
        seen(obj, a_world(obj), NOW - timedelta(minutes=minutes))
        seen(obj, fallen(obj), NOW - timedelta(minutes=minutes - 5))

    assert restored(obj, fallen(obj)) is None


def test_one_that_was_changed_holds_nobody_up_where_the_others_are_gone() -> None:
    obj = given(steady(), **TYPO)
    one = down(obj, 0)
    before = given(obj)
    gone = a_world(before, {}, p0=one, p1=down(before, 1), p2=down(before, 2))
    half = a_world(before, {1: says(1, leader=None, quorum=False)}, p0=one, p2=down(before, 2))

    assert restored(obj, gone) == "one"
    assert restored(obj, half) is None, "with it there would be a quorum"


def test_members_that_have_lost_their_data_do_not_come_back_by_other_settings() -> None:
    obj = given(steady(), **TYPO)
    world = fallen(obj)
    claims = [("PersistentVolumeClaim", f"shop-etcd-{n}") for n in range(3)]

    assert restored(obj, without(world, *claims)) == "one"


def test_volumes_that_were_adopted_are_not_given_up_for_settings_that_are_wrong() -> None:
    obj = steady()
    ids = {m.name: str(m.id) for m in obj.status.members}

    adopt(obj, obstacles.Adoption(CLUSTER_ID, ids))

    assert restored(obj, fallen(obj)) is None


async def test_data_that_was_restored_is_not_given_up_for_settings_that_are_wrong(
    kube: Kube,
) -> None:
    obj = steady()
    progress = restoring("Seeding").status.restore
    assert progress is not None
    obj.status.restore, progress.member = progress, "shop-etcd-0"

    await takeover._swap(passing(obj, kube), obj, progress)

    obj.status.cluster_id = CLUSTER_ID
    assert restored(obj, a_world(obj, {}, p0=down(obj, 0))) is None


def test_of_members_that_an_earlier_release_saw_last_nothing_is_made_up() -> None:
    obj = formed(recovery={"policy": "FromBackup"})

    assert restored(obj, fallen(obj)) == "one"


@pytest.mark.parametrize("phase", ["Pending", "Verifying", "Verified"])
def test_a_restore_that_was_made_before_does_not_begin_meanwhile(phase: str) -> None:
    obj = steady()
    seen(obj, fallen(obj), NOW)
    mine = made(phase, NAME)
    then = Assessment.of(obj, fallen(obj), NOW + LONG)
    assert rescue.eligible(then, [mine]) == [mine]

    changed = given(obj, **TYPO)

    found = judged(changed, fallen(changed), mine)
    assert rescue.eligible(Assessment.of(changed, fallen(changed), NOW + LONG), [mine]) == []
    assert found is not None
    assert found.is_blocked
    assert "did not run for long with what they have been given" in found.message
    assert rescue.to_be_called_off(changed, LOST, [mine]) == []


@pytest.mark.parametrize("minutes", [4, 6, 61])
def test_a_roll_to_what_no_node_can_run_gives_no_member_up(minutes: int) -> None:
    obj = given(steady(), requests={"cpu": "900"})
    doing(obj, "Roll", member="shop-etcd-0", step="Restart")
    pod = a_pod(obj, 0, ready=False, phase="Pending", podIP="")
    why = {"type": "PodScheduled", "status": "False", "message": "3 Insufficient cpu"}
    pod["status"]["conditions"].append(why)
    world = a_world(obj, {n: says(n, leader=1) for n in (1, 2)}, p0=pod)

    found = action(seen(obj, world, NOW), world, minutes=minutes)

    assert found.operation is not None
    assert (found.operation.type, found.reason, found.states) == ("Roll", reasons.ROLL_STUCK, {})


def test_what_the_operator_did_not_watch_makes_nobody_steady() -> None:
    obj = formed()
    world = Observed(a_world(obj).children, a_world(obj).answers, watched_since=NOW)
    seen(obj, a_world(obj), NOW - LONG)

    for member in obj.status.members:
        member.steady_with = None
    seen(obj, world, NOW)
    assert [m.steady_with for m in obj.status.members] == [None] * 3

    seen(obj, world, NOW + STEADY)
    pods = [templates.made_of(a_pod(obj, n)) for n in range(3)]
    assert [m.steady_with for m in obj.status.members] == pods
    assert obj.status.is_true(reasons.AVAILABLE)
