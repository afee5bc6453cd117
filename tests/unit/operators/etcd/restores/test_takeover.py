"""Which restore an EtcdCluster begins with, what it holds back meanwhile, and how revisions rise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import structlog
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

from kok.api.etcdcluster import EtcdCluster
from kok.api.etcdrestore import EtcdRestore
from kok.api.etcdstore import StoredBackup
from kok.api.meta import Manifest
from kok.api.unreadable import Unreadable
from kok.kube.client import Kube
from kok.operators.etcd import plan
from kok.operators.etcd.render.seed import restore_command
from kok.operators.etcd.restores import takeover
from kok.operators.etcd.restores.fit import misfit
from kok.operators.etcd.settings import EtcdSettings
from kok.runtime.clock import FakeClock
from kok.runtime.reconciler import Pass
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
    refused = a_restore(takeover.origin(obj), phase="Failed")
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
    await takeover.advance(p, obj, world, [a_restore()], EtcdSettings())
    assert obj.status.restore is not None
    await takeover.advance(p, obj, world, [], EtcdSettings())
    assert obj.status.restore is None
    return obj, p


@pytest.mark.parametrize("step", ["Force", "Settle"])
async def test_given_up_it_starts_no_member_that_a_recovery_has_fenced(
    kube: Kube, step: str
) -> None:
    """The survivor has a cluster of its own: with the others there would be two."""
    obj, p = await begun_and_deleted(kube, step)

    world = a_world(obj, {})
    assert [plan.may_run(obj, world, m.name) for m in obj.status.members] == [False, True, False]
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
    assert [plan.may_run(obj, world, m.name) for m in obj.status.members] == [True, True, True]
    assert "alone" not in p.events[-1].note
