"""Which restore an EtcdCluster begins with, what it holds back meanwhile, and how it gives up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import structlog
from tests.unit.operators.etcd.builders import (
    NOW,
    a_world,
    an_etcd,
    decided,
    doing,
    formed,
)
from tests.unit.operators.etcd.etcdbackup.builders import a_pass
from tests.unit.operators.etcd.etcdcluster.restores.builders import SOURCE, a_restore, restoring

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.etcd.store import StoredBackup
from kok.api.meta import Manifest
from kok.api.unreadable import Unreadable
from kok.kube.client import Kube
from kok.operators.etcd import clusterstatus
from kok.operators.etcd.backups.compatibility import misfit
from kok.operators.etcd.etcdcluster.conditions.outcome import Outcome
from kok.operators.etcd.etcdcluster.members import roles
from kok.operators.etcd.etcdcluster.restores import takeover
from kok.operators.etcd.jobs.seed_pod import restore_command
from kok.operators.etcd.settings import EtcdSettings
from kok.runtime.clock import FakeClock
from kok.runtime.controller.reconciler import Pass
from kok.runtime.settings import Settings
from kok.versions import etcd


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
