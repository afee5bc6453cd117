"""What somebody else has made under the name that a new member would get is passed over."""

from __future__ import annotations

from typing import Any

import pytest
import structlog
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.etcd.builders import NOW, a_world, formed, wants
from tests.unit.operators.etcd.etcdcluster.restores.builders import a_restore, restoring

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.operators.etcd import naming
from kok.operators.etcd.etcdcluster.conditions.outcome import Outcome
from kok.operators.etcd.etcdcluster.members import names
from kok.operators.etcd.etcdcluster.members.assessment import Assessment
from kok.operators.etcd.etcdcluster.operations import run
from kok.operators.etcd.etcdcluster.restores import takeover
from kok.operators.etcd.settings import EtcdSettings
from kok.runtime.clock import FakeClock
from kok.runtime.controller.errors import Wait
from kok.runtime.controller.reconciler import Pass
from kok.runtime.settings import Settings

CLAIMS = "/api/v1/namespaces/team-a/persistentvolumeclaims"
SETS = "/apis/apps/v1/namespaces/team-a/statefulsets"
FULL = 1000
"""More than one pass looks at."""


def passing(obj: EtcdCluster, kube: Kube) -> Pass[EtcdCluster]:
    return Pass(
        obj=obj,
        status=obj.status,
        kube=kube,
        clock=FakeClock(NOW),
        now=NOW,
        log=structlog.stdlib.get_logger(),
        settings=Settings(),
    )


def claim(**meta: Any) -> Manifest:
    """Of the size that a member's has, so that nothing in it would be in the way."""
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": formed().spec.storage.size}},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}


def next_member(obj: EtcdCluster) -> str:
    """The name that is to be recorded next."""
    found = run.next_action(Assessment.of(obj, a_world(formed()), NOW))
    assert found is not None
    return names.joining(obj, found)[0]


@pytest.mark.parametrize("path", [CLAIMS, SETS])
async def test_a_new_member_gets_no_name_that_something_has(
    path: str, api: FakeApi, kube: Kube
) -> None:
    obj = wants(formed(), 5)
    api.put(f"{path}/shop-etcd-3", claim(labels={"app": "shop"}))
    assert next_member(obj) == "shop-etcd-3"

    assert await names.pass_over(kube, obj, ["shop-etcd-3", "shop-etcd-4"])

    assert next_member(obj) == "shop-etcd-4"
    assert not await names.pass_over(kube, obj, ["shop-etcd-4", "shop-etcd-5"])
    assert not api.writes


async def test_names_of_members_that_there_are_are_not_looked_up(api: FakeApi, kube: Kube) -> None:
    obj = formed()

    assert names.joining(obj, None) == []
    assert not await names.pass_over(kube, obj, [])

    assert obj.status.next_member == 0
    assert not api.requests


async def test_whoever_takes_names_by_the_thousand_does_not_hold_a_pass(
    api: FakeApi, kube: Kube
) -> None:
    obj = formed()
    for number in range(FULL):
        api.put(f"{CLAIMS}/shop-etcd-{number}", claim())

    with pytest.raises(Wait, match="the names of the next 32 members, up to shop-etcd-34"):
        await names.fresh(kube, obj, a_world(obj))

    assert obj.status.next_member == 35, "the next pass goes on from there"


@pytest.mark.parametrize(
    "meta",
    [
        {"labels": {"app": "shop"}},
        {"annotations": {naming.ANNOTATION_CLUSTER_ID: formed().status.cluster_id}},
        {"labels": {naming.LABEL_OWNER_UID: "another"}},
    ],
    ids=["of another application", "put back from a snapshot", "of an earlier EtcdCluster"],
)
async def test_a_restore_fills_no_volume_that_somebody_else_made(
    meta: dict[str, Any], api: FakeApi, kube: Kube
) -> None:
    obj = restoring("Seeding")
    before = api.put(f"{CLAIMS}/shop-etcd-3", claim(**meta))
    p = passing(obj, kube)

    await takeover.advance(
        p, obj, a_world(formed()), [a_restore()], EtcdSettings(), outcome=Outcome()
    )

    found = obj.status.restore
    assert found is not None
    assert (found.step, found.member, found.attempts) == ("Seeding", "shop-etcd-4", 0)
    assert api.objects[f"{CLAIMS}/shop-etcd-3"] == before
    assert not api.writes
    assert "shop-etcd-3 is somebody else's" in p.events[0].note


async def test_a_restore_chooses_a_name_that_nothing_has(api: FakeApi, kube: Kube) -> None:
    obj = restoring("Stopping")
    api.put(f"{CLAIMS}/shop-etcd-3", claim())
    stopped = type(a_world(formed()))()

    await takeover.advance(
        passing(obj, kube), obj, stopped, [a_restore()], EtcdSettings(), outcome=Outcome()
    )

    found = obj.status.restore
    assert found is not None
    assert (found.step, found.member, found.attempts) == ("Seeding", "shop-etcd-4", 1)
