"""Which restore an EtcdCluster begins with, what it holds back meanwhile, and how revisions rise."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import structlog
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.etcd.builders import (
    NOW,
    UID,
    a_world,
    an_etcd,
    decided,
    doing,
    formed,
    says,
)
from tests.unit.operators.etcd.etcdbackup.builders import a_pass

from kok.api.etcd.etcdcluster import EtcdCluster, EtcdMember
from kok.api.etcd.etcdrestore import EtcdRestore
from kok.api.etcd.status import EtcdRestoreProgress
from kok.api.etcd.store import StoredBackup
from kok.api.meta import Manifest
from kok.api.unreadable import Unreadable
from kok.kube.client import Kube
from kok.operators.etcd import clusterstatus, reasons
from kok.operators.etcd.backups.compatibility import misfit
from kok.operators.etcd.etcdcluster.conditions.outcome import Outcome
from kok.operators.etcd.etcdcluster.members import roles
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.restores import rescue, takeover
from kok.operators.etcd.etcdrestore.reconcile import EtcdRestores
from kok.operators.etcd.jobs.seed_pod import restore_command
from kok.operators.etcd.settings import EtcdSettings
from kok.runtime.clock import FakeClock
from kok.runtime.controller.reconciler import Pass
from kok.runtime.settings import Settings
from kok.versions import etcd

SOURCE: dict[str, Any] = {
    "store": {"volume": {"claim": "backups"}},
    "key": "team-a/shop-etcd/one.snapshot",
    "sha256": "0" * 64,
    "size": 1000,
    "revision": 100,
    "etcdVersion": "3.6.10",
}


def a_restore(name: str = "back", minute: int = 0, **status: Any) -> EtcdRestore:
    """One whose backup was proven."""
    return EtcdRestore.parse(
        {
            "metadata": {
                "name": name,
                "namespace": "team-a",
                "uid": f"uid-{name}",
                "creationTimestamp": f"2026-11-01T00:{minute:02}:00Z",
            },
            "spec": {"etcdCluster": "shop-etcd", "backup": "one"},
            "status": {"phase": "Verified", "clusterUID": UID, "source": SOURCE, **status},
        }
    )


def progress(step: str, **more: Any) -> dict[str, Any]:
    return {
        "name": "back",
        "uid": "uid-back",
        "step": step,
        "since": "2026-11-01T00:00:00Z",
        "source": SOURCE,
        "bump": 10**9,
        "member": "shop-etcd-3",
        **more,
    }


def restoring(step: str) -> EtcdCluster:
    obj = formed()
    obj.status = type(obj.status).model_validate(
        {**obj.status.manifest(), "restore": progress(step)}
    )
    return obj


class Listing:
    """A meta cluster of which EtcdRestores can be listed."""

    def __init__(self, *manifests: Manifest) -> None:
        self._manifests = manifests

    async def list(self, *_: object, keep: Callable[[Manifest], Manifest]) -> list[Manifest]:
        return list(map(keep, self._manifests))


async def test_a_restore_that_cannot_be_read_is_not_taken_for_deleted() -> None:
    odd = a_restore().manifest()
    odd["spec"]["backup"] = ["one"]
    kube: Any = Listing(a_restore("other").manifest(), odd)
    # One that is not under way is left out; of the other its EtcdCluster lets go of nothing.
    assert [r.name for r in await takeover.read(kube, formed())] == ["other"]
    with pytest.raises(Unreadable, match=r"EtcdRestore team-a/back cannot be read: spec\.backup"):
        await takeover.read(kube, restoring("Seeding"))


def test_the_one_that_was_asked_for_first_comes_first() -> None:
    found = takeover.due(formed(), [a_restore("a", 1), a_restore("b", 2)])
    assert found is not None
    assert found.name == "a"


@pytest.mark.parametrize("phase", ["Pending", "Verifying", "Complete", "Failed", None])
def test_only_a_proven_backup_is_used(phase: str | None) -> None:
    assert takeover.due(formed(), [a_restore(phase=phase)]) is None


def test_one_that_was_meant_for_an_earlier_cluster_of_the_name_is_left_alone() -> None:
    assert takeover.due(formed(), [a_restore(clusterUID="another")]) is None


def test_another_one_begins_only_when_the_one_before_has_said_how_it_ended() -> None:
    obj = formed()
    done = {"name": "b", "uid": "uid-b", "at": "2026-11-01T00:00:00Z", "bump": 1}
    obj.status = type(obj.status).model_validate({**obj.status.manifest(), "restored": done})
    waits = a_restore("a", 1)
    assert takeover.due(obj, [waits, a_restore("b", 2, phase="Restoring")]) is None
    found = takeover.due(obj, [waits, a_restore("b", 2, phase="Complete")])
    assert found is not None
    assert found.name == "a"


@pytest.mark.parametrize(
    "over",
    [
        {"restored": {"name": "back", "uid": "uid-back", "at": "2026-11-01T00:00:00Z", "bump": 1}},
        {"restoreFailed": {"uid": "uid-back", "message": "no"}},
    ],
    ids=["done", "given up"],
)
def test_a_restore_happens_once(over: dict[str, Any]) -> None:
    obj = formed()
    obj.status = type(obj.status).model_validate({**obj.status.manifest(), **over})
    assert takeover.due(obj, [a_restore()]) is None


@pytest.mark.parametrize(
    ("step", "held"),
    [("Stopping", True), ("Seeding", True), ("Starting", False), ("Growing", False)],
)
def test_members_are_held_back_until_the_volume_is_filled(step: str, held: bool) -> None:
    assert (takeover.hold(restoring(step), []) is not None) is held


def test_a_new_cluster_waits_for_its_backup_and_says_why_it_does_not_come() -> None:
    obj = an_etcd(restoreFrom={"backup": "one"})
    first = takeover.hold(obj, [])
    assert first is not None
    assert first.reason == "Restoring"
    refused = a_restore(clusterstatus.origin(obj), phase="Failed")
    found = takeover.hold(obj, [refused])
    assert found is not None
    assert found.reason == "RestoreRefused"
    assert takeover.hold(formed(restoreFrom={"backup": "one"}), []) is None, "it is for once"


def test_revisions_rise_beyond_all_that_was_seen() -> None:
    obj = formed()
    world = a_world(obj, {0: says(0, revision=5000), 1: says(1, revision=7000)})
    assert 100 + takeover.bump(obj, world, 100) == 7000 + takeover.BUMP
    assert takeover.bump(obj, a_world(obj, {}), 100) == takeover.BUMP


def test_a_member_that_lies_does_not_use_up_all_revisions() -> None:
    obj = formed()
    world = a_world(obj, {0: says(0, revision=2**63 - 1), 1: says(1, revision=7000)})
    assert 100 + takeover.bump(obj, world, 100) == 7000 + takeover.BUMP


def test_a_second_restore_without_anybody_to_ask_still_rises_beyond_the_first() -> None:
    obj = formed()
    restored = {"name": "a", "uid": "a", "at": "2026-11-01T00:00:00Z", "bump": takeover.BUMP}
    obj.status = type(obj.status).model_validate({**obj.status.manifest(), "restored": restored})
    assert takeover.bump(obj, a_world(obj, {}), 100) == 2 * takeover.BUMP


async def test_a_third_restore_without_anybody_to_ask_rises_beyond_the_second(kube: Kube) -> None:
    """The second one is of a backup with a far higher revision; the third of one of long ago."""
    obj, given = formed(), []
    for number, revision in enumerate((100, 9 * takeover.BUMP, 100)):
        raised = takeover.bump(obj, a_world(obj, {}), revision)
        source = {**SOURCE, "revision": revision}
        told = progress("Seeding", name=f"r{number}", uid=f"u{number}", source=source, bump=raised)
        obj.status.restore = EtcdRestoreProgress.model_validate(told)
        await takeover._swap(a_pass(obj, kube), obj, obj.status.restore)
        given.append(revision + raised)
    assert given == sorted(given)
    assert given[2] >= given[1] + takeover.BUMP


def told_by(obj: EtcdCluster, *each: int) -> Assessment:
    return Assessment.of(
        obj, a_world(obj, {n: says(n, revision=r) for n, r in enumerate(each)}), NOW
    )


def test_a_backup_of_long_ago_rises_beyond_all_that_was_seen_before_everybody_fell_silent() -> None:
    obj, height = formed(), 3 * takeover.BUMP
    rescue.note_revision(told_by(obj, height, height - 1, height - 7))
    assert 5 + takeover.bump(obj, a_world(obj, {}), 5) > height + takeover.BUMP // 2


@pytest.mark.parametrize("lie", [2**59, 2**62])
def test_what_one_member_says_is_not_recorded_as_seen(lie: int) -> None:
    obj = formed()
    rescue.note_revision(told_by(obj, lie, 8 * rescue.STEP, 8 * rescue.STEP))
    assert obj.status.highest_revision == 8 * rescue.STEP
    rescue.note_revision(told_by(obj, lie))
    assert obj.status.highest_revision == 8 * rescue.STEP


def test_what_has_come_a_little_further_is_not_written() -> None:
    obj = formed()
    rescue.note_revision(told_by(obj, 1000, 1000, 1000))
    assert obj.status.highest_revision is None


def test_history_ends_with_the_backup() -> None:
    obj = restoring("Seeding")
    assert obj.status.restore is not None
    words = restore_command(obj, obj.status.restore, "shop-etcd-3", etcd("3.6.10"))
    assert "--bump-revision=1000000000" in words
    assert "--mark-compacted" in words


@pytest.mark.parametrize(
    ("made", "version", "words"),
    [
        ("3.6.10", "3.6.8", None),
        ("3.6.10", "3.7.3", None),
        ("3.7.3", "3.6.10", "cannot read"),
        ("3.5.21", "3.7.3", "more than one minor later"),
        ("3.4.0", "3.6.10", "not supported"),
        ("", "3.6.10", "cannot be restored"),
    ],
)
def test_which_versions_go_together(made: str, version: str, words: str | None) -> None:
    backup = StoredBackup.model_validate({**SOURCE, "etcdVersion": made})
    found = misfit(backup, version)
    assert (found is None) if words is None else (found is not None and words in found)


async def begun_and_deleted(kube: Kube, step: str) -> tuple[EtcdCluster, Pass[EtcdCluster]]:
    """A recovery of the quorum by member 1 came so far, when a restore began and was deleted."""
    obj = doing(formed(), "Recover", member="shop-etcd-1", step=step)
    world = a_world(obj, {})
    p = Pass(
        obj=obj,
        status=obj.status,
        kube=kube,
        clock=FakeClock(NOW),
        now=NOW,
        log=structlog.stdlib.get_logger(),
        settings=Settings(),
    )
    await takeover.advance(p, obj, world, [a_restore()], EtcdSettings(), outcome=Outcome())
    assert obj.status.restore is not None
    await takeover.advance(p, obj, world, [], EtcdSettings(), outcome=Outcome())
    assert obj.status.restore is None
    return obj, p


@pytest.mark.parametrize("step", ["Force", "Settle"])
async def test_given_up_it_starts_no_member_that_a_recovery_has_fenced(
    kube: Kube, step: str
) -> None:
    """The survivor has a cluster of its own: with the others there would be two."""
    obj, p = await begun_and_deleted(kube, step)

    world = a_world(obj, {})
    assert [roles.may_run(obj, world, m.name) for m in obj.status.members] == [False, True, False]
    found = decided(obj, world)
    assert found is not None
    assert found.operation is not None
    assert (found.operation.type, found.operation.step) == ("Recover", step)
    assert "shop-etcd-1 goes on alone" in p.events[-1].note


async def test_given_up_it_starts_all_members_where_nobody_had_gone_on_alone_yet(
    kube: Kube,
) -> None:
    obj, p = await begun_and_deleted(kube, "Fence")

    world = a_world(obj, {})
    assert [roles.may_run(obj, world, m.name) for m in obj.status.members] == [True, True, True]
    assert "alone" not in p.events[-1].note


# --- the restore by which an EtcdCluster was to get its first data


def begun_by_hand(step: str | None = None) -> EtcdCluster:
    """One that was to begin with a backup, and to which a person gave another one meanwhile."""
    obj = formed(restoreFrom={"backup": "one"})
    done = {"name": "by-hand", "uid": "uid-by-hand", "at": NOW.isoformat(), "bump": 1}
    more = {"restored": done} | ({"restore": progress(step)} if step else {})
    obj.status = type(obj.status).model_validate({**obj.status.manifest(), **more})
    return obj


def test_one_that_waited_overwrites_no_data_that_came_otherwise() -> None:
    obj = begun_by_hand()
    late, mine = a_restore(clusterstatus.origin(obj)), a_restore("mine", 1)
    done = a_restore("by-hand", phase="Complete")

    assert takeover.due(obj, [late, done]) is None
    assert takeover.due(obj, [late, done, mine]) is mine
    adopted = formed(restoreFrom={"backup": "one"})
    assert takeover.due(adopted, [late]) is None, "nor data that was there before"


def test_the_first_data_still_comes_by_it() -> None:
    new = an_etcd(restoreFrom={"backup": "one"})
    first = a_restore(clusterstatus.origin(new))

    assert takeover.due(new, [first]) is first
    # One of that name which a person made of a cluster without restoreFrom is like any other.
    assert takeover.due(formed(), [first]) is first


async def told(cluster: EtcdCluster, restore: EtcdRestore, kube: Kube, api: FakeApi) -> EtcdRestore:
    """What a restore says of itself in a pass."""
    api.put("/apis/kok.dev/v1alpha1/namespaces/team-a/etcdclusters/shop-etcd", cluster.manifest())
    p: Pass[EtcdRestore] = passing(restore, kube)
    await EtcdRestores(EtcdSettings()).reconcile(p)
    return restore


@pytest.mark.parametrize("phase", [None, "Pending", "Verifying", "Verified"])
async def test_it_says_that_it_is_not_wanted_any_more(
    phase: str | None, api: FakeApi, kube: Kube
) -> None:
    obj = begun_by_hand()

    found = await told(obj, a_restore(clusterstatus.origin(obj), phase=phase), kube, api)

    assert found.status.phase == "Failed"
    ready = found.status.condition(reasons.READY)
    assert ready is not None
    assert ready.reason == reasons.RESTORE_REFUSED
    assert "got its first data by EtcdRestore by-hand already" in ready.message


@pytest.mark.parametrize("step", [None, "Growing"])
async def test_the_one_by_which_the_first_data_came_is_not_void(
    step: str | None, api: FakeApi, kube: Kube
) -> None:
    obj = begun_by_hand(step)
    mine = a_restore(clusterstatus.origin(obj), phase="Restoring")
    assert obj.status.restored is not None
    obj.status.restored.uid = mine.metadata.uid
    if obj.status.restore is not None:
        obj.status.restore.uid = mine.metadata.uid

    found = await told(obj, mine, kube, api)

    assert found.status.phase == ("Complete" if step is None else "Restoring")


# --- a restored cluster that loses its data before it is whole


def grown(step: str = "Growing", since: timedelta = clusterstatus.PATIENCE) -> EtcdCluster:
    """Its restored member took the place of three others so long ago."""
    obj = restoring(step)
    done = {"name": "back", "uid": "uid-back", "at": (NOW - since).isoformat(), "bump": 1}
    obj.status = type(obj.status).model_validate({**obj.status.manifest(), "restored": done})
    assert obj.status.restore is not None
    obj.status.restore.before = [m.name for m in obj.status.members]
    obj.status.members = [EtcdMember(name="shop-etcd-3")]
    return obj


def passing(obj: Any, kube: Kube) -> Any:
    return Pass(
        obj=obj,
        status=obj.status,
        kube=kube,
        clock=FakeClock(NOW),
        now=NOW,
        log=structlog.stdlib.get_logger(),
        settings=Settings(),
    )


FIRST, SECOND = a_restore(phase="Restoring"), a_restore("second", 5)


@pytest.mark.parametrize("step", ["Starting", "Growing"])
@pytest.mark.parametrize("others", [[FIRST], []], ids=["", "the first was deleted"])
async def test_another_restore_takes_the_place_of_one_that_does_not_come_to_its_end(
    step: str, others: list[EtcdRestore], kube: Kube, api: FakeApi
) -> None:
    obj = grown(step)

    await takeover.advance(
        passing(obj, kube),
        obj,
        a_world(obj, {}),
        [*others, SECOND],
        EtcdSettings(),
        outcome=Outcome(),
    )

    found = obj.status.restore
    assert found is not None
    assert (found.name, found.step) == ("second", "Stopping")
    volumes = ["shop-etcd-0", "shop-etcd-1", "shop-etcd-2", "shop-etcd-3"]
    assert found.before == volumes, "all are kept until the new members are healthy"
    first = await told(obj, FIRST.model_copy(deep=True), kube, api)
    assert first.status.phase == "Restoring", "it may yet go on"


@pytest.mark.parametrize("since", [timedelta(), clusterstatus.PATIENCE - timedelta(seconds=1)])
async def test_one_whose_members_are_about_to_come_is_waited_for(
    since: timedelta, kube: Kube
) -> None:
    obj = grown(since=since)

    await takeover.advance(
        passing(obj, kube),
        obj,
        a_world(obj, {}),
        [FIRST, SECOND],
        EtcdSettings(),
        outcome=Outcome(),
    )

    assert obj.status.restore is not None
    assert obj.status.restore.name == "back"


async def test_a_clock_that_was_ahead_keeps_nobody_waiting(kube: Kube) -> None:
    obj = grown(since=-timedelta(days=300))

    await takeover.advance(
        passing(obj, kube),
        obj,
        a_world(obj, {}),
        [FIRST, SECOND],
        EtcdSettings(),
        outcome=Outcome(),
    )

    assert obj.status.restore is not None
    assert obj.status.restore.name == "second"


async def test_given_up_it_leaves_the_one_before_to_go_on(kube: Kube) -> None:
    obj = grown()
    before = obj.status.restore
    world = a_world(obj, {})
    await takeover.advance(
        passing(obj, kube), obj, world, [FIRST, SECOND], EtcdSettings(), outcome=Outcome()
    )

    await takeover.advance(
        passing(obj, kube), obj, world, [FIRST], EtcdSettings(), outcome=Outcome()
    )

    assert obj.status.restore == before
    assert [m.name for m in obj.status.members] == ["shop-etcd-3"]


async def test_the_one_before_says_that_another_took_its_place(kube: Kube, api: FakeApi) -> None:
    obj = grown()
    world = a_world(obj, {})
    await takeover.advance(
        passing(obj, kube), obj, world, [FIRST, SECOND], EtcdSettings(), outcome=Outcome()
    )
    assert obj.status.restore is not None
    obj.status.restore.member = "shop-etcd-4"

    await takeover._swap(passing(obj, kube), obj, obj.status.restore)

    assert obj.status.restore.interrupted is None
    assert [m.name for m in obj.status.members] == ["shop-etcd-4"]
    first = await told(obj, FIRST.model_copy(deep=True), kube, api)
    assert first.status.phase == "Failed"
    ready = first.status.condition(reasons.READY)
    assert ready is not None
    assert "EtcdRestore second took its place" in ready.message


@pytest.mark.parametrize("step", [None, "Seeding"], ids=["proven", "about to be used"])
async def test_a_backup_that_the_version_has_outgrown_meanwhile_takes_no_data(
    kube: Kube, step: str | None
) -> None:
    """`spec.version` may be raised while a restore waits, as in sleep or for another restore."""
    old = {**SOURCE, "etcdVersion": "3.5.21"}
    obj = formed() if step is None else restoring(step)
    if obj.status.restore is not None:
        obj.status.restore.source = StoredBackup.model_validate(old)
    before = [m.name for m in obj.status.members]
    obj.spec.version = "3.7.3"
    p = a_pass(obj, kube)

    waiting = [a_restore(source=old)]
    await takeover.advance(
        p, obj, a_world(obj), waiting, EtcdSettings(worker_image="kok:1"), outcome=Outcome()
    )

    assert obj.status.restore is None
    assert [m.name for m in obj.status.members] == before
    assert obj.status.restore_failed is not None
    assert obj.status.restore_failed.uid == "uid-back"
    assert "more than one minor later" in obj.status.restore_failed.message
    assert takeover.due(obj, waiting) is None
