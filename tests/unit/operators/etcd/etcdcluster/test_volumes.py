"""Volumes have no owner whom Kubernetes' garbage collector would have them go with."""

from __future__ import annotations

import copy
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.unit.fakeapi import FakeApi
from tests.unit.operators.etcd.builders import NOW, formed
from tests.unit.operators.etcd.etcdcluster.restores.builders import passing, restoring

from kok.api.etcd.etcdcluster import EtcdCluster
from kok.api.meta import Manifest
from kok.kube.client import Kube
from kok.kube.objects.ownership import owner_reference
from kok.operators.etcd import reasons
from kok.operators.etcd.etcdcluster import delete, render
from kok.operators.etcd.etcdcluster.act import act
from kok.operators.etcd.etcdcluster.conditions.obstacles import Obstacle
from kok.operators.etcd.etcdcluster.conditions.outcome import Outcome
from kok.operators.etcd.etcdcluster.decide import Decision
from kok.operators.etcd.etcdcluster.members import roles
from kok.operators.etcd.etcdcluster.observe import View
from kok.operators.etcd.etcdcluster.observed.model import Observed
from kok.operators.etcd.etcdcluster.render import VolumeNotes
from kok.operators.etcd.settings import EtcdSettings, Tuning
from kok.runtime.controller.errors import Wait
from kok.runtime.controller.reconciler import DONE

CLAIMS = "/api/v1/namespaces/team-a/persistentvolumeclaims"
FOREIGN = {"apiVersion": "v1", "kind": "ConfigMap", "name": "theirs", "uid": "theirs"}


def claim(obj: EtcdCluster, member: str, **meta: Any) -> Manifest:
    """A member's volume as an earlier release made it."""
    made = copy.deepcopy(render.volume(obj, member, VolumeNotes(), None))
    made["metadata"] |= {
        "uid": f"uid-{member}",
        "ownerReferences": [owner_reference(obj), FOREIGN],
        **meta,
    }
    return made


async def freed(api: FakeApi, kube: Kube, obj: EtcdCluster, *claims: Manifest) -> list[Manifest]:
    """What becomes of volumes in a pass in which nothing else may be done."""
    paths = [f"{CLAIMS}/{c['metadata']['name']}" for c in claims]
    for path, one in zip(paths, claims, strict=True):
        api.put(path, one)
    world = Observed({("PersistentVolumeClaim", c["metadata"]["name"]): c for c in claims})
    problem = Obstacle(reasons.NAME_TAKEN, "why")
    decision = cast("Decision", SimpleNamespace(found=problem))
    await act(passing(obj, kube), View(world), decision, Outcome(), EtcdSettings())
    return [api.objects[path] for path in paths]


async def test_those_of_earlier_releases_are_freed_whatever_stands_in_the_way(
    api: FakeApi, kube: Kube
) -> None:
    obj = restoring("Growing")
    assert obj.status.restore is not None
    obj.status.restore.before = ["shop-etcd-9"]

    found = await freed(api, kube, obj, claim(obj, "shop-etcd-0"), claim(obj, "shop-etcd-9"))

    assert [one["metadata"]["ownerReferences"] for one in found] == [[FOREIGN], [FOREIGN]]
    assert all(roles.is_ours(one, obj) for one in found), "they are removed when it is deleted"


async def test_that_of_another_etcdcluster_is_left_alone(api: FakeApi, kube: Kube) -> None:
    obj = formed()
    theirs = {**owner_reference(obj), "uid": "an-earlier-uid"}

    (found,) = await freed(api, kube, obj, claim(obj, "shop-etcd-0", ownerReferences=[theirs]))

    assert found["metadata"]["ownerReferences"] == [theirs]
    assert not api.writes


async def test_at_the_end_none_is_left_behind_however_many_there_are(
    api: FakeApi, kube: Kube
) -> None:
    """Nobody else removes what has no owner, and the time to wait for volumes may be over at once."""
    few = Tuning(delete_at_once=3, unknown_volumes=3)
    obj = formed()
    obj.metadata.deletion_timestamp = NOW - 2 * few.delete_within
    for number in range(5, 12):
        one = render.volume(obj, f"shop-etcd-{number}", VolumeNotes(), None)
        one["metadata"]["uid"] = f"uid-{number}"
        api.put(f"{CLAIMS}/shop-etcd-{number}", one)

    done = None
    while done is None:
        with suppress(Wait):
            done = await delete.finalize(passing(obj, kube), few)

    assert done is DONE
    assert not [path for path in api.objects if path.startswith(CLAIMS)]


CLUSTER = "/apis/kok.dev/v1alpha1/namespaces/team-a/clusters/shop"


def of_cluster(policy: str, **owner: Any) -> EtcdCluster:
    """A deleted EtcdCluster of Cluster `shop` that says what the Cluster said when it was made."""
    obj = formed()
    reference = {"apiVersion": "kok.dev/v1alpha1", "kind": "Cluster", "name": "shop", "uid": "shop"}
    manifest = obj.manifest()
    manifest["metadata"] |= {
        "ownerReferences": [{**reference, "controller": True, **owner}],
        "deletionTimestamp": NOW.isoformat(),
    }
    manifest["spec"]["deletionPolicy"] = policy
    return EtcdCluster.parse({**manifest, "apiVersion": "kok.dev/v1alpha1", "kind": "EtcdCluster"})


async def kept(api: FakeApi, kube: Kube, obj: EtcdCluster) -> bool:
    """Whether its volume outlives it."""
    one = render.volume(obj, "shop-etcd-0", VolumeNotes(), None)
    api.put(f"{CLAIMS}/shop-etcd-0", one)
    with suppress(Wait):
        await delete.finalize(passing(obj, kube), Tuning())
    return f"{CLAIMS}/shop-etcd-0" in api.objects


@pytest.mark.parametrize("policy", ["Delete", "Retain"])
async def test_what_the_cluster_says_at_the_end_holds_though_nobody_handed_it_on(
    api: FakeApi, kube: Kube, policy: str
) -> None:
    """By foreground deletion the EtcdCluster goes at once."""
    api.put(CLUSTER, {"metadata": {"uid": "shop"}, "spec": {"deletionPolicy": policy}})
    before = {"Delete": "Retain", "Retain": "Delete"}[policy]
    assert await kept(api, kube, of_cluster(before)) is (policy == "Retain")


@pytest.mark.parametrize(
    "owner",
    [
        {"uid": "an-earlier-one"},
        {"name": "another"},
        {"controller": False},
        {"apiVersion": "example.com/v1"},
        {"kind": "Machine"},
    ],
)
async def test_what_is_not_its_cluster_has_no_say(
    api: FakeApi, kube: Kube, owner: dict[str, Any]
) -> None:
    for name in ("shop", "another"):
        api.put(
            f"{CLUSTER.removesuffix('shop')}{name}",
            {"metadata": {"uid": "shop"}, "spec": {"deletionPolicy": "Retain"}},
        )
    assert not await kept(api, kube, of_cluster("Delete", **owner))


async def test_without_its_cluster_it_goes_by_what_it_says_itself(api: FakeApi, kube: Kube) -> None:
    assert await kept(api, kube, of_cluster("Retain"))
