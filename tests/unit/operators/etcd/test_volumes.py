"""Volumes have no owner whom Kubernetes' garbage collector would have them go with."""

from __future__ import annotations

import copy
from typing import Any, cast

import structlog
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.etcd.builders import NOW, formed
from tests.unit.operators.etcd.restores.test_takeover import restoring

from kok.api.etcdcluster import EtcdCluster
from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.kube.ownership import owner_reference
from kok.operators.etcd import plan, reasons, reconcile, render
from kok.operators.etcd.certificates import Authority
from kok.operators.etcd.observe import World
from kok.operators.etcd.obstacles import Problem
from kok.operators.etcd.render import Facts
from kok.operators.etcd.settings import EtcdSettings
from kok.runtime.clock import FakeClock
from kok.runtime.reconciler import Pass
from kok.runtime.settings import Settings

FOREIGN = {"apiVersion": "v1", "kind": "ConfigMap", "name": "theirs", "uid": "theirs"}


def claim(obj: EtcdCluster, member: str, **meta: Any) -> Manifest:
    """A member's volume as an earlier release made it."""
    made = copy.deepcopy(render.volume(obj, member, Facts(), None))
    made["metadata"] |= {
        "uid": f"uid-{member}",
        "ownerReferences": [owner_reference(obj), FOREIGN],
        **meta,
    }
    return made


async def freed(api: FakeApi, kube: Kube, obj: EtcdCluster, *claims: Manifest) -> list[Manifest]:
    """What becomes of volumes in a pass in which nothing else may be done."""
    paths = [
        f"/api/v1/namespaces/team-a/persistentvolumeclaims/{c['metadata']['name']}" for c in claims
    ]
    for path, one in zip(paths, claims, strict=True):
        api.put(path, one)
    world = World({("PersistentVolumeClaim", c["metadata"]["name"]): c for c in claims})
    problem = Problem(reasons.NAME_TAKEN, "why")
    seen = reconcile.Seen(cast("Authority", None), None, problem, False, (), (), (), None)
    p = Pass(
        obj=obj,
        status=obj.status,
        kube=kube,
        clock=FakeClock(NOW),
        now=NOW,
        log=structlog.stdlib.get_logger(),
        settings=Settings(),
    )
    await reconcile._work(p, obj, world, seen, EtcdSettings())
    return [api.objects[path] for path in paths]


async def test_those_of_earlier_releases_are_freed_whatever_stands_in_the_way(
    api: FakeApi, kube: Kube
) -> None:
    obj = restoring("Growing")
    assert obj.status.restore is not None
    obj.status.restore.before = ["shop-etcd-9"]

    found = await freed(api, kube, obj, claim(obj, "shop-etcd-0"), claim(obj, "shop-etcd-9"))

    assert [one["metadata"]["ownerReferences"] for one in found] == [[FOREIGN], [FOREIGN]]
    assert all(plan.is_ours(one, obj) for one in found), "they are removed when it is deleted"


async def test_that_of_another_etcdcluster_is_left_alone(api: FakeApi, kube: Kube) -> None:
    obj = formed()
    theirs = {**owner_reference(obj), "uid": "an-earlier-uid"}

    (found,) = await freed(api, kube, obj, claim(obj, "shop-etcd-0", ownerReferences=[theirs]))

    assert found["metadata"]["ownerReferences"] == [theirs]
