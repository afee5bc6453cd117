"""How far a restore raises revisions: beyond all that anybody has seen."""

from __future__ import annotations

import pytest
from tests.unit.operators.etcd.builders import (
    NOW,
    a_world,
    formed,
    says,
)
from tests.unit.operators.etcd.etcdbackup.builders import a_pass
from tests.unit.operators.etcd.etcdcluster.restores.builders import SOURCE, progress

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.status import EtcdRestoreProgress
from kok.kube.client import Kube
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.restores import rescue, takeover


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
